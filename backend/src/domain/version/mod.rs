//! Which of two package versions is newer, by the rules of the package manager that installed them.
//!
//! A version is read as a stream of tokens, and the order of versions is the order of their streams, token by token.
//! So each manager is two things: a function that cuts off the next token, and an enum of tokens whose variants stand
//! from lowest to highest. Where a version may end is a token too: `1.0~rc1` is older than `1.0` because `~` stands
//! before the end, `1.0.1` is newer because a number stands after it. An order made this way cannot contradict itself.

use std::cmp::Ordering;

/// Whose rules order the versions of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Debian and its kin: [policy 5.6.12](https://www.debian.org/doc/debian-policy/ch-controlfields.html#version).
    Dpkg,
    /// Fedora, RHEL, SUSE: `rpmverCmp` of rpm 4.15 and later, with `~` and `^`
    /// ([rpm-version(7)](https://rpm.org/docs/latest/man/rpm-version.7)).
    Rpm,
    /// Alpine: [apk-tools 3](https://gitlab.alpinelinux.org/alpine/apk-tools/-/blob/master/doc/apk-package.5.scd).
    Apk,
    /// Arch: `alpm_pkg_vercmp` ([vercmp(8)](https://man.archlinux.org/man/vercmp.8)).
    Pacman,
}

impl Scheme {
    /// The scheme of a package key such as `dpkg/openssl:amd64`: the word before the first `/`.
    pub fn of_key(key: &str) -> Option<Self> {
        match key.split_once('/')?.0 {
            "dpkg" => Some(Self::Dpkg),
            "rpm" => Some(Self::Rpm),
            "apk" => Some(Self::Apk),
            "pacman" => Some(Self::Pacman),
            _ => None,
        }
    }
}

/// Whether `left` is older than, the same as, or newer than `right`.
///
/// Total over all strings, valid or not, and fit for sorting; different spellings may be the same version (`1.0` and
/// `1.00` for dpkg). Linear in time, without allocation. What the managers leave open or contradict themselves in:
///
/// - A release on one side only, rpm and pacman: the side without is older. rpm sorts so; pacman calls them equal, and
///   then `1-1` and `1-2` both equal `1`, which no order can hold. An installed package always has a release.
/// - Separators at the end, pacman: `1.` stands between `1` and `1.a`; its own rule makes `1..a < 1. < 1.1 < 1..a`.
/// - Versions that break apk's grammar: equal when they break it at the same place after equal tokens, as apk says.
/// - A colon ends an epoch only after digits (or nothing, which is epoch 0); else it is part of the version.
pub fn compare(scheme: Scheme, left: &str, right: &str) -> Ordering {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    match scheme {
        Scheme::Dpkg => compare_labels(left, right, Some(b""), dpkg_token),
        Scheme::Rpm => compare_labels(left, right, None, rpm_token),
        Scheme::Pacman => compare_labels(left, right, None, pacman_token),
        Scheme::Apk => compare_tokens(left, right, apk_token),
    }
}

/// How a package's value moved from `left` to `right`, when each may hold several installed versions: the highest of
/// each are compared. `None` when those are the same version but the values differ: neither older nor newer.
pub fn compare_values(scheme: Scheme, left: &str, right: &str) -> Option<Ordering> {
    if left == right {
        return Some(Ordering::Equal);
    }
    let highest = |value| versions(value).max_by(|a, b| compare(scheme, a, b));
    let ordering = match (highest(left), highest(right)) {
        (Some(left), Some(right)) => compare(scheme, left, right),
        (left, right) => left.is_some().cmp(&right.is_some()),
    };
    ordering.is_ne().then_some(ordering)
}

/// The versions in a package's value: they are joined by one space.
pub fn versions(value: &str) -> impl Iterator<Item = &str> {
    value.split(' ').filter(|version| !version.is_empty())
}

/// Compares `[epoch:]version[-release]` part by part; a missing epoch is 0, a missing release is `missing`.
fn compare_labels<'a, Token: Ord>(
    left: &'a [u8],
    right: &'a [u8],
    missing: Option<&'a [u8]>,
    next: impl Fn(&'a [u8]) -> (Token, &'a [u8]),
) -> Ordering {
    let compare_part = |left, right| compare_tokens(left, right, |_, rest| next(rest));
    let (left_epoch, left_version, left_release) = split_label(left);
    let (right_epoch, right_version, right_release) = split_label(right);
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| compare_part(left_version, right_version))
        .then_with(
            || match (left_release.or(missing), right_release.or(missing)) {
                (Some(left), Some(right)) => compare_part(left, right),
                (left, right) => left.is_some().cmp(&right.is_some()),
            },
        )
}

