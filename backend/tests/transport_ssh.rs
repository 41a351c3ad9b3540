//! Collection over SSH from real servers: what the real agent gives, and what is said of each thing that goes wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/endpoint.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod endpoint;
#[path = "support/process.rs"]
mod process;
#[path = "support/sshd.rs"]
mod sshd;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use endpoint::{Answer, Endpoint, TOKEN, answer, head, json_answer};
use infra_watch::domain::collection::{Failure, Jump, SshMode, SshTarget, Step, Target, Want};
use infra_watch::domain::egress::EgressRules;
use infra_watch::domain::report::Report;
use infra_watch::transport::{
    SshKey, TransportSettings, Transports, Visit, check_private_key, read,
};
use sshd::{Sshd, user};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

/// Long enough for what is good, on a machine under load.
const PATIENT: Duration = Duration::from_secs(60);
/// Short enough for what never ends.
const IMPATIENT: Duration = Duration::from_secs(3);
/// Key of the host that is visited.
const HOST: Uuid = Uuid::from_u128(7);

/// A server that lets in who collects.
struct Lab {
    sshd: Sshd,
    transports: Transports,
}

impl Lab {
    async fn start() -> Self {
        Self::with(&["ed25519"], PATIENT).await
    }

    async fn with(kinds: &[&str], patience: Duration) -> Self {
        let sshd = Sshd::start(kinds).await;
        symlink(process::agent_binary(), sshd.path("agent")).unwrap();
        let (transports, public_key) = collecting(TransportSettings::default(), patience);
        sshd.authorize(&public_key);
        Self { sshd, transports }
    }

    /// The same, but what is installed there is quick.
    fn quick_target(&self) -> SshTarget {
        SshTarget {
            agent_path: self.sshd.script("quick-agent", &quick_agent()),
            ..self.target()
        }
    }

    /// The server with its only host key, and the agent that is installed there.
    fn target(&self) -> SshTarget {
        target(&self.sshd, &self.sshd.fingerprint("ed25519"))
    }

    async fn fetch(&self, target: &SshTarget, visit: &mut Visit) -> Result<Report, Failure> {
        fetch(&self.transports, target, visit).await
    }

    /// Fetches, and checks where and how that fails.
    async fn check(&self, target: &SshTarget, step: Step, expect: &str) -> Failure {
        let outcome = self.fetch(target, &mut Visit::new(true)).await;
        is_failure(outcome, step, expect)
    }

    /// Fetches with this script as the agent.
    async fn check_script(&self, body: &str, step: Step, expect: &str) {
        let target = SshTarget {
            agent_path: self.sshd.script("agent-of-test", body),
            ..self.target()
        };
        self.check(&target, step, expect).await;
    }
}

/// What prints a report at once.
fn quick_agent() -> String {
    format!("echo '{}'", endpoint::report())
}

/// One who collects with a key of their own.
fn collecting(settings: TransportSettings, patience: Duration) -> (Transports, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, SshKey::generate().unwrap()).unwrap();
    let egress = EgressRules {
        allow: Vec::new(),
        allow_private: true,
    };
    let transports = Transports::new(TransportSettings {
        egress,
        key: Some(SshKey::open(&path).unwrap()),
        patience: Some(patience),
        ..settings
    })
    .unwrap();
    let public_key = transports.public_key(None).unwrap();
    (transports, public_key)
}

fn target(sshd: &Sshd, host_key: &str) -> SshTarget {
    SshTarget {
        address: "127.0.0.1".to_owned(),
        port: sshd.port,
        user: user(),
        host_key: Some(host_key.to_owned()),
        mode: SshMode::Command,
        agent_path: sshd.path("agent").display().to_string(),
        state_dir: Some(sshd.path("state").display().to_string()),
        endpoint: "127.0.0.1:7421".to_owned(),
        token: None,
        private_key: None,
        jump: None,
    }
}

async fn fetch(
    transports: &Transports,
    target: &SshTarget,
    visit: &mut Visit,
) -> Result<Report, Failure> {
    let target = Target::Ssh(target.clone());
    let bytes = transports
        .fetch(HOST, &target, &Want::default(), visit)
        .await?;
    read(&bytes)
}

fn is_failure(outcome: Result<Report, Failure>, step: Step, expect: &str) -> Failure {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.step, step, "{failure:?}");
    assert!(failure.reason.contains(expect), "{failure:?}");
    assert!(!failure.reason.ends_with('.'), "{failure:?}");
    failure
}

