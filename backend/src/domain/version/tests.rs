//! Published cases of each manager, the managers on this machine as oracles, and the properties of an order.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};

use super::{Scheme, compare, compare_values, versions};

const SCHEMES: [Scheme; 4] = [Scheme::Dpkg, Scheme::Rpm, Scheme::Apk, Scheme::Pacman];

/// Pairs that an oracle judges in one test run: dpkg needs a process of about a millisecond for each.
const ORACLE_PAIRS: usize = 3000;

/// Checks a chain such as `1.0~rc1 < 1.0 = 1.00`: neighbours in both directions, and each version against itself.
fn check(scheme: Scheme, chain: &str) {
    let words: Vec<&str> = chain.split_whitespace().collect();
    for step in words.windows(3).step_by(2) {
        let [left, sign, right] = step else {
            panic!("{chain}");
        };
        let expect = match *sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            _ => panic!("no sign: {sign} in {chain}"),
        };
        assert_eq!(
            compare(scheme, left, right),
            expect,
            "{left} {sign} {right}"
        );
        assert_eq!(
            compare(scheme, right, left),
            expect.reverse(),
            "{right} and {left}"
        );
        assert_eq!(compare(scheme, left, left), Ordering::Equal, "{left}");
        assert_eq!(compare(scheme, right, right), Ordering::Equal, "{right}");
    }
}

#[test]
fn keys() {
    let check = |key, scheme| assert_eq!(Scheme::of_key(key), scheme, "{key}");
    check("dpkg/openssl:amd64", Some(Scheme::Dpkg));
    check("rpm/openssl-libs:x86_64", Some(Scheme::Rpm));
    check("apk/musl:x86_64", Some(Scheme::Apk));
    check("pacman/linux:x86_64", Some(Scheme::Pacman));
    check("rpm/", Some(Scheme::Rpm));
    check("rpm", None);
    check("", None);
    check("/dpkg/a", None);
    check("os/release", None);
    check("DPKG/a", None);
}

/// dpkg: `lib/dpkg/t/t-version.c` and `scripts/t/Dpkg_Version.t`, then the examples of policy 5.6.12.
#[test]
fn dpkg_cases() {
    let check = |chain| check(Scheme::Dpkg, chain);
    // t-version.c: parts compared, then parsed.
    check("0-00 = 00-0 = 0 = 0:0 = 0:0- = 0:0-0 < 1:0-0 < 2:0");
    check("0:1-1 < 0:2-1");
    check("0:1-1 < 0:1-2");
    check("a-0 < b-0");
    check("0-a < 0-b");
    check("0:0.0-0.0 = 0.0-0.0");
    check("1:0 < 5:1");
    check("0:0-0-0 < 0:0-0-0-0");
    check("0:0:0-0 < 0:0:0:0-0");
    check("0:0:0-0-0 > 0:0-0:0-0");
    check("0:09azAZ.-+~:-0 = 9azAZ.-+~:-0 = 0:09azAZ.-+~:-");
    check("0-azAZ09.+~ = 0-azAZ9.+~");
    // Dpkg_Version.t.
    check("1.0-1 < 2.0-2");
    check("2.2~rc-4 < 2.2-1");
    check("1.0000-1 = 1.0-1");
    check("1 = 0:1");
    check("2:2.5 > 1:7.5");
    check("1:0foo > 0foo = 0:0foo = 0foo-0");
    check("0foo > 0fo");
    check("0foo-0 < 0foo+");
    check("0foo~1 < 0foo");
    check("0foo~foo+Bar < 0foo~foo+bar");
    check("0foo~~ < 0foo~");
    check("1~ < 1");
    check("12345+that-really-is-some-ver-0 < 12345+that-really-is-some-ver-10");
    check("0foo-0 < 0foo-01");
    check("0foo.bar > 0foobar > 0foo1bar = 0foo01bar > 0foo0bar");
    check("0foo.bar > 0foo1bar-1 < 0foobar-1");
    check("0foo2 < 0foo2.0 < 0foo2.0.0 < 0foo2.10.0 > 0foo2.10 > 0foo2.1");
    check("1.09 = 1.9");
    check("1.0.8+nmu1 > 1.0.8");
    check("3.11 > 3.10+nmu1");
    check("0.9j-20080306-4 > 0.9i-20070324-2");
    check("1.2.0~b7-1 > 1.2.0~b6-1");
    check("1.011-1 > 1.06-2");
    check("0.0.9+dfsg1-1 > 0.0.8+dfsg1-3");
    check("4.6.99+svn6582-1 > 4.6.99+svn6496-1");
    check("53 > 52");
    check("0.9.9~pre122-1 > 0.9.9~pre111-1");
    check("2:2.3.2-2+lenny2 > 2:2.3.2-2");
    check("1:3.8.1-1 > 3.8.GA-1");
    check("1.0.1+gpl-1 > 1.0.1-2");
    check("1a < 1000a");
    check("0~999.999zeta < 0.0-0.0alpha0 < 0:1.0-0 < 5.0abc < 10.100.1-1 < 4:4-4");
    // Policy: tildes before the end, letters before all else.
    check("1~~ < 1~~a < 1~ < 1 < 1a");
    check("1.0~beta1~svn1245 < 1.0~beta1 < 1.0");
    // Debian as installed: a security update, a binary rebuild, a backport.
    check("3.0.11-1~deb12u1 < 3.0.11-1~deb12u2 < 3.0.11-1");
    check("2.36-9+deb12u7 < 2.36-9+deb12u10");
    check("1.2-3 < 1.2-3+b1 < 1.2-3.1 < 1.2-4");
    check("6.9.7-1~bpo12+1 < 6.9.7-1");
    // Not valid, but ordered: no epoch before a colon, other bytes, nothing at all.
    check("a:1 < a:2");
    check(":1 = 0:1 = 1");
    check("1_1 > 1.1");
    check("1.é > 1.z");
    check("1: = 1:0");
}

