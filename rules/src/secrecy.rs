//! Whether a value of the environment may leave the host in plain: pure rules on names and values, without input,
//! output or crates, since the backend applies the same ones again to what it is sent.
//!
//! Two questions, both of which must be answered with yes: is the name on the list of those that are allowed
//! ([`is_allowed`]), and does nothing speak against it ([`may_be_shown`])? What looks like a secret always wins over a
//! list, the operator's too. The rules err on the side of silence: a value that is withheld is still compared by its
//! hash.

use crate::glob;

/// Names whose values are worth seeing and hold no secret by what they mean; `*` stands for any characters.
const ALLOWED: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "SHELL",
    "EDITOR",
    "PAGER",
    "HOSTNAME",
    "XDG_*",
    "JAVA_HOME",
    "GOROOT",
];

/// Parts of names, in upper case, that speak of a secret wherever they stand.
const SECRET_NAME_PARTS: &[&str] = &[
    "ACCESS",
    "ALIBABA_",
    "ANTHROPIC_",
    "AUTH",
    "AWS_",
    "AZURE_",
    "BEARER",
    "CERT",
    "CIPHER",
    "CLOUDFLARE_",
    "CONN",
    "COOKIE",
    "CRED",
    "CRYPT",
    "DIGITALOCEAN_",
    "DSN",
    "GCP_",
    "GITHUB_",
    "GITLAB_",
    "GOOGLE_",
    "GPG",
    "HEROKU_",
    "HMAC",
    "JWT",
    "KEY",
    "KUBE",
    "LICENCE",
    "LICENSE",
    "MNEMONIC",
    "NPM_",
    "OPENAI_",
    "OTP",
    "PASS",
    "PGP",
    "PHRASE",
    "PIN",
    "PRIVATE",
    "PSK",
    "PWD",
    "SALT",
    "SECRET",
    "SEED",
    "SESSION",
    "SIGN",
    "SLACK_",
    "SSH_",
    "STRIPE_",
    "TICKET",
    "TOKEN",
    "TWILIO_",
    "VAULT_",
    "WALLET",
    "WEBHOOK",
    "_URI",
    "_URL",
];

/// Ends of names that speak of an address, which may hold a password.
const SECRET_NAME_ENDS: &[&str] = &["URL", "URI", "PW", "PROXY"];

/// How tokens of well-known services begin, as their makers document it.
const TOKEN_PREFIXES: &[&str] = &[
    "AGE-SECRET-KEY-",
    "AIza",
    "AKIA",
    "ASIA",
    "ATATT",
    "ATBB",
    "EAAC",
    "PMAK-",
    "SG.",
    "dckr_oat_",
    "dckr_pat_",
    "doo_v1_",
    "dop_v1_",
    "dor_v1_",
    "figd_",
    "gho_",
    "ghp_",
    "ghr_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glcbt-",
    "gldt-",
    "glft-",
    "glpat-",
    "glptt-",
    "glrt-",
    "glsa_",
    "gsk_",
    "hf_",
    "hvb.",
    "hvr.",
    "hvs.",
    "lin_api_",
    "npm_",
    "nvapi-",
    "pul-",
    "pypi-",
    "rk_live_",
    "rk_test_",
    "rubygems_",
    "shpat_",
    "shpca_",
    "shppa_",
    "shpss_",
    "sk-",
    "sk_live_",
    "sk_test_",
    "sntrys_",
    "tskey-",
    "whsec_",
    "xapp-",
    "xox",
    "ya29.",
];

/// How hashed passwords begin, between two dollar signs.
const PASSWORD_METHODS: &[&str] = &[
    "1", "2a", "2b", "2y", "5", "6", "7", "apr1", "argon2d", "argon2i", "argon2id", "gy", "scrypt",
    "sha1", "y",
];

/// What an assignment inside a value begins with, in lower case, such as in a connection string.
const SECRET_ASSIGNMENTS: &[&str] = &[
    "password=",
    "passwd=",
    "pwd=",
    "secret=",
    "token=",
    "key=",
    "bearer ",
    "basic ",
];