fn steps(visit: &Visit) -> Vec<Step> {
    visit.passed.iter().map(|passed| passed.step).collect()
}

#[tokio::test]
async fn the_agent_is_run_for_a_report() {
    let lab = Lab::start().await;
    let target = lab.target();
    let mut visit = Visit::new(true);
    let report = lab.fetch(&target, &mut visit).await.unwrap();
    assert!(report.snapshot.is_some());
    assert_eq!(steps(&visit), Step::ALL[..5]);
    let details: Vec<&str> = visit
        .passed
        .iter()
        .map(|passed| passed.detail.as_str())
        .collect();
    let expected = [
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", target.port),
        format!("ssh-ed25519 {}", target.host_key.unwrap()),
        format!("as {}", user()),
    ];
    assert_eq!(details[..4], expected);
}

#[tokio::test]
async fn a_key_that_may_only_run_the_agent_is_enough() {
    let lab = Lab::start().await;
    let text = SshKey::generate().unwrap();
    let mut target = lab.quick_target();
    let line = target.authorized_keys_line(&check_private_key(&text).unwrap());
    lab.sshd.authorize(&line);
    target.private_key = Some(text);
    lab.fetch(&target, &mut Visit::new(true)).await.unwrap();
    // Whatever is asked for, the agent is run.
    target.agent_path = "reboot".to_owned();
    lab.fetch(&target, &mut Visit::new(false)).await.unwrap();
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let lab = Lab::start().await;
    for kind in ["ecdsa", "rsa"] {
        let path = lab.sshd.path("user-key");
        drop(fs::remove_file(&path));
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-t", kind, "-f"])
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
        let text = fs::read_to_string(&path).unwrap();
        lab.sshd.authorize(&check_private_key(&text).unwrap());
        let target = SshTarget {
            private_key: Some(text),
            ..lab.quick_target()
        };
        lab.fetch(&target, &mut Visit::new(true)).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_is_not_confirmed_is_offered_and_nobody_logs_in() {
    let lab = Lab::start().await;
    let target = SshTarget {
        host_key: None,
        ..lab.target()
    };
    let fingerprint = lab.sshd.fingerprint("ed25519");
    let expect =
        format!("the host key {fingerprint} (ssh-ed25519) is not confirmed yet; nobody logged in");
    let failure = lab.check(&target, Step::HostKey, &expect).await;
    let offered = failure.host_key.clone().unwrap();
    assert_eq!(offered.algorithm, "ssh-ed25519");
    assert_eq!(offered.fingerprint, fingerprint);
    assert_eq!((offered.known, offered.is_jump), (None, false));
    assert!(!failure.is_changed_host_key());
    lab.sshd.until_logged("[preauth]", 1).await;
    assert_eq!(lab.sshd.logged("publickey"), 0, "{}", lab.sshd.log());
}

#[tokio::test]
async fn a_changed_key_is_named_with_the_known_one_and_nobody_logs_in() {
    let mut lab = Lab::start().await;
    let target = lab.quick_target();
    let known = target.host_key.clone().unwrap();
    lab.fetch(&target, &mut Visit::new(true)).await.unwrap();
    for (kinds, kind, algorithm) in [
        (&["ed25519"][..], "ed25519", "ssh-ed25519"),
        (&["ed25519", "ecdsa", "rsa"], "ed25519", "ssh-ed25519"),
        (&["rsa"], "rsa", "ssh-rsa"),
        (&["ecdsa"], "ecdsa", "ecdsa-sha2-nistp256"),
    ] {
        lab.sshd.set_up_anew(kinds).await;
        let shown = lab.sshd.fingerprint(kind);
        let expect = format!(
            "the host key is {shown} ({algorithm}), and {known} is known; nobody logged in"
        );
        let outcome = lab.fetch(&target, &mut Visit::new(false)).await;
        let failure = is_failure(outcome, Step::HostKey, &expect);
        assert!(failure.is_changed_host_key());
        let offered = failure.host_key.unwrap();
        assert_eq!(
            (offered.fingerprint, offered.known),
            (shown, Some(known.clone()))
        );
        assert_eq!(lab.sshd.logged("publickey"), 0, "{}", lab.sshd.log());
    }
}

#[tokio::test]
async fn a_key_is_found_though_others_are_preferred() {
    let kinds = ["ed25519", "ecdsa", "rsa"];
    let lab = Lab::with(&kinds, PATIENT).await;
    for (kind, connections) in [("rsa", 3), ("rsa", 1), ("ecdsa", 3), ("ed25519", 2)] {
        let before = lab.sshd.logged("Connection from");
        let target = SshTarget {
            host_key: Some(lab.sshd.fingerprint(kind)),
            ..lab.quick_target()
        };
        let mut visit = Visit::new(false);
        lab.fetch(&target, &mut visit).await.unwrap();
        assert_eq!(steps(&visit), Step::ALL[..5]);
        assert_eq!(lab.sshd.logged("Connection from") - before, connections);
    }
}

#[tokio::test]
async fn a_refused_key_is_named() {
    let lab = Lab::start().await;
    let target = SshTarget {
        private_key: Some(SshKey::generate().unwrap()),
        ..lab.target()
    };
    let failure = lab
        .check(
            &target,
            Step::Authenticate,
            "the host refuses the key ssh-ed25519 SHA256:",
        )
        .await;
    assert!(
        failure.reason.ends_with(&format!("for user {}", user())),
        "{failure:?}"
    );
    let target = SshTarget {
        private_key: Some("nonsense".to_owned()),
        ..lab.target()
    };
    lab.check(&target, Step::Authenticate, "the key for the host must be")
        .await;
    let egress = EgressRules {
        allow: Vec::new(),
        allow_private: true,
    };
    let keyless = TransportSettings {
        egress,
        ..TransportSettings::default()
    };
    let keyless = Transports::new(keyless).unwrap();
    assert_eq!(keyless.public_key(None), None);
    let outcome = fetch(&keyless, &lab.target(), &mut Visit::new(true)).await;
    is_failure(
        outcome,
        Step::Authenticate,
        "there is no key to log in to the host with",
    );
}

#[tokio::test]
async fn a_command_that_fails_is_put_into_words() {
    let lab = Lab::start().await;
    let check = async |body, expect| lab.check_script(body, Step::Agent, expect).await;
    check(
        "printf 'no \\033[2Jdisk\\n' >&2; exit 3",
        "the command ended with status 3: no ·[2Jdisk",
    )
    .await;
    check("exit 1", "the command ended with status 1").await;
    check("kill -9 $$", "the command was ended by signal KILL").await;
    check("exit 0", "nothing came").await;
    check(
        "head -c 300000 /dev/zero | tr '\\0' x >&2; exit 3",
        &format!("status 3: {}…", "x".repeat(200)),
    )
    .await;
    lab.check_script("echo '{}'", Step::Report, "no valid report")
        .await;
    lab.check_script("echo Welcome", Step::Report, "no valid report")
        .await;

    let mut target = lab.target();
    target.agent_path = "/nowhere/infra-watch-agent".to_owned();
    let missing = "the command ended with status 127";
    let failure = lab.check(&target, Step::Agent, missing).await;
    let hint = "is the agent installed at /nowhere/infra-watch-agent?";
    assert!(failure.reason.ends_with(hint), "{failure:?}");
    target.agent_path = lab.sshd.path("log").display().to_string();
    lab.check(&target, Step::Agent, "the command ended with status 126")
        .await;
    for path in ["a; reboot", "$(reboot)", "-c", "", "a b", "a'b"] {
        target.agent_path = path.to_owned();
        lab.check(&target, Step::Agent, "the agent's path cannot stand")
            .await;
    }
    let target = SshTarget {
        state_dir: Some("--help".to_owned()),
        ..lab.target()
    };
    lab.check(&target, Step::Agent, "the state directory cannot stand")
        .await;
}

#[tokio::test]
async fn what_is_too_much_or_never_ends_is_left() {
    let lab = Lab::with(&["ed25519"], IMPATIENT).await;
    // Who is left notices it when it writes.
    let endless = "while echo x >&2; do sleep 0.05; done";
    lab.check_script(endless, Step::Agent, "took more than 3 s")
        .await;
    let dripping = "while echo x; do sleep 0.05; done";
    lab.check_script(dripping, Step::Agent, "took more than 3 s")
        .await;
    let lab = Lab::start().await;
    let flood = "head -c 100000000 /dev/zero";
    lab.check_script(flood, Step::Agent, "more than 8 MiB came")
        .await;
    let flood = "head -c 100000000 /dev/zero >&2; exit 4";
    lab.check_script(flood, Step::Agent, "status 4").await;
}

#[tokio::test]
async fn what_is_no_ssh_server_is_left() {
    let lab = Lab::with(&["ed25519"], IMPATIENT).await;
    let at = |port| SshTarget {
        port,
        ..lab.target()
    };

    let free = process::free_address();
    let refused = format!("the connection to {free} was refused");
    lab.check(&at(free.port()), Step::Connect, &refused).await;

    let http = Endpoint::start(Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    let target = at(http.address.port());
    let outcome = lab.fetch(&target, &mut Visit::new(true)).await;
    // It waits for the rest of a request.
    let expect = format!(
        "waiting for the host key of {} took more than 3 s",
        http.address
    );
    is_failure(outcome, Step::HostKey, &expect);

    for (bytes, drips, expect) in [
        (
            &b""[..],
            false,
            "the connection was closed; is it an SSH server?",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            false,
            "is it an SSH server?",
        ),
        (b"SSH-1.5-old\r\n", false, "is it an SSH server?"),
        (
            b"SSH-2.0-x\r\n\0\0\0\0\0\0\0\0",
            false,
            "is it an SSH server?",
        ),
        (b"SSH-2.0-", true, "took more than 3 s"),
        (b"", true, "took more than 3 s"),
    ] {
        let talker = says(bytes, drips).await;
        lab.check(&at(talker.port), Step::HostKey, expect).await;
    }
}

/// Someone who talks on a port.
struct Talker {
    port: u16,
    /// How many bytes were heard.
    heard: watch::Receiver<usize>,
    /// Ends when the other side has hung up.
    talking: JoinHandle<()>,
}

/// Says this at once, and then either hangs up or drips until the other side hangs up.
async fn says(bytes: &'static [u8], drips: bool) -> Talker {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (note, heard) = watch::channel(0);
    let talking = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        if !drips {
            stream.shutdown().await.unwrap();
        }
        let (mut hearing, mut speaking) = stream.split();
        let drip = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while drips && speaking.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
        };
        let listen = async {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = hearing.read(&mut buffer).await {
                note.send_modify(|heard| *heard += read);
            }
        };
        tokio::join!(drip, listen);
    });
    Talker {
        port,
        heard,
        talking,
    }
}