/// Epoch, version and release: the first colon ends the epoch, the last hyphen begins the release.
fn split_label(text: &[u8]) -> (Number<'_>, &[u8], Option<&[u8]>) {
    let (epoch, text) = match take_number(text) {
        (epoch, [b':', rest @ ..]) => (epoch, rest),
        _ => (Number::ZERO, text),
    };
    let mut parts = text.rsplitn(2, |byte| *byte == b'-');
    match (parts.next(), parts.next()) {
        (release, Some(version)) => (epoch, version, release),
        _ => (epoch, text, None),
    }
}

/// Compares token by token until one differs or both texts are used up. `next` gets the token before, which is the same
/// on both sides, and cuts the next one off what is left; of an empty text it must return an empty rest.
fn compare_tokens<'a, Token: Ord>(
    mut left: &'a [u8],
    mut right: &'a [u8],
    next: impl Fn(Option<&Token>, &'a [u8]) -> (Token, &'a [u8]),
) -> Ordering {
    let mut before = None;
    while !(left.is_empty() && right.is_empty()) {
        let (left_token, left_rest) = next(before.as_ref(), left);
        let (right_token, right_rest) = next(before.as_ref(), right);
        let ordering = left_token.cmp(&right_token);
        if ordering.is_ne() {
            return ordering;
        }
        (left, right, before) = (left_rest, right_rest, Some(left_token));
    }
    Ordering::Equal
}

/// A run of digits by its value: without leading zeros the longer one is greater, so no length overflows anything.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a> {
    length: usize,
    digits: &'a [u8],
}

impl<'a> Number<'a> {
    const ZERO: Self = Self::of(b"");

    const fn of(digits: &'a [u8]) -> Self {
        Self {
            length: digits.len(),
            digits,
        }
    }
}

/// The digits at the start, perhaps none, as a number.
fn take_number(text: &[u8]) -> (Number<'_>, &[u8]) {
    let (digits, rest) = take_while(text, u8::is_ascii_digit);
    let (_zeros, significant) = take_while(digits, |byte| *byte == b'0');
    (Number::of(significant), rest)
}