/// rpm: `tests/rpmvercmp.at`, with the oddities that it documents; then whole labels by `rpmverCmp`.
#[test]
fn rpm_cases() {
    let check = |chain| check(Scheme::Rpm, chain);
    check("1.0 < 2.0 < 2.0.1 < 2.0.1a");
    check("5.5p1 < 5.5p2 < 5.5p10");
    check("10xyz < 10.1xyz");
    check("xyz10 < xyz10.1");
    check("xyz.4 < 8");
    check("xyz.4 < 2");
    check("5.5p2 < 5.6p1 < 6.5p1");
    check("6.0.rc1 > 6.0");
    check("10b2 > 10a1");
    check("10a2 < 10b2");
    check("1.0a < 1.0aa");
    check("10.0001 = 10.1 < 10.0039");
    check("4.999.9 < 5.0");
    check("20101121 < 20101122");
    check("2_0 = 2.0");
    check("a = a+ = a_");
    check("+a = _a");
    check("+_ = _+ = + = _");
    check("1.0~rc1~git123 < 1.0~rc1 < 1.0~rc2 < 1.0");
    check("1.0 < 1.0^ < 1.0^git1 < 1.0^git2 < 1.01");
    check("1.0 < 1.0^20160101 < 1.0.1");
    check("1.0^20160101 < 1.0^20160101^git1 < 1.0^20160102");
    check("1.0~rc1 < 1.0~rc1^git1");
    check("1.0 < 1.0^git1~pre < 1.0^git1");
    check("1b.fc17 < 1.fc17 < 1g.fc17");
    check("1.1.α = 1.1.β = 1.1.αα");
    // Labels: epoch, version, release; without a release is older, as `rpmverCmp` sorts.
    check("0:1-1 = 1-1 < 1-2 < 2-1 < 1:1-1 < 2:0-0 < 10:0-0");
    check("1 < 1- < 1-0 < 1-1");
    check("1-1~rc1 < 1-1 < 1-1^git1 < 1-1.1");
    check(":1-1 = 1-1");
    // RHEL as installed: a security update, a module build, kernels.
    check("1:1.1.1k-9.el8_7 < 1:1.1.1k-12.el8_9");
    check("4.18.0-477.10.1.el8_8 < 4.18.0-513.5.1.el8_9");
    check("16.20.2-2.module+el8.8.0+19898+ab99ba34 < 16.20.2-3.module+el8.9.0+20473+c4e3d824");
}