#[tokio::test]
async fn who_is_dropped_hangs_up() {
    let lab = Lab::start().await;
    // Before its banner came, and while keys are exchanged: then a packet is announced that never ends.
    for (bytes, heard) in [(&b""[..], 10), (b"SSH-2.0-x\r\n\0\0\x40\0", 500)] {
        let mut talker = says(bytes, true).await;
        let target = SshTarget {
            port: talker.port,
            ..lab.target()
        };
        let mut visit = Visit::new(true);
        tokio::select! {
            outcome = lab.fetch(&target, &mut visit) => panic!("{outcome:?}"),
            _ = talker.heard.wait_for(|all| *all >= heard) => {}
        }
        talker.talking.await.unwrap();
    }
    let target = SshTarget {
        agent_path: lab
            .sshd
            .script("endless", "while echo x >&2; do sleep 0.05; done"),
        ..lab.target()
    };
    let mut visit = Visit::new(true);
    tokio::select! {
        outcome = lab.fetch(&target, &mut visit) => panic!("{outcome:?}"),
        () = lab.sshd.until_logged("Starting session", 1) => {}
    }
    lab.sshd.until_gone(1).await;
}

#[tokio::test]
async fn only_what_is_permitted_is_dialled() {
    let lab = Lab::start().await;
    let strict = |allow_private| {
        let egress = EgressRules {
            allow: Vec::new(),
            allow_private,
        };
        Transports::new(TransportSettings {
            egress,
            ..TransportSettings::default()
        })
        .unwrap()
    };
    let check = async |allow_private, address: &str, expect: &str| {
        let target = SshTarget {
            address: address.to_owned(),
            private_key: Some(SshKey::generate().unwrap()),
            ..lab.target()
        };
        let outcome = fetch(&strict(allow_private), &target, &mut Visit::new(true)).await;
        is_failure(outcome, Step::Resolve, expect);
    };
    check(
        false,
        "127.0.0.1",
        "is loopback: it needs --allow-private-egress",
    )
    .await;
    check(
        false,
        "localhost",
        "is loopback: it needs --allow-private-egress",
    )
    .await;
    check(false, "127.1", "is loopback").await;
    check(true, "169.254.169.254", "link-local or a metadata service").await;
    check(true, "fe80::1", "link-local or a metadata service").await;
    check(
        true,
        "nobody.invalid",
        "the name nobody.invalid cannot be resolved",
    )
    .await;
    assert_eq!(lab.sshd.logged("Connection from"), 0);
}

