//! Collection over SSH from real servers: whom it trusts, who lets it in, and what is said of all that goes wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/endpoint.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod endpoint;
#[path = "support/process.rs"]
mod process;
#[path = "support/ssh_lab.rs"]
mod ssh_lab;
#[path = "support/sshd.rs"]
mod sshd;

use std::fs;
use std::time::Duration;

use endpoint::{Answer, Endpoint};
use infra_watch::domain::collection::{SshTarget, Step};
use infra_watch::domain::egress::EgressRules;
use infra_watch::transport::{SshKey, TransportSettings, Transports, Visit, check_private_key};
use ssh_lab::{IMPATIENT, Lab, PATIENT, fetch, is_failure, steps};
use sshd::user;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Fetches with this script as the agent.
async fn check_script(lab: &Lab, body: &str, step: Step, expect: &str) {
    let target = SshTarget {
        agent_path: lab.sshd.script("agent-of-test", body),
        ..lab.target()
    };
    lab.check(&target, step, expect).await;
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
    let check = async |body, expect| check_script(&lab, body, Step::Agent, expect).await;
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
    check_script(&lab, "echo '{}'", Step::Report, "no valid report").await;
    check_script(&lab, "echo Welcome", Step::Report, "no valid report").await;

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
    check_script(&lab, endless, Step::Agent, "took more than 3 s").await;
    let dripping = "while echo x; do sleep 0.05; done";
    check_script(&lab, dripping, Step::Agent, "took more than 3 s").await;
    let lab = Lab::start().await;
    let flood = "head -c 100000000 /dev/zero";
    check_script(&lab, flood, Step::Agent, "more than 8 MiB came").await;
    let flood = "head -c 100000000 /dev/zero >&2; exit 4";
    check_script(&lab, flood, Step::Agent, "status 4").await;
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
