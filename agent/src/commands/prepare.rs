//! `prepare`: hands a state directory to the user that the agent will run as, where nothing else can: beside an agent in
//! a container stands no other tool, and what a cluster makes on a node belongs to root.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown};

use super::Outcome;
use crate::command_line::Owner;

/// Makes the directory if it is absent, and hands it over if it is root's and empty. One that belongs to the owner stays
/// as it is; one that is used is nobody's to take.
pub fn prepare(directory: &Path, owner: Owner) -> Outcome {
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    // Nobody may put something else in its place meanwhile, nor a link.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(directory);
    let opened = match opened {
        // Root without its capabilities cannot look into what is another's, and needs not.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return judge(directory, fs::symlink_metadata(directory)?.uid(), owner);
        }
        opened => opened.map_err(|error| format!("{}: {error}", directory.display()))?,
    };
    let belongs_to = opened.metadata()?.uid();
    if belongs_to == 0 && owner.user != 0 {
        return hand_over(&opened, directory, owner);
    }
    judge(directory, belongs_to, owner)
}

fn judge(directory: &Path, belongs_to: u32, owner: Owner) -> Outcome {
    if belongs_to == owner.user {
        return Ok(());
    }
    Err(format!(
        "{} belongs to user {belongs_to}, to another agent: choose another directory",
        directory.display()
    )
    .into())
}

fn hand_over(opened: &File, directory: &Path, owner: Owner) -> Outcome {
    if fs::read_dir(directory)?.next().is_some() {
        return Err(format!(
            "{} is used by an agent that runs as root: choose another directory",
            directory.display()
        )
        .into());
    }
    fchmod(opened, Mode::RWXU)?;
    let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
    Ok(fchown(opened, Some(user), Some(group))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(directory: &Path, owner: Owner, expect: &str) {
        let error = prepare(directory, owner).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn a_directory_is_handed_over_once_and_never_taken_away() {
        let root = tempfile::tempdir().unwrap();
        if fs::metadata(root.path()).unwrap().uid() != 0 {
            // Only root can give anything away; what a user can see of it is tested below.
            return;
        }
        let owner = Owner {
            user: 65_532,
            group: 65_533,
        };
        let made = root.path().join("var/state");
        prepare(&made, owner).unwrap();
        prepare(&made, owner).unwrap();
        let metadata = fs::metadata(&made).unwrap();
        let found = (metadata.uid(), metadata.gid(), metadata.mode() & 0o777);
        assert_eq!(found, (65_532, 65_533, 0o700));

        let other = Owner {
            user: 65_534,
            group: 65_534,
        };
        refused(&made, other, "belongs to user 65532");
        let used = root.path().join("used");
        fs::create_dir(&used).unwrap();
        fs::write(used.join("install-id"), "x").unwrap();
        refused(&used, owner, "runs as root");
        let link = root.path().join("link");
        symlink(root.path().join("var"), &link).unwrap();
        refused(&link, owner, "link");
    }

    #[test]
    fn what_is_ones_own_stays() {
        let root = tempfile::tempdir().unwrap();
        let metadata = fs::metadata(root.path()).unwrap();
        let owner = Owner {
            user: metadata.uid(),
            group: metadata.gid(),
        };
        prepare(root.path(), owner).unwrap();
        prepare(&root.path().join("new"), owner).unwrap();
    }
}