/// An endpoint behind a server, and the only key that leads there.
async fn behind(lab: &Lab, answer: Answer) -> (Endpoint, SshTarget) {
    let endpoint = Endpoint::start(answer).await;
    let text = SshKey::generate().unwrap();
    let target = SshTarget {
        mode: SshMode::Tunnel,
        endpoint: endpoint.address.to_string(),
        token: Some(TOKEN.to_owned()),
        private_key: Some(text.clone()),
        ..lab.target()
    };
    let line = target.authorized_keys_line(&check_private_key(&text).unwrap());
    lab.sshd.authorize(&line);
    (endpoint, target)
}

#[tokio::test]
async fn an_endpoint_is_asked_through_a_tunnel() {
    let lab = Lab::start().await;
    let report = endpoint::report().to_string();
    let (endpoint, target) = behind(&lab, json_answer(report.as_bytes())).await;
    let want = Want {
        since: Some(1_800_000_000),
        known_snapshot: Some("ab".repeat(32)),
    };
    let mut visit = Visit::new(true);
    let bytes = lab
        .transports
        .fetch(HOST, &Target::Ssh(target.clone()), &want, &mut visit)
        .await
        .unwrap();
    assert_eq!(bytes, report);
    let request = endpoint.seen().requests.remove(0);
    let known = "ab".repeat(32);
    let line = format!("GET /report?since=1800000000&known_snapshot={known} HTTP/1.1\r\n");
    assert!(request.starts_with(&line), "{request}");
    for header in [
        format!("host: {}\r\n", endpoint.address),
        format!("authorization: Bearer {TOKEN}\r\n"),
    ] {
        assert!(request.contains(&header), "{request}");
    }

    // The key leads there and nowhere else.
    let other = SshTarget {
        endpoint: "127.0.0.1:1".to_owned(),
        ..target.clone()
    };
    let expect = "does not let us through to 127.0.0.1:1: it is forbidden there";
    lab.check(&other, Step::Agent, expect).await;
    let command = SshTarget {
        mode: SshMode::Command,
        ..target
    };
    lab.check(&command, Step::Agent, "status 1").await;
}

