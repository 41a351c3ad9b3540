//! What this machine is: the facts that identify it, and its configuration.

mod command;
mod environment;
mod error;
mod files;
mod host;
mod os;
mod os_release;
mod packages;
mod services;
mod snapshot;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use error::FactError;
use os::Upgrades;
use snapshot::Section;

pub use environment::{Environment, KEY_BYTES, Key};
pub use files::Files;
pub use host::Host;
pub use packages::{Stamp, is_running, stamp};
pub use snapshot::Snapshot;

/// Takes snapshots of a machine's configuration.
pub struct Facts {
    root: PathBuf,
    environment: Environment,
    files: Files,
    services: bool,
    upgrades: Upgrades,
}

impl Facts {
    /// Of the system whose root directory is `root`. What is worth remembering is kept in `state`.
    pub fn new(
        root: &Path,
        state: &Path,
        environment: Environment,
        files: Files,
        services: bool,
    ) -> Self {
        Self {
            root: root.to_owned(),
            environment,
            files,
            services,
            upgrades: Upgrades::kept_in(state),
        }
    }

    /// Takes a snapshot at `now`, in Unix seconds. It never fails: a section that cannot be collected is named with the
    /// reason. It may take some seconds, and ends by itself.
    pub fn take(&mut self, now: i64) -> Snapshot {
        let root = &self.root;
        let upgrades = &mut self.upgrades;
        let services = self.services;
        let mut collected = Vec::new();
        // Large and optional ones last: there is a bound for all together.
        collect(&mut collected, "os", || Ok(Some(os::read(root, upgrades))));
        collect(&mut collected, "environment", || {
            self.environment.read(root).map(Some)
        });
        collect(&mut collected, "packages", || packages::read(root));
        collect(&mut collected, "services", || {
            services.then(|| services::read(root)).transpose()
        });
        collect(&mut collected, "files", || self.files.read(root));
        Snapshot::new(now, collected)
    }
}

/// What a collector gave or why it did not, if there is something to say at all.
fn collect<'a>(
    collected: &mut Vec<(&'a str, Result<Section, String>)>,
    name: &'a str,
    collector: impl FnOnce() -> Result<Option<Section>, FactError>,
) {
    // One collector's fault must cost neither the other sections nor the agent.
    let result = match catch_unwind(AssertUnwindSafe(collector)) {
        Ok(Ok(None)) => return,
        Ok(Ok(Some(section))) => Ok(section),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the collector broke off; this is a fault of the agent".to_owned()),
    };
    collected.push((name, result));
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
