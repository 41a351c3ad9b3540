//! Hosts without an agent: it is copied there once, into the user's cache, and run from there. Only fixed command lines
//! are run; a host's answers never get into one.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;

use super::binaries::{Architecture, Binaries};
use super::command::{End, Ended, run};
use super::session::Session;
use crate::domain::collection::{Failure, SshTarget, Step, Want};
use crate::transport::Visit;
use crate::transport::bounded::Budget;
use crate::transport::words::quoted;

/// How much of the hash stands in the name of the copy, in characters; all of it is compared.
const NAME_CHARS: usize = 16;
/// Of how many hosts the architecture is remembered.
const MAX_ARCHITECTURES: usize = 4096;
/// Longest quote of what a host is, in characters.
const MAX_QUOTE_CHARS: usize = 40;

/// Statuses of our own, which no agent ends with.
const NOT_THERE: u32 = 97;
const NOT_KEPT: u32 = 96;
const NOT_WHOLE: u32 = 95;

/// Where copies are.
const CACHE: &str = "${XDG_CACHE_HOME:-$HOME/.cache}/infra-watch";

/// Uploads agents.
pub struct Uploader {
    binaries: Binaries,
    architectures: Mutex<HashMap<Uuid, Architecture>>,
}

/// A visit to one host.
pub struct Upload<'a> {
    pub host_id: Uuid,
    pub session: &'a Session,
    pub target: &'a SshTarget,
    pub want: &'a Want,
    pub budget: &'a Budget,
}

impl Uploader {
    pub fn new(binaries: Binaries) -> Self {
        Self {
            binaries,
            architectures: Mutex::new(HashMap::new()),
        }
    }

    /// Forgets what is known of a host.
    pub fn forget(&self, host_id: Uuid) {
        self.architectures.lock().remove(&host_id);
    }

    /// Runs the agent, and copies it first when it is not there.
    ///
    /// # Errors
    /// When it gives no report.
    pub async fn report(&self, upload: Upload<'_>, visit: &mut Visit) -> Result<Bytes, Failure> {
        let report = self.run(&upload, visit).await;
        if report.is_err() {
            // The host may be another machine now.
            self.forget(upload.host_id);
        }
        report
    }

    async fn run(&self, upload: &Upload<'_>, visit: &mut Visit) -> Result<Bytes, Failure> {
        visit.begin(Step::Agent, "asking what kind of machine the host is");
        let architecture = self.architecture(upload).await?;
        let mut hash = self.binaries.hash(architecture).await?;
        visit.begin(Step::Agent, "running the agent that was copied");
        let mut ended = upload.run(&hash).await?;
        if ended.end == End::Status(NOT_THERE) {
            visit.begin(Step::Agent, "copying the agent");
            let binary;
            (binary, hash) = self.binaries.load(architecture).await?;
            upload.copy(binary, &hash).await?;
            visit.begin(Step::Agent, "running the agent that was copied");
            ended = upload.run(&hash).await?;
        }
        if ended.end == End::Status(NOT_THERE) {
            return Err(agent("the agent that was copied is not there".to_owned()));
        }
        ended.report("the agent that was copied")
    }

    async fn architecture(&self, upload: &Upload<'_>) -> Result<Architecture, Failure> {
        let known = self.architectures.lock().get(&upload.host_id).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let ended = upload.exec("uname -m", Bytes::new()).await?;
        if let Some(complaint) = ended.complaint() {
            return Err(agent(format!(
                "asking for the machine with uname -m: {complaint}"
            )));
        }
        let said = ended.output.finish()?;
        let said = String::from_utf8_lossy(&said);
        let Some(architecture) = Architecture::of(said.trim()) else {
            let machine = quoted(&said, MAX_QUOTE_CHARS);
            return Err(agent(format!(
                "there is no agent for a machine of kind {machine}"
            )));
        };
        let mut architectures = self.architectures.lock();
        if architectures.len() < MAX_ARCHITECTURES {
            architectures.insert(upload.host_id, architecture);
        }
        Ok(architecture)
    }
}

impl Upload<'_> {
    async fn exec(&self, line: &str, input: Bytes) -> Result<Ended, Failure> {
        run(self.session, line, input, self.budget).await
    }

    async fn run(&self, hash: &str) -> Result<Ended, Failure> {
        let command = self.target.command_line("exec \"$f\"", self.want);
        self.exec(&run_line(hash, &command), Bytes::new()).await
    }

    async fn copy(&self, binary: Bytes, hash: &str) -> Result<(), Failure> {
        let ended = self.exec(&copy_line(hash), binary).await?;
        let Some(complaint) = ended.complaint() else {
            return Ok(());
        };
        let user = &self.target.user;
        Err(agent(match ended.end {
            End::Status(NOT_KEPT) => {
                format!("the agent cannot be kept in the cache of {user}: {complaint}")
            }
            End::Status(NOT_WHOLE) => {
                format!("the agent that arrived is not the one that was sent: {complaint}")
            }
            _ => format!("copying the agent: {complaint}"),
        }))
    }
}

/// Runs the copy if it is there and what it should be. Quotes, backslashes and exclamation marks are left out: shells of
/// users differ in them.
fn run_line(hash: &str, command: &str) -> String {
    let name = name(hash);
    format!(
        "sh -c 'f=\"{CACHE}/{name}\"; case \"$(sha256sum 2>/dev/null <\"$f\")\" in {hash}*) {command};; esac; \
         exit {NOT_THERE}'"
    )
}

/// Keeps what comes as the copy, whole or not at all, and no older one.
fn copy_line(hash: &str) -> String {
    let name = name(hash);
    format!(
        "sh -c 'umask 077; d=\"{CACHE}\"; mkdir -p \"$d\" && cd \"$d\" || exit {NOT_KEPT}; t={name}.$$; \
         trap \"rm -f $t\" EXIT; trap \"exit {NOT_KEPT}\" HUP INT TERM; cat >$t || exit {NOT_KEPT}; \
         case \"$(sha256sum <$t)\" in {hash}*) ;; *) exit {NOT_WHOLE};; esac; \
         chmod 700 $t && mv -f $t {name} || exit {NOT_KEPT}; \
         for o in infra-watch-agent-*; do [ $o = {name} ] || rm -f \"$o\"; done'"
    )
}

fn name(hash: &str) -> String {
    let shown = hash.get(..NAME_CHARS).unwrap_or(hash);
    format!("infra-watch-agent-{shown}")
}

fn agent(reason: String) -> Failure {
    Failure::new(Step::Agent, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_word_to_every_shell() {
        let hash = "0123456789abcdef".repeat(4);
        for line in [run_line(&hash, "exec \"$f\" report"), copy_line(&hash)] {
            let inner = line.strip_prefix("sh -c '").unwrap();
            let inner = inner.strip_suffix('\'').unwrap();
            assert!(!inner.contains(['\'', '\\', '!', '\n']), "{line}");
            assert!(
                inner.contains("infra-watch-agent-0123456789abcdef"),
                "{line}"
            );
            assert!(inner.contains(&format!("in {hash}*)")), "{line}");
        }
    }
}