#[tokio::test]
async fn what_goes_wrong_in_a_tunnel_is_put_into_words() {
    let lab = Lab::start().await;
    let check = async |answer, step, expect| {
        let (endpoint, target) = behind(&lab, answer).await;
        lab.check(&target, step, expect).await;
        drop(endpoint);
    };
    let json = [("content-type", "application/json")];
    let agent = Step::Agent;
    check(
        answer(401, &json, b"{}"),
        Step::Authenticate,
        "refuses the token: 401",
    )
    .await;
    check(
        answer(421, &json, b"{}"),
        agent,
        "its --allowed-hosts must name it",
    )
    .await;
    check(answer(503, &json, b"{}"), agent, "answered 503").await;
    check(json_answer(b"{}"), Step::Report, "no valid report").await;
    check(
        Answer::Bytes(b"hello\r\n\r\n".to_vec()),
        agent,
        "gave no answer in HTTP",
    )
    .await;
    let flood = Answer::ThenFlood(head(200, &json, 100_000_000).into_bytes());
    check(flood, agent, "more than 8 MiB came").await;

    let mut target = lab.target();
    target.mode = SshMode::Tunnel;
    target.endpoint = process::free_address().to_string();
    lab.check(&target, agent, "nothing answers there").await;

    let lab = Lab::with(&["ed25519"], IMPATIENT).await;
    for head in [
        &b"HTTP/1.1 200 "[..],
        head(200, &json, 1_000_000).as_bytes(),
    ] {
        let (_endpoint, target) = behind(&lab, Answer::ThenDrip(head.to_vec())).await;
        lab.check(&target, agent, "took more than 3 s").await;
    }
}

