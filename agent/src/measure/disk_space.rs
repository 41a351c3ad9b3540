//! How full the file systems are, by the same sum as `df`, of the mounts in `/proc/self/mountinfo`.

use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, statvfs};

use super::percent;

/// File systems that need no block device and are disks all the same.
const DISKS_WITHOUT_DEVICE: &[&str] = &["zfs", "bcachefs"];
/// File systems that cannot be written and are always full.
const ALWAYS_FULL: &[&str] = &["squashfs", "iso9660", "udf", "erofs", "cramfs"];

/// One line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// Major and minor number of the file system.
    device: String,
    mount_point: String,
    file_system: String,
    source: String,
}

/// Remembers which mounts are reported for as long as the table of mounts is the same.
#[derive(Default)]
pub struct DiskSpace {
    mount_points: Vec<String>,
}

impl DiskSpace {
    /// Takes a table of mounts that is new.
    pub fn choose(&mut self, root: &Path, table: &str) {
        let mounts = of_machine(root, parse(table));
        self.mount_points = choose(&mounts, |path| below(root, path).is_dir());
    }

    /// Usage of each reported mount, in percent; none where the system does not say.
    pub fn usages(&self, root: &Path) -> Vec<(String, Option<f64>)> {
        let usage = |path: &String| {
            let usage = statvfs(below(root, path))
                .ok()
                .and_then(|space| usage_percent(&space));
            (path.clone(), usage)
        };
        self.mount_points.iter().map(usage).collect()
    }
}

fn below(root: &Path, mount_point: &str) -> PathBuf {
    root.join(mount_point.trim_start_matches('/'))
}

fn usage_percent(space: &StatVfs) -> Option<f64> {
    df_percent(space.f_blocks.checked_sub(space.f_bfree)?, space.f_bavail)
}

/// What `df` calculates: blocks that are reserved for root count neither as used nor as available.
fn df_percent(used: u64, available: u64) -> Option<f64> {
    let usable = used.checked_add(available)?;
    (usable > 0).then(|| percent(used, usable))
}

/// Mounts in the order of the table; a line of another form is left out.
fn parse(table: &str) -> Vec<Mount> {
    table
        .lines()
        .filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mut place = place.split(' ').skip(2);
            let device = place.next()?.to_owned();
            let mount_point = unescape(place.nth(1)?);
            let mut kind = kind.split(' ');
            let file_system = kind.next()?.to_owned();
            let source = unescape(kind.next()?);
            Some(Mount {
                device,
                mount_point,
                file_system,
                source,
            })
        })
        .collect()
}

/// The mounts of the machine whose root directory is `root`. In a container the table is the container's, whatever
/// directory it is read from: where it has the machine's root as a mount, all that is below stands there under its own name.
fn of_machine(root: &Path, mounts: Vec<Mount>) -> Vec<Mount> {
    let root = root.to_string_lossy();
    let root = root.trim_end_matches('/');
    if root.is_empty() || !mounts.iter().any(|mount| mount.mount_point == root) {
        return mounts;
    }
    let below = mounts.into_iter().filter_map(|mount| {
        let mount_point = match mount.mount_point.strip_prefix(root)? {
            "" => "/".to_owned(),
            place if place.starts_with('/') => place.to_owned(),
            _ => return None,
        };
        Some(Mount {
            mount_point,
            ..mount
        })
    });
    below.collect()
}

/// The mount points to report, sorted: real and local file systems, each once, and `/` whatever it is (in a container
/// it is an overlay). Network file systems are left out: they are another machine's disks, and asking one whose
/// server is away blocks for ever.
fn choose(mounts: &[Mount], is_directory: impl Fn(&str) -> bool) -> Vec<String> {
    // A later mount hides an earlier one at the same place.
    let visible = mounts.iter().enumerate().filter(|(index, mount)| {
        !mounts[index + 1..]
            .iter()
            .any(|later| later.mount_point == mount.mount_point)
    });
    let mut chosen: Vec<&Mount> = Vec::new();
    for (_, mount) in visible {
        if !is_reported(mount) || !is_directory(&mount.mount_point) {
            continue;
        }
        // The same file system again is a bind mount: the shortest path speaks for it.
        match chosen.iter_mut().find(|known| known.device == mount.device) {
            Some(known) if known.mount_point.len() > mount.mount_point.len() => *known = mount,
            Some(_) => {}
            None => chosen.push(mount),
        }
    }
    let mut mount_points: Vec<String> = chosen
        .into_iter()
        .map(|mount| mount.mount_point.clone())
        .collect();
    mount_points.sort_unstable();
    mount_points
}

