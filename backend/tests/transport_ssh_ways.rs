//! The ways over SSH beside the installed agent: tunnels, copied agents, machines in between, and connections that are
//! kept.
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
use std::path::Path;

use endpoint::{Answer, Endpoint, TOKEN, answer, head, json_answer};
use infra_watch::domain::collection::{Jump, SshMode, SshTarget, Step, Target, Want};
use infra_watch::transport::{SshKey, TransportSettings, Transports, Visit, check_private_key};
use ssh_lab::{HOST, IMPATIENT, Lab, PATIENT, collecting, fetch, is_failure, quick_agent, steps};
use sshd::{Sshd, user};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

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
    target.endpoint = "169.254.169.254:80".to_owned();
    lab.check(&target, agent, "link-local or a metadata service")
        .await;

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

/// What visits cost who collects, with a login each and over a connection that is kept. Figures are printed.
#[tokio::test]
#[ignore = "a measurement, for a release build: cargo test --release --test transport_ssh -- --ignored --nocapture"]
async fn what_a_visit_costs() {
    let lab = Lab::start().await;
    let target = lab.quick_target();
    let processor_ticks = || {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let after_name = stat.rsplit(") ").next().unwrap();
        let field = |at| {
            after_name
                .split(' ')
                .nth(at)
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        field(11) + field(12)
    };
    for may_reuse in [false, true] {
        let visits = 200;
        lab.fetch(&target, &mut Visit::new(may_reuse))
            .await
            .unwrap();
        let (begun, ticks) = (std::time::Instant::now(), processor_ticks());
        for _ in 0..visits {
            lab.fetch(&target, &mut Visit::new(may_reuse))
                .await
                .unwrap();
        }
        let wall = begun.elapsed().as_secs_f64() * 1000.0 / f64::from(visits);
        // A tick is 10 ms.
        let processor = (processor_ticks() - ticks) * 10.0 / f64::from(visits);
        println!(
            "may reuse: {may_reuse}: {wall:.2} ms a visit, {processor:.2} ms of them our processor"
        );
    }
}