/// apk: a tenth of `test/unit/version.data` of apk-tools 3, whose 738 comparisons were all checked once.
#[test]
fn apk_cases() {
    let check = |chain| check(Scheme::Apk, chain);
    check(
        "2.34 > 0.1.0_alpha < 0.1.0_alpha2 < 0.1.3_alpha < 2.2.39-r1 > 1.0.4-r3 < 1.0.4-r4 < 1.6",
    );
    check("23_foo > 4_beta");
    check("1.0 < 1.0bc");
    check(
        "1.0.2 > 0.7-r1 < 1.0.0 < 1.0.1 < 1.1 > 1.1_alpha1 < 1.2.1 > 1.2 < 1.3_alpha < 1.3_alpha2",
    );
    check("0.7.0 < 0.8_beta1 < 0.8_beta2");
    check("3.10.18-r1 > 2.3.0b-r1 < 2.3.0b-r2");
    check("0.12.3 > 0.12 < 0.13_beta1 < 0.13_beta5 > 0.9.12");
    check("1.2.11 < 1.2.12.1 < 1.2.13 < 1.2.14-r1");
    check("0.2.0-r1 = 0.2.0-r1 < 3.1_p16 < 3.1_p17 > 1.06-r6 < 006 > 1.0.0");
    check("1.3.4-r3 < 2.2 > 1.2.6 < 7.15.1-r1 > 1.02 < 1.03-r1 < 1.12.12-r2");
    check("4.2.52_p2-r1 < 4.2.52_p4-r2 > 1.02.07 < 1.02.10-r1");
    check("20050718-r1 < 20050718-r2 > 3.9.8-r5 > 2.01.01_alpha10 > 0.94 < 1.0 > 0.99.3.20040818");
    check("1.39 > 1.00_beta2 > 0.9.2");
    check("2.5.1-r8 < 2.5.1a-r1 > 1.19.2-r1");
    check("0.10.0-r1 > 0.10.0 < 0.10.1_rc1 > 0.9.11 < 394");
    check("3.0.0-r2 < 021109-r3 < 20060512");
    check("3.9_pre20060124 > 0.01 < 0.06 < 1.1.7 < 6b-r7");
    check("2.10.1 > 02.08.01b < 4.77");
    check("0.20070118 < 0.20070207_rc1 < 1.0");
    check("4.3_p2-r5 < 4.4_p1-r6 < 4.5_p1-r1 > 4.5_p1 > 0.9.8c-r1 < 0.9.8d");
    check("2.2.3-r2 < 013 < 014-r1 > 1.3.1-r1");
    check("1.7 < 1.7b < 1.8.4-r3 < 1.8.5 < 1.8.5_p2");
    check(
        "2.9.11_pre20051101 < 2.9.11_pre20051101-r2 < 2.9.11_pre20051101-r3 < 2.9.11_pre20061021-r1",
    );
    check("1.3-r0 < 1.3.1-r0");
    check("1.3_pre1-r1 < 1.3.2");
    check("1.0_p10-r0 > 1.0_p9-r0");
    check("0.1.0_alpha_pre2 < 0.1.0_alpha");
    check("1.0.0_pre20191002222144-r0 < 1.0.0_pre20210530193627-r0");
    check("6.0_pre1 < 6.0 < 6.0_p1 < 6.1_pre1 < 6.1 < 6.1_p1");
    check("8.2.0 < 8.2.001 < 8.2.0015 < 8.2.002");
    check("1.0~1234 < 1.0~2345");
    check("1.0~1234-r0 < 1.0~1234-r1 < 1.0~2345-r0");
    // The ranks of suffixes, and what may follow a version.
    check("1_alpha < 1_beta < 1_pre < 1_rc < 1 < 1_cvs < 1_svn < 1_git < 1_hg < 1_p");
    check("1 < 1-r0 < 1-r1 < 1~a < 1_p < 1a < 1.0 < 1.00 < 1.01 < 1.1");
    check("1_rc < 1_rc-r1 < 1_rc~a < 1_rc1 < 1_rc_p < 1");
    // What its list calls invalid stands below the same version complete, and is equal where it breaks alike.
    check("0.1_foobar = 0.1_foobar1 = 0.1-pre1.1 = 0.1-r = 0.1_ < 0.1");
    check("0.1bc = 0.1bc1 < 0.1b");
    check("0.1a1 = 0.1a.1 < 0.1a");
    check("0.1_pre2~ = 0.1_pre2~xyz < 0.1_pre2");
    check("0.1_pre2~1234xbcd = 0.1_pre2~1234_pre1 < 0.1_pre2~1234");
    check("0.1-r2_pre1 = 0.1-r2-r3 = 0.1-r2.1 < 0.1-r2");
    check("a = .1 = _pre1 = -r1 < 0");
}

