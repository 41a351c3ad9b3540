//! A real SSH server on a free port of 127.0.0.1, with host keys, users' keys and a home of its own.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, free_address, until};

/// Where Debian, others and those who build it themselves put it.
const BINARIES: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

/// Who runs the tests: the only user whom a server that is not root lets in.
pub fn user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(name).unwrap().trim().to_owned()
}

/// A server that runs until it is dropped.
pub struct Sshd {
    pub port: u16,
    directory: TempDir,
    process: Option<Process>,
}

impl Sshd {
    /// A server with host keys of these kinds.
    pub async fn start(kinds: &[&str]) -> Self {
        let mut server = Self {
            port: free_address().port(),
            directory: tempfile::tempdir().unwrap(),
            process: None,
        };
        fs::create_dir(server.path("home")).unwrap();
        File::create(server.path("authorized_keys")).unwrap();
        server.start_with(kinds).await;
        server
    }

    /// Starts again with new host keys.
    pub async fn set_up_anew(&mut self, kinds: &[&str]) {
        self.stop();
        self.start_with(kinds).await;
    }

    /// Ends the server; who is connected stays so.
    pub fn stop(&mut self) {
        drop(self.process.take());
    }

    async fn start_with(&mut self, kinds: &[&str]) {
        // A server of root keeps its unprivileged half there.
        drop(fs::create_dir_all("/run/sshd"));
        for kind in ["ed25519", "ecdsa", "rsa"] {
            drop(fs::remove_file(self.path(kind)));
        }
        for kind in kinds {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-t", kind, "-f"])
                .arg(self.path(kind))
                .status();
            assert!(made.unwrap().success());
        }
        fs::write(self.path("sshd_config"), self.config(kinds)).unwrap();
        let log = File::create(self.path("log")).unwrap();
        let binary = BINARIES.iter().find(|binary| Path::new(binary).exists());
        let mut command =
            Command::new(binary.unwrap_or(&"sshd is not there: scripts/need.sh test"));
        command
            .args(["-D", "-e", "-f"])
            .arg(self.path("sshd_config"))
            .stderr(log);
        self.process = Some(Process::spawn(&mut command));
        self.until_logged("Server listening", 1).await;
    }

    fn config(&self, kinds: &[&str]) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        let host_keys: String = kinds
            .iter()
            .map(|kind| format!("HostKey {}\n", path(kind)))
            .collect();
        format!(
            "{host_keys}ListenAddress 127.0.0.1\nPort {}\nPidFile none\nLogLevel VERBOSE\nUsePAM no\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             MaxStartups 100\nAuthorizedKeysFile {}\nSetEnv HOME={home} XDG_CACHE_HOME={home}/.cache\n",
            self.port,
            path("authorized_keys"),
            home = path("home"),
        )
    }

    /// A file or directory of this server.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lets a key in, from now on: a line of `authorized_keys`.
    pub fn authorize(&self, line: &str) {
        let path = self.path("authorized_keys");
        let known = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{known}{line}\n")).unwrap();
    }

    /// Writes a shell script and gives its path.
    pub fn script(&self, name: &str, body: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    /// The fingerprint of its host key of this kind.
    pub fn fingerprint(&self, kind: &str) -> String {
        let listed = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(self.path(kind))
            .output();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        listed.split_whitespace().nth(1).unwrap().to_owned()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// How often something stands in its log.
    pub fn logged(&self, what: &str) -> usize {
        self.log().matches(what).count()
    }

    /// How often somebody logged in.
    pub fn logins(&self) -> usize {
        self.logged("Accepted publickey for")
    }

    /// How many connections ended, in whichever way.
    pub fn gone(&self) -> usize {
        let ways = ["Connection closed", "Connection reset", "Disconnected from"];
        ways.map(|way| self.logged(way)).iter().sum()
    }

    /// Waits until so many connections ended.
    pub async fn until_gone(&self, times: usize) {
        until("connections end", 30, || async {
            (self.gone() >= times).then_some(())
        })
        .await;
    }

    /// Waits until something stands in its log so many times.
    pub async fn until_logged(&self, what: &str, times: usize) {
        until(what, 30, || async {
            (self.logged(what) >= times).then_some(())
        })
        .await;
    }
}