fn is_reported(mount: &Mount) -> bool {
    let file_system = mount.file_system.as_str();
    mount.mount_point == "/"
        || (mount.source.starts_with("/dev/") || DISKS_WITHOUT_DEVICE.contains(&file_system))
            && !ALWAYS_FULL.contains(&file_system)
}

/// Undoes the kernel's escapes: three octal digits for space, tab, line feed and backslash.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                text.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = include_str!("../../tests/fixtures/debian-12-vm/proc/self/mountinfo");
    const CONTAINER: &str = include_str!("../../tests/fixtures/debian-12-container/mountinfo");

    #[test]
    fn reported_mounts() {
        let check = |table: &str, expect: &[&str]| {
            let files = ["/etc/hosts", "/etc/resolv.conf"];
            assert_eq!(choose(&parse(table), |path| !files.contains(&path)), expect);
        };
        check(VM, &["/", "/srv/my data"]);
        check(CONTAINER, &["/", "/data"]);
        let line = |device, place, kind| {
            format!("1 1 {device} / {place} rw,relatime shared:1 - {kind} rw\n")
        };
        let table = [
            line("0:1", "/", "btrfs /dev/sda2"),
            line("0:1", "/home", "btrfs /dev/sda2"),
            line("8:1", "/boot/efi", "vfat /dev/sda1"),
            line("7:0", "/snap/core/1", "squashfs /dev/loop0"),
            line("0:9", "/net", "nfs4 server:/export"),
            line("0:10", "/tank", "zfs tank"),
            line("0:11", "/run", "tmpfs tmpfs"),
            line("8:17", "/mnt", "ext4 /dev/sdb1"),
            line("0:12", "/mnt", "autofs systemd-1"),
            line(
                "0:13",
                "/var/lib/docker/overlay2/x/merged",
                "overlay overlay",
            ),
        ];
        check(&table.concat(), &["/", "/boot/efi", "/tank"]);
        check("nonsense\n", &[]);
    }

    #[test]
    fn mounts_of_a_machine_that_is_seen_from_a_container() {
        let line = |device, place, kind| {
            format!("1 1 {device} / {place} ro,relatime master:1 - {kind} rw\n")
        };
        let table = [
            line("0:50", "/", "overlay overlay"),
            line("8:1", "/etc/hosts", "ext4 /dev/sda1"),
            line("8:1", "/host", "ext4 /dev/sda1"),
            line("8:2", "/host/boot", "ext4 /dev/sda2"),
            line("0:60", "/host/run", "tmpfs tmpfs"),
            line("8:1", "/host/var/lib/docker/volumes", "ext4 /dev/sda1"),
            line("8:3", "/hostile", "ext4 /dev/sda3"),
            line("8:4", "/var/lib/infra-watch-agent", "ext4 /dev/sda4"),
        ];
        let check = |root: &str, expect: &[&str]| {
            let mounts = of_machine(Path::new(root), parse(&table.concat()));
            assert_eq!(
                choose(&mounts, |path| path != "/etc/hosts"),
                expect,
                "{root}"
            );
        };
        check("/host", &["/", "/boot"]);
        check("/host/", &["/", "/boot"]);
        let own = [
            "/",
            "/host",
            "/host/boot",
            "/hostile",
            "/var/lib/infra-watch-agent",
        ];
        check("/", &own);
        check("/somewhere/else", &own);
    }

    #[test]
    fn the_same_sum_as_df() {
        let check = |df: &str| {
            for line in df.lines().skip(1).filter(|line| !line.contains(" - ")) {
                let fields: Vec<&str> = line.split_ascii_whitespace().collect();
                let number = |index: usize| fields[index].parse::<u64>().unwrap();
                let found = df_percent(number(2), number(3)).unwrap();
                // df rounds up to a whole number.
                assert_eq!(format!("{}%", found.ceil()), fields[4], "{line}");
            }
        };
        check(include_str!("../../tests/fixtures/debian-12-vm/df.txt"));
        check(include_str!(
            "../../tests/fixtures/debian-12-container/df.txt"
        ));
        assert_eq!(df_percent(0, 0), None);
        assert_eq!(df_percent(9_451_520, 10_930_176), Some(46.37));
    }

    #[test]
    fn escapes() {
        let check = |field, expect| assert_eq!(unescape(field), expect);
        check("/srv/my\\040data", "/srv/my data");
        check("/a\\134b\\012", "/a\\b\n");
        check("/plain", "/plain");
        check("/odd\\", "/odd\\");
        check("/odd\\9", "/odd\\9");
    }
}