/// pacman: `test/util/vercmptest.sh`, where the same versions with a release on one side only are held equal.
#[test]
fn pacman_cases() {
    let check = |chain| check(Scheme::Pacman, chain);
    check("1.5 < 1.5.0 < 1.5.1");
    check("1.5.0-1 < 1.5.0-2 < 1.5.1-1");
    check("1.5-1 < 1.5-2 < 1.5.1-1 < 1.5.1-2");
    check("1.0-1 < 1.1");
    check("1.1-1 > 1.0");
    check("1.5b-1 < 1.5-1");
    check("1.5b < 1.5 < 1.5.1");
    check("1.5b-1 < 1.5");
    check("1.0a < 1.0alpha < 1.0b < 1.0beta < 1.0rc < 1.0");
    check("1.5 < 1.5.a < 1.5.b < 1.5.1");
    check("1.5-1 < 1.5.b");
    // Equal for vercmp; see `compare`.
    check("1.5 < 1.5-1");
    check("1.1 < 1.1-1");
    check("1.5.b < 1.5.b-1");
    // Epochs, and the separators that only pacman counts.
    check("0:1.0-1 = 1.0-1 < 1:0.1-1 < 2:0-1");
    check("1.0.0-1 < 1.0..0-1");
    check("1.0_1-1 = 1.0.1-1 = 1.0~1-1 = 1.0^1-1");
    check("1.01-1 = 1.1-1");
    check("1.a < 1..a");
    check("1rc < 1 < 1. = 1+ = 1.. < 1.a < 1.1 < 1..a");
    // Arch as installed.
    check("6.6.1.arch1-1 < 6.6.1.arch1-2 < 6.6.2.arch1-1 < 6.10.arch1-1");
    check("1:1.3.1-1 > 2.0-1");
    check("r99.abc-1 < r100.abc-1");
}

/// Long runs of digits have no largest value, and no text takes more than linear time.
#[test]
fn long_runs() {
    let nines = "9".repeat(300_000);
    let more = format!("1{}", "0".repeat(300_000));
    let padded = format!("{}1", "0".repeat(300_000));
    let points = "1.".repeat(300_000);
    for scheme in SCHEMES {
        assert_eq!(compare(scheme, &nines, &more), Ordering::Less);
        assert_eq!(compare(scheme, &padded, "1"), Ordering::Equal);
        assert_eq!(compare(scheme, &points, &points), Ordering::Equal);
        assert_eq!(
            compare(scheme, &format!("{points}1"), &format!("{points}2")),
            Ordering::Less
        );
    }
    for scheme in [Scheme::Dpkg, Scheme::Rpm, Scheme::Pacman] {
        assert_eq!(
            compare(scheme, &format!("{nines}:1"), &format!("{more}:0")),
            Ordering::Less
        );
    }
}

