// Waits until a host has reported and is up: wait-until-up.mjs URL PASSWORD_FILE; exits with 3 when the login is refused.
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const [url, passwordFile] = process.argv.slice(2);
const since = Date.now() - 1000;
const patience = 60_000;

async function login() {
  const answer = await fetch(`${url}/api/v1/auth/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username: "admin", password: readFileSync(passwordFile, "utf8").trim() }),
  });
  if (!answer.ok) process.exit(3);
  return (await answer.json()).access_token;
}

async function hostThatIsUp(token) {
  const answer = await fetch(`${url}/api/v1/hosts?status=up`, { headers: { Authorization: `Bearer ${token}` } });
  const { items = [] } = await answer.json();
  return items.find((host) => Date.parse(host.last_seen_at) >= since);
}

const token = await login();
for (;;) {
  const host = await hostThatIsUp(token);
  if (host) {
    console.log(`${host.name} is up`);
    break;
  }
  if (Date.now() > since + patience) process.exit(1);
  await pause(250);
}
await fetch(`${url}/api/v1/auth/logout`, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
