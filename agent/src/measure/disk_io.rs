//! Bytes read and written of whole devices, from `/proc/diskstats`.

use super::rate::Counters;

/// The kernel counts in sectors of this size whatever the device's own is.
const SECTOR_BYTES: u64 = 512;

/// Beginnings of the names of devices that are no disk, or whose traffic is counted at the disks below them.
const NOT_WHOLE: &[&str] = &["loop", "ram", "zram", "dm-", "md", "sr", "fd"];

/// Bytes read and written of every whole device that was used once.
pub fn parse(text: &str) -> Option<Counters> {
    let mut devices = Vec::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace().skip(2);
        let name = fields.next()?;
        let read: u64 = fields.nth(2)?.parse().ok()?;
        let written: u64 = fields.nth(3)?.parse().ok()?;
        devices.push((
            name,
            [read, written].map(|sectors| sectors.saturating_mul(SECTOR_BYTES)),
        ));
    }
    let whole = devices.iter().filter(|(name, bytes)| {
        *bytes != [0, 0]
            && !NOT_WHOLE.iter().any(|prefix| name.starts_with(prefix))
            && !devices.iter().any(|(parent, _)| is_partition(name, parent))
    });
    Some(
        whole
            .map(|(name, bytes)| ((*name).to_owned(), *bytes))
            .collect(),
    )
}

/// Whether `name` is a partition of `parent`: `sda1` of `sda`, `nvme0n1p2` of `nvme0n1`.
fn is_partition(name: &str, parent: &str) -> bool {
    let Some(rest) = name.strip_prefix(parent) else {
        return false;
    };
    let number = if parent.ends_with(|last: char| last.is_ascii_digit()) {
        rest.strip_prefix('p')
    } else {
        Some(rest)
    };
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let check = |text, expect: &[(&str, [u64; 2])]| {
            let found = parse(text).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|(name, pair)| (name.as_str(), *pair))
                .collect();
            assert_eq!(found, expect);
        };
        check(
            include_str!("../../tests/fixtures/debian-12-vm/proc/diskstats"),
            &[("vda", [14_676_178 * 512, 10_283_384 * 512])],
        );
        // Linux before 4.18 had 14 fields.
        check(
            " 8 0 sda 1 0 2 0 1 0 4 0 0 0 0\n 8 1 sda1 1 0 2 0 1 0 4 0 0 0 0\n 253 0 dm-0 1 0 2 0 1 0 4 0 0 0 0\n",
            &[("sda", [1024, 2048])],
        );
        assert_eq!(parse(" 8 0 sda 1 0 x 0 1 0 4\n"), None);
        assert_eq!(parse(" 8 0 sda\n"), None);
    }

    #[test]
    fn partitions() {
        let check = |name, parent, expect| assert_eq!(is_partition(name, parent), expect, "{name}");
        check("sda1", "sda", true);
        check("sda", "sda", false);
        check("sdaa", "sda", false);
        check("vda15", "vda", true);
        check("nvme0n1p2", "nvme0n1", true);
        check("nvme0n12", "nvme0n1", false);
        check("mmcblk0p1", "mmcblk0", true);
        check("mmcblk0boot0", "mmcblk0", false);
    }
}
