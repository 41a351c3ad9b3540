//! The token that readers have to show: from a file, compared without telling how much of it was right.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hmac::digest::CtOutput;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::reloaded::Reloaded;

/// Fewer characters can be guessed.
const MIN_CHARS: usize = 16;
/// Bit of a file's mode: everybody may read it.
const READABLE_BY_OTHERS: u32 = 0o004;

/// Why there is no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file could not be read.
    #[error("cannot read the token file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It can be guessed, or is no header.
    #[error("{} must hold a token of at least {MIN_CHARS} visible characters in one line", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
    },
}

/// See the module.
pub struct Token(Reloaded<CtOutput<Sha256>, TokenError, 1>);

impl Token {
    /// The token in this file.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        Reloaded::new([path.to_owned()], |[path]| read(path)).map(Self)
    }

    /// Whether this is the token, as the file says it now.
    pub fn is(&self, shown: &str) -> bool {
        // Digests, so that the time depends on neither.
        digest(shown) == self.0.get()
    }
}

fn read(path: &Path) -> Result<CtOutput<Sha256>, TokenError> {
    let read_error = |source| TokenError::Read {
        path: path.to_owned(),
        source,
    };
    let text = fs::read_to_string(path).map_err(read_error)?;
    let token = text.trim();
    if token.len() < MIN_CHARS || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Unfit {
            path: path.to_owned(),
        });
    }
    let mode = fs::metadata(path).map_err(read_error)?.permissions().mode();
    if mode & READABLE_BY_OTHERS != 0 {
        tracing::warn!(
            file = %path.display(),
            "every user of this machine can read the token: chmod 600"
        );
    }
    Ok(digest(token))
}

fn digest(token: &str) -> CtOutput<Sha256> {
    CtOutput::new(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let check = |content: &str, expect: Option<&str>| {
            fs::write(&path, content).unwrap();
            let token = Token::open(&path).ok();
            assert_eq!(token.is_some(), expect.is_some(), "{content:?}");
            if let (Some(token), Some(expect)) = (token, expect) {
                assert!(token.is(expect));
                assert!(!token.is(&expect[1..]) && !token.is("") && !token.is(content));
            }
        };
        check(" 0123456789abcdef\n", Some("0123456789abcdef"));
        check("0123456789abcde\n", None);
        check("0123456789abcdef 0", None);
        check("0123456789abcdef\n0123456789abcdef", None);
        check("0123456789abcdef\u{e9}", None);
        check("", None);
        assert!(matches!(
            Token::open(&directory.path().join("nowhere")),
            Err(TokenError::Read { .. })
        ));
    }

    #[test]
    fn a_new_token_replaces_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "the-first-token-of-all").unwrap();
        let token = Token::open(&path).unwrap();
        assert!(token.is("the-first-token-of-all"));
        fs::write(&path, "another one, of several words").unwrap();
        assert!(token.is("the-first-token-of-all"), "broken");
        fs::write(&path, "the-second-token").unwrap();
        assert!(token.is("the-second-token"));
        assert!(!token.is("the-first-token-of-all"));
        fs::remove_file(&path).unwrap();
        assert!(token.is("the-second-token"));
    }
}
