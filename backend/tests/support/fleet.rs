//! A made-up fleet whose configurations move as real ones do: two images, upgrades that reach every host, and what each
//! host does by itself. The same for the same host and step.

use std::collections::BTreeMap;

use infra_watch::domain::snapshot::Sections;

/// Packages of a host.
pub const PACKAGES: usize = 2_600;
/// Images that hosts are made of, in turn.
pub const IMAGES: usize = 2;
/// Variables of a host's environment.
const VARIABLES: usize = 40;
/// Packages that an upgrade changes.
const UPGRADED: usize = 3;

const WORDS: [&str; 24] = [
    "archive", "audio", "boost", "cairo", "crypto", "dbus", "event", "font", "glib", "gnome",
    "image", "java", "kernel", "ldap", "mail", "net", "perl", "python3", "ruby", "ssl", "system",
    "text", "video", "xml",
];
const ENDS: [&str; 8] = [
    "", "-dev", "-common", "-bin", "-data", "-utils", "-doc", "-perl",
];

/// Numbers that look random (Steele and others 2014, SplitMix64).
pub fn mixed(seed: u64) -> u64 {
    let mut number = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

fn name(package: usize) -> String {
    let mix = mixed(package as u64) as usize;
    let word = WORDS[package % WORDS.len()];
    let end = ENDS[mix % ENDS.len()];
    let architecture = if mix.is_multiple_of(5) {
        "all"
    } else {
        "amd64"
    };
    format!("dpkg/lib{word}-{package}{end}:{architecture}")
}

fn version(package: usize, revision: usize) -> String {
    let mix = mixed(package as u64 + 77);
    let (major, minor, patch) = (mix % 12, (mix >> 8) % 40, (mix >> 16) % 20);
    format!("{major}.{minor}.{patch}-{}+deb12u{revision}", mix % 7)
}

/// The packages of an image after so many steps: every host of it upgrades on the same day.
pub fn packages(image: usize, step: usize) -> BTreeMap<String, String> {
    let mut revisions = vec![1; PACKAGES];
    for past in 0..step {
        for upgrade in 0..UPGRADED {
            revisions[mixed((past * UPGRADED + upgrade) as u64) as usize % PACKAGES] += 1;
        }
    }
    (0..PACKAGES)
        // Each image has a twentieth that the other has not.
        .map(|package| {
            if package % 20 == 7 {
                package + PACKAGES * (image + 1)
            } else {
                package
            }
        })
        .map(|package| {
            (
                name(package),
                version(package, revisions[package % PACKAGES]),
            )
        })
        .collect()
}

/// The configuration of a host after so many steps, with the packages of its image.
pub fn with_packages(packages: &BTreeMap<String, String>, host: usize, step: usize) -> Sections {
    // Now and then somebody changes a setting of one host.
    let mut changes = [0_u64; VARIABLES];
    for past in 0..step {
        let change = mixed((host * 1_000_003 + past) as u64);
        if change.is_multiple_of(10) {
            changes[change as usize / 10 % VARIABLES] += 1;
        }
    }
    let environment = changes
        .iter()
        .enumerate()
        .map(|(variable, changes)| {
            let value = mixed((host * VARIABLES + variable) as u64 + 1_000_000 * changes);
            let word = WORDS[variable % WORDS.len()].to_uppercase();
            let tag = format!("hmac:{:016x}{:016x}", value, mixed(value));
            (format!("{word}_SETTING_{variable}"), tag)
        })
        .collect();
    let system = [
        ("id", "debian"),
        ("version_id", "12"),
        ("kernel", "6.1.0-28-amd64"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    [
        ("packages".to_owned(), packages.clone()),
        ("environment".to_owned(), environment),
        ("os".to_owned(), system.into()),
    ]
    .into()
}

/// The configuration of a host after so many steps.
pub fn configuration(host: usize, step: usize) -> Sections {
    with_packages(&packages(host % IMAGES, step), host, step)
}