#[test]
fn sets_of_versions() {
    use Ordering::{Equal, Greater, Less};
    let check = |scheme, left, right, expect: Option<Ordering>| {
        assert_eq!(
            compare_values(scheme, left, right),
            expect,
            "{left} | {right}"
        );
        let reverse = expect.map(Ordering::reverse);
        assert_eq!(
            compare_values(scheme, right, left),
            reverse,
            "{right} | {left}"
        );
    };
    check(Scheme::Rpm, "5.14-1", "5.14-2", Some(Less));
    check(Scheme::Rpm, "5.14-1 5.14-9", "5.14-1 5.14-10", Some(Less));
    check(Scheme::Rpm, "5.14-10 5.14-9", "5.14-9", Some(Greater));
    check(Scheme::Rpm, "5.14-1 5.14-2", "5.14-1 5.14-2", Some(Equal));
    check(Scheme::Rpm, "5.14-1 5.14-2", "5.14-2", None);
    check(Scheme::Dpkg, "1.0-1", "1.00-1", None);
    check(Scheme::Dpkg, "", "1~", Some(Less));
    check(Scheme::Dpkg, "", "", Some(Equal));
    check(Scheme::Dpkg, "", " ", None);
    assert_eq!(versions("1 2").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(versions(" 1  2 ").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(versions("").count(), 0);
}

/// Marsaglia's xorshift with 64 bits: the same versions in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'a>(&mut self, pieces: &[&'a str]) -> &'a str {
        pieces[self.below(pieces.len())]
    }

    /// Up to five pieces, then the same with one put in, left out, or replaced: near misses.
    fn near_miss<'a>(&mut self, pieces: &[&'a str]) -> [Vec<&'a str>; 2] {
        let left: Vec<_> = (0..self.below(6)).map(|_| self.pick(pieces)).collect();
        let mut right = left.clone();
        let at = self.below(left.len() + 1);
        match (self.below(3), right.get_mut(at)) {
            (0, Some(piece)) => *piece = self.pick(pieces),
            (1, Some(_)) => drop(right.remove(at)),
            _ => right.insert(at, self.pick(pieces)),
        }
        [left, right]
    }
}

/// What dpkg, rpm and pacman take apart.
const PIECES: [&str; 30] = [
    "0",
    "00",
    "1",
    "01",
    "10",
    "9",
    "09",
    "2",
    "a",
    "b",
    "z",
    "A",
    "Z",
    "rc",
    "alpha",
    ".",
    ".",
    "..",
    "+",
    "~",
    "~~",
    "^",
    "_",
    "-",
    "-",
    "18446744073709551616",
    "018446744073709551616",
    "99999999999999999999",
    "1.0",
    "é",
];

/// What apk takes apart.
const APK_PIECES: [&str; 30] = [
    "0",
    "1",
    "01",
    "10",
    ".0",
    ".00",
    ".1",
    ".01",
    ".010",
    ".10",
    ".09",
    ".18446744073709551616",
    "a",
    "z",
    "_alpha",
    "_beta",
    "_pre1",
    "_rc",
    "_cvs",
    "_git",
    "_p",
    "_p10",
    "_foo",
    "~1",
    "~ab",
    "~x",
    "-r0",
    "-r1",
    "-r",
    ".",
];