/// The machine in between, and a target behind it; what each lets in is restricted as the product says.
async fn through(lab: &Lab) -> (Sshd, SshTarget) {
    let bastion = Sshd::start(&["ed25519", "rsa"]).await;
    let (own, of_bastion) = (SshKey::generate().unwrap(), SshKey::generate().unwrap());
    let jump = Jump {
        address: "127.0.0.1".to_owned(),
        port: bastion.port,
        user: user(),
        host_key: Some(bastion.fingerprint("rsa")),
        private_key: Some(of_bastion.clone()),
    };
    let mut target = SshTarget {
        private_key: Some(own.clone()),
        ..lab.quick_target()
    };
    let line = jump.authorized_keys_line(&target, &check_private_key(&of_bastion).unwrap());
    bastion.authorize(&line);
    let line = target.authorized_keys_line(&check_private_key(&own).unwrap());
    lab.sshd.authorize(&line);
    target.jump = Some(jump);
    (bastion, target)
}

#[tokio::test]
async fn a_host_is_reached_through_another() {
    let lab = Lab::with(&["ed25519", "rsa"], PATIENT).await;
    let (bastion, mut target) = through(&lab).await;
    target.host_key = Some(lab.sshd.fingerprint("rsa"));
    let mut visit = Visit::new(true);
    lab.fetch(&target, &mut visit).await.unwrap();
    use Step::{Agent, Authenticate, Connect, HostKey, Resolve};
    let expected = [
        Resolve,
        Connect,
        HostKey,
        Authenticate,
        Connect,
        HostKey,
        Authenticate,
        Agent,
    ];
    assert_eq!(steps(&visit), expected);
    assert_eq!(
        visit.passed[1].detail,
        format!("jump host 127.0.0.1:{}", bastion.port)
    );
    let from = format!("127.0.0.1:{} from the jump host", lab.sshd.port);
    assert_eq!(visit.passed[4].detail, from);
    assert_eq!(
        visit.passed[5].detail,
        format!("ssh-rsa {}", lab.sshd.fingerprint("rsa"))
    );
    // And once more over what was kept.
    lab.fetch(&target, &mut Visit::new(true)).await.unwrap();
    assert_eq!(bastion.logins(), 1);
    lab.transports.forget(HOST);

    let jump = target.jump.clone().unwrap();
    let through = |jump: Jump| SshTarget {
        jump: Some(jump),
        ..target.clone()
    };
    // The machine in between is judged first.
    let shown = bastion.fingerprint("ed25519");
    let unknown = through(Jump {
        host_key: None,
        ..jump.clone()
    });
    let expect = format!("the jump host key {shown} (ssh-ed25519) is not confirmed yet");
    let failure = lab.check(&unknown, HostKey, &expect).await;
    assert!(failure.host_key.unwrap().is_jump);
    let known = lab.sshd.fingerprint("rsa");
    let changed = through(Jump {
        host_key: Some(known.clone()),
        ..jump.clone()
    });
    let expect = format!("the jump host key is {shown} (ssh-ed25519), and {known} is known");
    let failure = lab.check(&changed, HostKey, &expect).await;
    assert!(failure.is_changed_host_key() && failure.host_key.unwrap().is_jump);
    assert_eq!(bastion.logins(), 1);
    // Then the host, through it.
    let before = lab.sshd.logged("publickey");
    let changed = SshTarget {
        host_key: Some(shown.clone()),
        ..target.clone()
    };
    let offered = lab.sshd.fingerprint("ed25519");
    let expect = format!("the host key is {offered} (ssh-ed25519), and {shown} is known");
    let failure = lab.check(&changed, HostKey, &expect).await;
    assert!(!failure.host_key.unwrap().is_jump);
    assert_eq!(lab.sshd.logged("publickey"), before);
    let elsewhere = SshTarget {
        port: 1,
        ..target.clone()
    };
    let expect = "the jump host does not let us through to 127.0.0.1:1: it is forbidden there";
    lab.check(&elsewhere, Connect, expect).await;
    let stranger = through(Jump {
        private_key: Some(SshKey::generate().unwrap()),
        ..jump.clone()
    });
    lab.check(&stranger, Authenticate, "refuses the key").await;
}