/// The bytes at the start that belong, and the rest.
fn take_while(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !belongs(byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// A run of letters or of digits, as rpm and pacman cut them; of two, the number is newer.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Run<'a> {
    Letters(&'a [u8]),
    Number(Number<'a>),
}

/// The run at the start, if the text starts with one.
fn take_run(text: &[u8]) -> Option<(Run<'_>, &[u8])> {
    let first = text.first()?;
    if first.is_ascii_digit() {
        let (number, rest) = take_number(text);
        Some((Run::Number(number), rest))
    } else if first.is_ascii_alphabetic() {
        let (letters, rest) = take_while(text, u8::is_ascii_alphabetic);
        Some((Run::Letters(letters), rest))
    } else {
        None
    }
}

/// dpkg goes byte by byte through what is no digit. Where a number is due and none stands, it is 0, as at the end.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum DpkgToken<'a> {
    Tilde,
    Number(Number<'a>),
    Letter(u8),
    Other(u8),
}

fn dpkg_token(text: &[u8]) -> (DpkgToken<'_>, &[u8]) {
    match text {
        [b'~', rest @ ..] => (DpkgToken::Tilde, rest),
        [b'0'..=b'9', ..] | [] => {
            let (number, rest) = take_number(text);
            (DpkgToken::Number(number), rest)
        }
        [byte, rest @ ..] if byte.is_ascii_alphabetic() => (DpkgToken::Letter(*byte), rest),
        [byte, rest @ ..] => (DpkgToken::Other(*byte), rest),
    }
}

/// rpm sees runs, `~` and `^`; all else only separates.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum RpmToken<'a> {
    Tilde,
    End,
    Caret,
    Run(Run<'a>),
}

fn rpm_token(text: &[u8]) -> (RpmToken<'_>, &[u8]) {
    let separates = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'~' | b'^');
    let (_, text) = take_while(text, separates);
    match (text, take_run(text)) {
        ([b'~', rest @ ..], _) => (RpmToken::Tilde, rest),
        ([b'^', rest @ ..], _) => (RpmToken::Caret, rest),
        (_, Some((run, rest))) => (RpmToken::Run(run), rest),
        (_, None) => (RpmToken::End, &[]),
    }
}

/// pacman's order came from rpm's before `~` and `^`, which only separate here, and differs in two ways: letters right
/// after a number mean a version before the number's own (`1.0rc` is older than `1.0`, for rpm it is newer), and more
/// separators are newer whatever follows, where rpm does not count them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum PacmanToken<'a> {
    AttachedLetters(&'a [u8]),
    End,
    EndAfterSeparators,
    AttachedNumber(Number<'a>),
    Separated(usize, Run<'a>),
}

fn pacman_token(text: &[u8]) -> (PacmanToken<'_>, &[u8]) {
    let (separators, text) = take_while(text, |byte| !byte.is_ascii_alphanumeric());
    match (separators.len(), take_run(text)) {
        (0, None) => (PacmanToken::End, &[]),
        (0, Some((Run::Letters(letters), rest))) => (PacmanToken::AttachedLetters(letters), rest),
        (0, Some((Run::Number(number), rest))) => (PacmanToken::AttachedNumber(number), rest),
        (_, None) => (PacmanToken::EndAfterSeparators, &[]),
        (count, Some((run, rest))) => (PacmanToken::Separated(count, run), rest),
    }
}

/// apk's suffixes that come before the version they stand at, from lowest to highest.
const APK_BEFORE: [&[u8]; 4] = [b"alpha", b"beta", b"pre", b"rc"];
/// apk's suffixes that come after it, from lowest to highest.
const APK_AFTER: [&[u8]; 5] = [b"cvs", b"svn", b"git", b"hg", b"p"];

/// apk has a grammar, `1{.2}[a]{_suffix[3]}[~hash][-r4]`, and ranks what stands earlier in it as newer.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum ApkToken<'a> {
    SuffixBefore(usize),
    Invalid,
    End,
    Revision(Number<'a>),
    Hash(&'a [u8]),
    SuffixNumber(Number<'a>),
    SuffixAfter(usize),
    Letter(u8),
    /// Digits after a point that begin with 0 are ordered as text: `1.01`, `1.02`, `1.1`.
    Fraction(&'a [u8]),
    Component(Number<'a>),
    First(Number<'a>),
}

fn apk_token<'a>(before: Option<&ApkToken>, text: &'a [u8]) -> (ApkToken<'a>, &'a [u8]) {
    use ApkToken as T;
    let (in_digits, before_hash, before_revision) = match before {
        Some(T::First(_) | T::Component(_) | T::Fraction(_)) => (true, true, true),
        Some(T::Letter(_) | T::SuffixBefore(_) | T::SuffixAfter(_) | T::SuffixNumber(_)) => {
            (false, true, true)
        }
        Some(T::Hash(_)) => (false, false, true),
        _ => (false, false, false),
    };
    let after_suffix = matches!(before, Some(T::SuffixBefore(_) | T::SuffixAfter(_)));
    match text {
        [] if before.is_some() => (T::End, &[]),
        _ if before.is_none() => number_as(T::First, text),
        [b'0'..=b'9', ..] if after_suffix => number_as(T::SuffixNumber, text),
        [b'.', digits @ ..] if in_digits && digits.starts_with(b"0") => {
            let (digits, rest) = take_while(digits, u8::is_ascii_digit);
            (T::Fraction(digits), rest)
        }
        [b'.', digits @ ..] if in_digits => number_as(T::Component, digits),
        [letter @ b'a'..=b'z', rest @ ..] if in_digits => (T::Letter(*letter), rest),
        [b'_', rest @ ..] if before_hash => {
            let (word, rest) = take_while(rest, u8::is_ascii_lowercase);
            let rank = |suffixes: &[&[u8]]| suffixes.iter().position(|suffix| *suffix == word);
            match (rank(&APK_BEFORE), rank(&APK_AFTER)) {
                (Some(rank), _) => (T::SuffixBefore(rank), rest),
                (_, Some(rank)) => (T::SuffixAfter(rank), rest),
                (None, None) => (T::Invalid, &[]),
            }
        }
        [b'~', rest @ ..] if before_hash => {
            match take_while(rest, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                ([], _) => (T::Invalid, &[]),
                (hash, rest) => (T::Hash(hash), rest),
            }
        }
        [b'-', b'r', digits @ ..] if before_revision => number_as(T::Revision, digits),
        _ => (T::Invalid, &[]),
    }
}

/// The number at the start as a token; without a digit there the version is invalid.
fn number_as<'a>(
    token: impl Fn(Number<'a>) -> ApkToken<'a>,
    text: &'a [u8],
) -> (ApkToken<'a>, &'a [u8]) {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return (ApkToken::Invalid, &[]);
    }
    let (number, rest) = take_number(text);
    (token(number), rest)
}

#[cfg(test)]
mod tests;
