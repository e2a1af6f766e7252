//! Hashing and checking passwords: Argon2id, a bounded number at a time, the same work for users that do not exist.
//!
//! Threads of their own do it, each in memory that it keeps. Left to the allocator, the 19 MiB of a hash stay behind in
//! the arena of each thread that ever asked for them (measured: 450 MiB after some logins at the same time).
//!
//! What is not here: who may try, and how often (`throttle`).

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use model::{Error, Result, Secret, limits};
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, oneshot};

/// Hashes at work at the same time: each takes 19 MiB and a core for some 15 ms.
const AT_ONCE: usize = 2;

/// What a hash is computed in.
type Memory = Vec<Block>;
type Work = Box<dyn FnOnce(&mut Memory) + Send>;

pub(crate) struct Passwords {
    at_once: Arc<Semaphore>,
    workers: SyncSender<Work>,
    /// Hash of a password nobody has: what a wrong user name is checked against, so that it costs what a right one does.
    /// Made with the first check, whoever it is for.
    nobody: Arc<OnceLock<Secret>>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        Self { at_once, workers: start_workers(), nobody: Arc::default() }
    }

    /// A PHC string for a new password.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<Secret> {
        let text = password.expose().to_owned();
        if text.is_empty() || text.len() > limits::PASSWORD_BYTES_MAX {
            return Err(Error::InvalidName("a password is 1 to 1024 bytes"));
        }
        self.off_thread(move |memory| hash_now(memory, text.as_bytes())).await?
    }

    /// Whether `password` is the one `hash` was made of. `None` stands for a user that does not exist: false, after
    /// the same work.
    pub(crate) async fn check(&self, password: &Secret, hash: Option<&Secret>) -> Result<bool> {
        if password.expose().len() > limits::PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let (hash, nobody) = (hash.cloned(), Arc::clone(&self.nobody));
        let exists = hash.is_some();
        let text = password.expose().to_owned();
        let matches = self
            .off_thread(move |memory| {
                let nobody = nobody.get_or_init(|| nobodys(memory));
                is_of(memory, hash.as_ref().unwrap_or(nobody), text.as_bytes())
            })
            .await?;
        Ok(exists && matches)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T> {
        let stopped = |_| Error::Unavailable("passwords cannot be checked now".to_owned());
        let permit =
            self.at_once.clone().acquire_owned().await.map_err(|e| stopped(e.to_string()))?;
        let (done, result) = oneshot::channel();
        let work = Box::new(move |memory: &mut Memory| {
            let _permit = permit;
            // Whoever asked may have gone.
            let _unheard = done.send(work(memory));
        });
        // As many may wait as have a permit, so there is room.
        self.workers.try_send(work).map_err(|e| stopped(e.to_string()))?;
        result.await.map_err(|e| stopped(e.to_string()))
    }
}

/// Threads that hash until nobody is left to ask for it.
fn start_workers() -> SyncSender<Work> {
    let (sender, receiver) = sync_channel::<Work>(AT_ONCE);
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..AT_ONCE {
        let receiver = Arc::clone(&receiver);
        let work = move || {
            let mut memory = Memory::new();
            while let Some(work) = next(&receiver) {
                work(&mut memory);
            }
        };
        // Without threads nothing can be hashed: asking says so.
        let _started = thread::Builder::new().name("password".to_owned()).spawn(work);
    }
    sender
}

fn next(receiver: &Mutex<Receiver<Work>>) -> Option<Work> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn hash_now(memory: &mut Memory, password: &[u8]) -> Result<Secret> {
    let failed = |e: &dyn std::fmt::Display| Error::Storage(format!("password hashing: {e}"));
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|e| Error::Storage(format!("no randomness: {e}")))?;
    let params = Params::default();
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon = Argon2::from(&params);
    compute(&argon, &params, memory, password, &salt, &mut out).map_err(|e| failed(&e))?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(&params).map_err(|e| failed(&e))?,
        salt: Some(Salt::new(&salt).map_err(|e| failed(&e))?),
        hash: Some(Output::new(&out).map_err(|e| failed(&e))?),
    };
    Ok(Secret::new(hash.to_string()))
}

/// A hash that no password has.
fn nobodys(memory: &mut Memory) -> Secret {
    let mut password = [0; 32];
    // Without randomness nothing could be hashed later either; the fixed value opens no door, since a match with
    // it never counts.
    let _filled = getrandom::fill(&mut password);
    hash_now(memory, &password).unwrap_or_else(|_| Secret::new(""))
}

/// Whether a PHC string was made of a password, compared in constant time. One that cannot be read was not.
fn is_of(memory: &mut Memory, hash: &Secret, password: &[u8]) -> bool {
    let mut computed = || {
        let hash = PasswordHash::new(hash.expose()).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version =
            hash.version.map_or(Some(Version::default()), |v| Version::try_from(v).ok())?;
        let (salt, expected) = (hash.salt?, hash.hash?);
        let mut out = vec![0; expected.len()];
        let argon = Argon2::new(algorithm, version, params.clone());
        compute(&argon, &params, memory, password, &salt, &mut out).ok()?;
        Some(bool::from(out.ct_eq(expected.as_bytes())))
    };
    computed().unwrap_or(false)
}

fn compute(
    argon: &Argon2<'_>,
    params: &Params,
    memory: &mut Memory,
    password: &[u8],
    salt: &[u8],
    out: &mut [u8],
) -> argon2::Result<()> {
    // What an earlier hash left there is written over.
    memory.resize(params.block_count(), Block::default());
    argon.hash_password_into_with_memory(password, salt, out, memory)
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
        for broken in ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
            assert!(!passwords.check(&right, Some(&Secret::new(broken))).await.unwrap());
        }
    }

    /// What was stored before is still right: computed with the crate's own functions.
    #[tokio::test]
    async fn hashes_of_earlier_versions() {
        use argon2::{PasswordHasher, PasswordVerifier};

        let earlier =
            Argon2::default().hash_password_with_salt(b"correct horse", b"0123456789abcdef");
        let earlier = Secret::new(earlier.unwrap().to_string());
        let passwords = Passwords::new();
        let right = Secret::new("correct horse");
        assert!(passwords.check(&right, Some(&earlier)).await.unwrap());
        let now = passwords.hash(&right).await.unwrap();
        Argon2::default().verify_password(b"correct horse", now.expose()).unwrap();
    }
}