#[tokio::test]
async fn the_machine_in_between_is_no_way_around_what_is_permitted() {
    let transports = Transports::new(TransportSettings::default()).unwrap();
    let check = async |address: &str, expect: &str| {
        let key = Some(SshKey::generate().unwrap());
        let target = SshTarget {
            address: address.to_owned(),
            port: 22,
            user: "watch".to_owned(),
            host_key: None,
            mode: SshMode::Command,
            agent_path: "infra-watch-agent".to_owned(),
            state_dir: None,
            endpoint: "127.0.0.1:7421".to_owned(),
            token: None,
            private_key: key.clone(),
            jump: Some(Jump {
                address: "127.0.0.1".to_owned(),
                port: 1,
                user: "watch".to_owned(),
                host_key: None,
                private_key: key,
            }),
        };
        let outcome = fetch(&transports, &target, &mut Visit::new(true)).await;
        is_failure(outcome, Step::Resolve, expect);
    };
    check(
        "169.254.169.254",
        "the address 169.254.169.254 is link-local",
    )
    .await;
    check("fe80::1", "the address fe80::1 is link-local").await;
    check("127.0.0.2", "the address 127.0.0.2 is loopback").await;
    check("127.2", "the address 127.0.0.2 is loopback").await;
    check("0x7f000002", "the address 127.0.0.2 is loopback").await;
    check("::1", "the address ::1 is loopback").await;
    check("LocalHost", "the address 127.0.0.1 is loopback").await;
    // The target may be anywhere else, and then the machine in between is judged itself.
    check("10.0.0.5", "the address 127.0.0.1 is loopback").await;
    check("web-1", "the address 127.0.0.1 is loopback").await;
}

/// One who uploads what is in a directory.
fn uploading(lab: &Lab, agents: &Path) -> Transports {
    let settings = TransportSettings {
        agent_binaries: Some(agents.to_owned()),
        ..TransportSettings::default()
    };
    let (transports, public_key) = collecting(settings, PATIENT);
    let mut target = lab.target();
    target.mode = SshMode::Upload;
    lab.sshd
        .authorize(&target.authorized_keys_line(&public_key));
    transports
}

/// Where the agent for this machine is.
fn agent_file(agents: &Path) -> std::path::PathBuf {
    agents.join(format!("infra-watch-agent-{}", std::env::consts::ARCH))
}

/// All files below a directory, by their paths from there.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = files(&entry.path());
            found.extend(below.into_iter().map(|path| format!("{name}/{path}")));
        } else {
            found.push(name);
        }
    }
    found.sort_unstable();
    found
}

#[tokio::test]
async fn the_real_agent_is_copied_and_run() {
    let lab = Lab::start().await;
    let agents = tempfile::tempdir().unwrap();
    let file = agent_file(agents.path());
    fs::copy(process::agent_binary(), &file).unwrap();
    // Smaller without its symbols, where that can be done.
    drop(std::process::Command::new("strip").arg(&file).status());
    let transports = uploading(&lab, agents.path());
    let target = SshTarget {
        mode: SshMode::Upload,
        state_dir: Some(lab.sshd.path("home/state").display().to_string()),
        ..lab.target()
    };
    let mut visit = Visit::new(true);
    let report = fetch(&transports, &target, &mut visit).await.unwrap();
    assert!(report.snapshot.is_some());
    assert_eq!(steps(&visit), Step::ALL[..5]);
    // Nothing is left but the copy and the agent's own state.
    let left = files(&lab.sshd.path("home"));
    let (copies, rest): (Vec<&String>, Vec<&String>) = left
        .iter()
        .partition(|path| path.starts_with(".cache/infra-watch/infra-watch-agent-"));
    assert_eq!(copies.len(), 1, "{left:?}");
    assert!(
        rest.iter().all(|path| path.starts_with("state/")),
        "{left:?}"
    );
}

