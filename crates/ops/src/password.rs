//! Hashing and checking passwords: Argon2id, a bounded number at a time, the same work for users that do not exist.
//!
//! What is not here: who may try, and how often (`throttle`).

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use model::{Error, Result, Secret, limits};
use tokio::sync::Semaphore;

/// Hashes at work at the same time: each takes 19 MiB and a core for some 15 ms.
const AT_ONCE: usize = 2;

pub(crate) struct Passwords {
    at_once: Arc<Semaphore>,
    /// Hash of a password nobody has: what a wrong user name is checked against, so that it costs what a right one does.
    nobody: Secret,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let mut password = [0; 32];
        // Without randomness nothing could be hashed later either; the fixed value opens no door, since a match with
        // `nobody` never counts.
        let _filled = getrandom::fill(&mut password);
        let nobody = hash_now(&password).unwrap_or_else(|_| Secret::new(""));
        Self { at_once: Arc::new(Semaphore::new(AT_ONCE)), nobody }
    }

    /// A PHC string for a new password.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<Secret> {
        let text = password.expose().to_owned();
        if text.is_empty() || text.len() > limits::PASSWORD_BYTES_MAX {
            return Err(Error::InvalidName("a password is 1 to 1024 bytes"));
        }
        self.off_thread(move || hash_now(text.as_bytes())).await?
    }

    /// Whether `password` is the one `hash` was made of. `None` stands for a user that does not exist: false, after
    /// the same work.
    pub(crate) async fn check(&self, password: &Secret, hash: Option<&Secret>) -> Result<bool> {
        if password.expose().len() > limits::PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let exists = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).clone();
        let text = password.expose().to_owned();
        let matches = self
            .off_thread(move || {
                Argon2::default().verify_password(text.as_bytes(), hash.expose()).is_ok()
            })
            .await?;
        Ok(exists && matches)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let stopped = |_| Error::Unavailable("passwords cannot be checked now".to_owned());
        let permit =
            self.at_once.clone().acquire_owned().await.map_err(|e| stopped(e.to_string()))?;
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| stopped(e.to_string()))
    }
}

fn hash_now(password: &[u8]) -> Result<Secret> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|e| Error::Storage(format!("no randomness: {e}")))?;
    let hash = Argon2::default()
        .hash_password_with_salt(password, &salt)
        .map_err(|e| Error::Storage(format!("password hashing: {e}")))?;
    Ok(Secret::new(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_an_existing_user() {
        let passwords = Passwords::new();
        let right = Secret::new("correct horse");
        let hash = passwords.hash(&right).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        assert!(passwords.check(&right, Some(&hash)).await.unwrap());
        assert!(!passwords.check(&Secret::new("wrong"), Some(&hash)).await.unwrap());
        assert!(!passwords.check(&right, None).await.unwrap());
        assert!(!passwords.check(&Secret::new("x".repeat(1 << 20)), Some(&hash)).await.unwrap());
        assert!(passwords.hash(&Secret::new("")).await.is_err());
    }
}
