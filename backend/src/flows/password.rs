//! Password hashes: argon2id off the async threads, a few at a time, a bounded number waiting.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::FlowError;

/// Hashes at a time: each takes 19 MiB and tens of milliseconds of one core.
const HASHES_AT_A_TIME: usize = 2;
/// Hashes at a time and waiting; past that a login is told to come back.
const HASHES_WAITING: usize = 32;

/// Makes and checks password hashes.
pub struct Passwords {
    /// What an unknown user's password is compared with, so that it takes the same time.
    nobody: Arc<str>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Passwords {
    /// Ready to hash.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> Result<Self, FlowError> {
        Ok(Self {
            nobody: hash("nobody has this password")
                .ok_or(FlowError::Busy)?
                .into(),
            running: Arc::new(Semaphore::new(HASHES_AT_A_TIME)),
            waiting: Semaphore::new(HASHES_WAITING),
        })
    }

    /// The hash to keep, in PHC string form.
    ///
    /// # Errors
    /// [`FlowError::Busy`] when too many are waiting.
    pub async fn hash(&self, password: &str) -> Result<String, FlowError> {
        let password = password.to_owned();
        self.run(move || hash(&password))
            .await?
            .ok_or(FlowError::Busy)
    }

    /// Whether the password has this hash; without one, `false` after the same time.
    ///
    /// # Errors
    /// [`FlowError::Busy`] when too many are waiting.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, FlowError> {
        let is_known = hash.is_some();
        let hash: Arc<str> = hash.map_or_else(|| Arc::clone(&self.nobody), Into::into);
        let password = password.to_owned();
        let matches = self.run(move || {
            let parsed = PasswordHash::new(&hash).ok()?;
            Argon2::default()
                .verify_password(password.as_bytes(), &parsed)
                .ok()
        });
        Ok(matches.await?.is_some() && is_known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FlowError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| FlowError::Busy)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| FlowError::Busy)?;
        tokio::task::spawn_blocking(move || {
            let _running = running;
            work()
        })
        .await
        .map_err(|_| FlowError::Busy)
    }
}

fn hash(password: &str) -> Option<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .ok()
        .map(|hash| hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_is_argon2id_and_verifies_only_its_password() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            passwords
                .verify("correct horse", Some(&hash))
                .await
                .unwrap()
        );
        assert!(!passwords.verify("wrong horse", Some(&hash)).await.unwrap());
        assert!(
            !passwords
                .verify("nobody has this password", None)
                .await
                .unwrap()
        );
        assert!(!passwords.verify("x", Some("not a hash")).await.unwrap());
    }
}