/// Lines of two versions with dpkg's word for how we order them, for an oracle to deny.
fn claims(scheme: Scheme, mut version: impl FnMut(&mut Dice) -> [String; 2]) -> String {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut lines = String::new();
    for _ in 0..ORACLE_PAIRS {
        let [left, right] = version(&mut dice);
        let word = match compare(scheme, &left, &right) {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        writeln!(lines, "{left} {word} {right}").unwrap();
    }
    lines
}

/// Gives the claims to a program that writes back what it denies; skipped with a word where it is not installed.
fn ask(oracle: &str, command: &mut Command, claims: &str) {
    if let Err(error) = Command::new(oracle).arg("--version").output() {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{oracle}: {error}");
        eprintln!("skipped: there is no {oracle} on this machine");
        return;
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(claims.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{oracle}: {}", output.status);
    let denied = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(denied, "", "{oracle} denies");
}

#[test]
fn dpkg_agrees() {
    // Only what dpkg does not refuse to compare: a digit first, a whole number as epoch, something after each hyphen.
    let claims = claims(Scheme::Dpkg, |dice| {
        let pieces = dice.near_miss(&PIECES);
        let same_epoch = dice.below(4) > 0;
        let epochs = ["", "0:", "1:", "01:", "2147483647:"];
        let first = dice.pick(&epochs);
        let second = if same_epoch {
            first
        } else {
            dice.pick(&epochs)
        };
        let [left, right] = pieces.map(|pieces| {
            // Bytes beyond ASCII it orders as the processor signs its `char`: differently on x86 and ARM.
            let text = pieces.concat().replace('é', "+");
            let end = if text.ends_with('-') { "0" } else { "" };
            let start = if text.starts_with(|first: char| first.is_ascii_digit()) {
                ""
            } else {
                "1"
            };
            format!("{start}{text}{end}")
        });
        [format!("{first}{left}"), format!("{second}{right}")]
    });
    let script = "while read -r left word right; do
        dpkg --compare-versions \"$left\" $word \"$right\" || echo \"$? $left $word $right\"
        done";
    ask(
        "dpkg",
        Command::new("sh").args(["-c", script]).env("LC_ALL", "C"),
        &claims,
    );
}

#[test]
fn rpm_agrees() {
    // `rpm.vercmp` takes whole labels and refuses only the empty one: hence the point, which separates nothing.
    let claims = claims(Scheme::Rpm, |dice| {
        let epoch = dice.pick(&["", "", "0:", "1:", ":"]);
        let release = dice.pick(&["", "-1", "-1.fc40"]);
        dice.near_miss(&PIECES)
            .map(|pieces| format!("{epoch}{}{release}.", pieces.concat()))
    });
    let script = "%{lua:
        local words = {[-1] = 'lt', [0] = 'eq', [1] = 'gt'}
        for line in io.stdin:lines() do
            local left, word, right = line:match('^(%S+) (%S+) (%S+)$')
            if words[rpm.vercmp(left, right)] ~= word then io.write(line, '\\n') end
        end}";
    // What --eval itself prints is an empty line, left out by the shell.
    let shell = "rpm --eval \"$1\" | { grep . || true; }";
    ask(
        "rpm",
        Command::new("sh").args(["-c", shell, "sh", script]),
        &claims,
    );
}

#[test]
fn it_is_an_order() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    for scheme in SCHEMES {
        let pieces = if scheme == Scheme::Apk {
            &APK_PIECES
        } else {
            &PIECES
        };
        for _ in 0..30_000 {
            let [mut a, mut b] = dice.near_miss(pieces);
            let [mut c, _] = dice.near_miss(pieces);
            if dice.below(4) > 0 {
                // A third one near the first two: `a` with a piece more.
                c.clone_from(&a);
                c.insert(dice.below(c.len() + 1), dice.pick(pieces));
            }
            let first = dice.pick(&["", "1", "1.0", "1:"]);
            let [a, b, c] =
                [&mut a, &mut b, &mut c].map(|pieces| format!("{first}{}", pieces.concat()));
            let order = |left: &str, right: &str| compare(scheme, left, right);
            assert_eq!(order(&a, &a), Ordering::Equal, "{a}");
            assert_eq!(order(&a, &b), order(&b, &a).reverse(), "{a} {b}");
            let mut sorted = [&a, &b, &c];
            sorted.sort_by(|left, right| order(left, right));
            let [low, middle, high] = sorted;
            // Sorted neighbours must order the ends: equal only if both steps are.
            let expect = order(low, middle).then(order(middle, high));
            assert_eq!(
                order(low, high),
                expect,
                "{scheme:?}: {low} {middle} {high}"
            );
            assert_ne!(
                expect,
                Ordering::Greater,
                "{scheme:?}: {low} {middle} {high}"
            );
        }
    }
}

#[test]
fn any_text_is_ordered() {
    let mut dice = Dice(88_172_645_463_325_252);
    for _ in 0..20_000 {
        let [left, right] = [(); 2].map(|()| {
            let bytes: Vec<u8> = (0..dice.below(12))
                .map(|_| u8::try_from(dice.below(256)).unwrap())
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        for scheme in SCHEMES {
            assert_eq!(
                compare(scheme, &left, &right),
                compare(scheme, &right, &left).reverse(),
                "{left:?} {right:?}"
            );
            compare_values(scheme, &left, &right);
        }
    }
}
