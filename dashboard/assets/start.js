// Starts the dashboard, or says in words that it cannot be started.
import init from "{{dashboard.js}}";

init({ module_or_path: "{{dashboard.wasm}}" }).catch((error) => {
  const note = document.createElement("p");
  note.className = "boot-failure";
  note.textContent = `Infra-Watch could not be started in this browser: ${error}`;
  document.body.replaceChildren(note);
});