/// Longest value that may be shown, in bytes: what is longer is no setting that a person reads.
const MAX_SHOWN_BYTES: usize = 256;
/// Characters after a token's prefix that make it a token and no word.
const MIN_TOKEN_CHARS: usize = 8;
/// Digits in a row that make a hexadecimal key: 128 bits.
const MIN_HEX_DIGITS: usize = 32;
/// Characters in a row that make a key in base64: 240 bits.
const MIN_BASE64_CHARS: usize = 40;
/// Least length of a JSON web token; real ones are far longer.
const MIN_JWT_CHARS: usize = 20;

/// Whether nothing speaks against showing this value of this name: the part that denies.
pub fn may_be_shown(name: &str, value: &str) -> bool {
    !is_secret_name(name) && !is_secret_value(value)
}

/// Whether the name is on the list of those that are shown, or on the operator's own (`extra`, with `*` for any
/// characters): the part that allows.
pub fn is_allowed(name: &str, extra: &[String]) -> bool {
    let mut patterns = ALLOWED
        .iter()
        .copied()
        .chain(extra.iter().map(String::as_str));
    patterns.any(|pattern| glob::matches(pattern, name))
}

/// Whether the name speaks of a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAME_PARTS.iter().any(|part| name.contains(part))
        || SECRET_NAME_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether the value has the form of a secret, or could hide one.
pub fn is_secret_value(value: &str) -> bool {
    value.len() > MAX_SHOWN_BYTES
        || value.chars().any(char::is_control)
        || value.contains("-----BEGIN")
        || is_json_web_token(value)
        || has_token(value)
        || has_password_hash(value)
        || has_user_info(value)
        || has_assignment(value)
        || has_long_hex(value)
        || has_long_base64(value)
}

fn is_token_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

fn is_json_web_token(value: &str) -> bool {
    value.match_indices("eyJ").any(|(start, _)| {
        let run: String = value[start..]
            .chars()
            .take_while(|c| is_token_char(*c))
            .collect();
        run.contains('.') && run.len() >= MIN_JWT_CHARS
    })
}

/// A known prefix at the beginning of a word, with a token's length after it.
fn has_token(value: &str) -> bool {
    TOKEN_PREFIXES.iter().any(|prefix| {
        value.match_indices(prefix).any(|(start, _)| {
            let is_inside_word = value[..start]
                .chars()
                .next_back()
                .is_some_and(|before| before.is_ascii_alphanumeric());
            let rest = value[start + prefix.len()..].chars();
            !is_inside_word && rest.take_while(|c| is_token_char(*c)).count() >= MIN_TOKEN_CHARS
        })
    })
}

/// `user:password@host` with or without a scheme, and `scheme://token@host`; a password may hold anything, spaces too.
fn has_user_info(value: &str) -> bool {
    let after = value.split_once(':');
    after.is_some_and(|(_, rest)| rest.contains('@'))
}

fn has_assignment(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    SECRET_ASSIGNMENTS.iter().any(|start| value.contains(start))
}

/// In the forms of `crypt(5)` and of LDAP.
fn has_password_hash(value: &str) -> bool {
    let is_crypt = value.match_indices('$').any(|(start, _)| {
        let method = value[start + 1..].split_once('$').map(|(method, _)| method);
        method.is_some_and(|method| PASSWORD_METHODS.contains(&method))
    });
    is_crypt || value.contains("{SSHA") || value.contains("{SHA") || value.contains("{CRYPT")
}

/// Dashes do not interrupt: keys in the form of a UUID are keys.
fn has_long_hex(value: &str) -> bool {
    let mut digits = 0;
    value.chars().any(|character| {
        if character.is_ascii_hexdigit() {
            digits += 1;
        } else if character != '-' {
            digits = 0;
        }
        digits >= MIN_HEX_DIGITS
    })
}

/// A long run in which upper and lower case and digits are mixed, as they are in random bytes and not in paths.
fn has_long_base64(value: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_');
    value.split(|c| !is_base64(c)).any(|run| {
        let has = |is_kind: fn(&char) -> bool| run.chars().any(|c| is_kind(&c));
        run.len() >= MIN_BASE64_CHARS
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_lowercase)
            && has(char::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests;
