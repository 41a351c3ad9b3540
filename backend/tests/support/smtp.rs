//! A real mail server, `smtp/sink.py`, in the environment that `scripts/need.sh test` makes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The name that the server's certificate bears, which is also one of this machine.
pub const NAME: &str = "localhost";

/// How the server is.
#[derive(Clone, Default)]
pub struct Options {
    /// `none`, `starttls` or `tls`.
    pub security: &'static str,
    /// The name in its certificate, where it has one.
    pub certified: Option<&'static str>,
    /// Who must log in.
    pub login: Option<(&'static str, &'static str)>,
    /// Receivers that are refused, each with the answer: `b@example.org=550 no`.
    pub refuse: &'static [&'static str],
}

/// A server that runs until it is killed or dropped, and can run again at the same place.
pub struct MailServer {
    pub port: u16,
    /// Its certificate, in DER.
    pub certificate: Option<Vec<u8>>,
    options: Options,
    directory: TempDir,
    process: Child,
    said: UnboundedReceiver<Value>,
}

impl MailServer {
    pub async fn start(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificate = options
            .certified
            .map(|name| certify(directory.path(), name));
        let (process, said) = spawn(&options, directory.path(), 0);
        let mut server = Self {
            port: 0,
            certificate,
            options,
            directory,
            process,
            said,
        };
        server.port = server.listening().await;
        server
    }

    /// The next message that it takes.
    pub async fn next(&mut self) -> Value {
        let said = self.said.recv().await;
        said.unwrap_or_else(|| panic!("the mail server ended"))
    }

    /// Messages that it took and nobody asked for yet.
    pub fn unread(&mut self) -> usize {
        std::iter::from_fn(|| self.said.try_recv().ok()).count()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        // One that ended already cannot be killed; waiting frees its entry all the same.
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        self.kill();
        (self.process, self.said) = spawn(&self.options, self.directory.path(), self.port);
        assert_eq!(self.listening().await, self.port);
    }

    async fn listening(&mut self) -> u16 {
        let port = self.next().await["port"].as_u64().unwrap();
        u16::try_from(port).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let program = target.join("smtp/bin/python");
    assert!(
        program.exists(),
        "{} is not there: scripts/need.sh test",
        program.display()
    );
    program
}

/// Makes a certificate and its key in the directory, and returns the certificate in DER.
fn certify(directory: &Path, name: &str) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(directory.join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().to_vec()
}

fn spawn(options: &Options, directory: &Path, port: u16) -> (Child, UnboundedReceiver<Value>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp/sink.py");
    let mut command = Command::new(python());
    command
        // It would warn that a login without TLS is unwise.
        .args(["-W", "ignore"])
        .arg(script)
        .args(["--port", &port.to_string()])
        .args(["--security", options.security]);
    if options.certified.is_some() {
        command.arg("--certificate");
        command.arg(directory.join("certificate.pem"));
        command.arg("--key").arg(directory.join("key.pem"));
    }
    if let Some((user, password)) = options.login {
        command.args(["--user", user, "--password", password]);
    }
    for refused in options.refuse {
        command.args(["--refuse", refused]);
    }
    // It ends with its standard input, should this process be killed.
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let (say, said) = unbounded_channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let words = serde_json::from_str(&line);
            if say.send(words.unwrap()).is_err() {
                return;
            }
        }
    });
    (process, said)
}