#[tokio::test]
async fn an_agent_is_copied_once() {
    let lab = Lab::start().await;
    let agents = tempfile::tempdir().unwrap();
    // A script is as good as a binary.
    let put = |version: &str| {
        let script = format!("#!/bin/sh\n# {version}\n{}\n", quick_agent());
        fs::write(agent_file(agents.path()), script).unwrap();
    };
    put("1");
    let transports = uploading(&lab, agents.path());
    let target = SshTarget {
        mode: SshMode::Upload,
        ..lab.target()
    };
    let home = lab.sshd.path("home");
    let copy = || {
        let mut found = files(&home);
        assert_eq!(found.len(), 1, "{found:?}");
        home.join(found.remove(0))
    };
    // How many commands it takes.
    let visit = async |may_reuse, commands| {
        let before = lab.sshd.logged("Starting session");
        fetch(&transports, &target, &mut Visit::new(may_reuse))
            .await
            .unwrap();
        assert_eq!(lab.sshd.logged("Starting session") - before, commands);
    };
    visit(true, 4).await;
    let first = copy();
    let modified = fs::metadata(&first).unwrap().modified().unwrap();
    visit(true, 1).await;
    visit(false, 1).await;
    assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), modified);
    // A damaged copy is not run.
    fs::write(&first, "#!/bin/sh\necho damaged").unwrap();
    visit(false, 3).await;
    assert_eq!(copy(), first);
    // A new agent takes the place of the old one.
    put("2 or so");
    visit(false, 3).await;
    assert_ne!(copy(), first);
    transports.forget(HOST);
    visit(true, 2).await;
}

#[tokio::test]
async fn what_goes_wrong_with_a_copy_is_put_into_words() {
    let lab = Lab::start().await;
    let agents = tempfile::tempdir().unwrap();
    let transports = uploading(&lab, agents.path());
    let target = SshTarget {
        mode: SshMode::Upload,
        ..lab.target()
    };
    lab.check(
        &target,
        Step::Agent,
        "--agent-binaries must name a directory",
    )
    .await;
    let check = async |target: &SshTarget, expect: &str| {
        let outcome = fetch(&transports, target, &mut Visit::new(true)).await;
        is_failure(outcome, Step::Agent, expect)
    };
    let arch = std::env::consts::ARCH;
    check(
        &target,
        &format!("the agent for {arch} in --agent-binaries cannot be read"),
    )
    .await;

    let put = |script: &str| fs::write(agent_file(agents.path()), script).unwrap();
    put("#!/bin/sh\necho broken >&2; exit 5\n");
    check(&target, "the command ended with status 5: broken").await;
    put("no program at all");
    check(&target, "the command ended with status").await;

    // Where the cache should be is something else.
    let home = lab.sshd.path("home");
    fs::remove_dir_all(home.join(".cache")).unwrap();
    fs::write(home.join(".cache"), "").unwrap();
    let failure = check(&target, "the agent cannot be kept in the cache of ").await;
    assert!(failure.reason.contains("mkdir"), "{failure:?}");
    assert_eq!(files(&home), [".cache"]);

    let text = SshKey::generate().unwrap();
    let public = check_private_key(&text).unwrap();
    lab.sshd
        .authorize(&format!("restrict,command=\"echo sparc64\" {public}"));
    let elsewhere = SshTarget {
        private_key: Some(text),
        ..target
    };
    // What it was before is forgotten when it fails.
    check(
        &elsewhere,
        "there is no agent for a machine of kind sparc64",
    )
    .await;
}

/// A way to a server that can be cut.
struct Cable {
    port: u16,
    cut: watch::Sender<u32>,
    carrying: JoinHandle<()>,
}

impl Cable {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (cut, cuts) = watch::channel(0);
        let carrying = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                carried.spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self {
            port: own_port,
            cut,
            carrying,
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_visit() {
    let lab = Lab::start().await;
    let cable = Cable::to(lab.sshd.port).await;
    let target = SshTarget {
        port: cable.port,
        ..lab.quick_target()
    };
    let visit = async |target: &SshTarget, may_reuse, logins| {
        let mut visit = Visit::new(may_reuse);
        lab.fetch(target, &mut visit).await.unwrap();
        assert_eq!(lab.sshd.logins(), logins);
        assert_eq!(steps(&visit), Step::ALL[..5]);
    };
    visit(&target, true, 1).await;
    visit(&target, true, 1).await;
    visit(&target, true, 1).await;
    visit(&target, false, 2).await;
    visit(&target, true, 2).await;
    // Who is cut off logs in again, and nobody hears of it.
    cable.cut.send_modify(|cuts| *cuts += 1);
    lab.sshd.until_gone(1).await;
    visit(&target, true, 3).await;
    visit(&target, true, 3).await;
    // Another target is another connection.
    let other = SshTarget {
        state_dir: None,
        ..target.clone()
    };
    visit(&other, true, 4).await;
    let before = lab.sshd.gone();
    lab.transports.forget(HOST);
    lab.sshd.until_gone(before + 1).await;
    visit(&other, true, 5).await;
}
