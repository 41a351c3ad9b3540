//! Memory and swap from `/proc/meminfo`.

use super::percent;

/// Memory and swap, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    total: u64,
    available: u64,
    swap_total: u64,
    swap_free: u64,
}

impl Memory {
    /// Memory that is not available for new work.
    pub fn usage_percent(&self) -> f64 {
        percent(self.total.saturating_sub(self.available), self.total)
    }

    /// Swap in use; of no swap, none is in use.
    pub fn swap_usage_percent(&self) -> f64 {
        match self.swap_total {
            0 => 0.0,
            total => percent(total.saturating_sub(self.swap_free), total),
        }
    }

    /// All memory, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total * 1024
    }
}

/// Reads the lines that matter. Kernels before 3.14 do not say what is available: there it is what is free and what
/// is only a cache.
pub fn parse(text: &str) -> Option<Memory> {
    let mut found = [None; 7];
    const NAMES: [&str; 7] = [
        "MemTotal",
        "MemAvailable",
        "MemFree",
        "Buffers",
        "Cached",
        "SwapTotal",
        "SwapFree",
    ];
    for line in text.lines() {
        // The text is long and what matters stands in its first part.
        if found.iter().all(Option::is_some) {
            break;
        }
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        if let Some(index) = NAMES.iter().position(|known| *known == name) {
            found[index] = Some(rest.split_ascii_whitespace().next()?.parse::<u64>().ok()?);
        }
    }
    let [
        total,
        available,
        free,
        buffers,
        cached,
        swap_total,
        swap_free,
    ] = found;
    Some(Memory {
        total: total.filter(|total| *total > 0)?,
        available: match available {
            Some(available) => available,
            None => free? + buffers? + cached?,
        },
        swap_total: swap_total.unwrap_or(0),
        swap_free: swap_free.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage() {
        let check = |text, memory, swap| {
            let found =
                parse(text).map(|found| (found.usage_percent(), found.swap_usage_percent()));
            assert_eq!(found, Some((memory, swap)), "{text}");
        };
        check(
            include_str!("../../tests/fixtures/debian-12-vm/proc/meminfo"),
            3.06,
            0.0,
        );
        check(
            "MemTotal: 1000 kB\nMemAvailable: 250 kB\nSwapTotal: 3 kB\nSwapFree: 1 kB\n",
            75.0,
            66.67,
        );
        check(
            "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 150 kB\n",
            70.0,
            0.0,
        );
        check("MemTotal: 1000 kB\nMemAvailable: 1001 kB\n", 0.0, 0.0);
    }

    #[test]
    fn what_is_no_meminfo() {
        let check = |text| assert_eq!(parse(text), None, "{text}");
        check("");
        check("MemTotal: 0 kB\nMemAvailable: 0 kB\n");
        check("MemTotal: 1000 kB\n");
        check("MemTotal: many kB\nMemAvailable: 0 kB\n");
    }
}
