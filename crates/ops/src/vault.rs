//! Encryption of secrets that must be readable again: the secret halves of key pairs (XChaCha20-Poly1305).
//!
//! The key comes from the configuration or a 0600 file; without it what is stored is of no use. All nodes of a catalog have
//! the same one: a record that is sealed under it tells.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use model::{Error, Result, Secret};

use crate::Store;

const NONCE_BYTES: usize = 24;
/// What is sealed to tell keys apart, and what it is bound to.
const CHECKED: (&str, &[u8]) = ("headwater", b"key check");

/// Encrypts and decrypts under one key.
pub struct Vault(XChaCha20Poly1305);

impl Vault {
    /// A vault under a key of 32 bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Encrypts `secret`; `bound_to` must be given again to read it, so that a record moved to another place is refused.
    ///
    /// # Errors
    /// [`Error::Storage`] when the system has no randomness.
    pub fn seal(&self, secret: &Secret, bound_to: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = vec![0; NONCE_BYTES];
        getrandom::fill(&mut sealed).map_err(|e| Error::Storage(format!("no randomness: {e}")))?;
        let nonce = XNonce::try_from(sealed.as_slice()).map_err(|_| unreadable())?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: bound_to };
        sealed.extend(self.0.encrypt(&nonce, payload).map_err(|_| unreadable())?);
        Ok(sealed)
    }

    /// Reads what [`Vault::seal`] made.
    ///
    /// # Errors
    /// [`Error::Storage`] when it was made under another key, bound to something else, or changed.
    pub fn open(&self, sealed: &[u8], bound_to: &[u8]) -> Result<Secret> {
        let (nonce, text) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(unreadable)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| unreadable())?;
        let text = self
            .0
            .decrypt(&nonce, Payload { msg: text, aad: bound_to })
            .map_err(|_| unreadable())?;
        String::from_utf8(text).map(Secret::new).map_err(|_| unreadable())
    }
}

impl Store {
    /// Whether the key is the one that this catalog's secrets are sealed under; the first key that is asked about is.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Storage`].
    pub async fn is_right_key(&self) -> Result<bool> {
        let (text, bound_to) = CHECKED;
        if let Some(check) = self.0.catalog.read(|tx| tx.key_check()).await? {
            return Ok(self.0.vault.open(&check, bound_to).is_ok());
        }
        let ours = self.0.vault.seal(&Secret::new(text), bound_to)?;
        let put = move |tx: &mut dyn catalog::Tx| match tx.key_check()? {
            Some(check) => Ok(check),
            None => tx.put_key_check(&ours).map(|()| ours.clone()),
        };
        let check = self.0.catalog.write(put).await?;
        Ok(self.0.vault.open(&check, bound_to).is_ok())
    }
}

fn unreadable() -> Error {
    Error::Storage("a stored secret cannot be read: is the key another one?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_only_under_the_same_key_and_place() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal(&Secret::new("s3cret"), b"acme").unwrap();
        assert_eq!(vault.open(&sealed, b"acme").unwrap().expose(), "s3cret");
        assert!(vault.open(&sealed, b"other").is_err());
        assert!(Vault::new(&[8; 32]).open(&sealed, b"acme").is_err());
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(vault.open(&changed, b"acme").is_err());
        assert!(vault.open(b"short", b"acme").is_err());
        assert_ne!(vault.seal(&Secret::new("s3cret"), b"acme").unwrap(), sealed);
    }
}
