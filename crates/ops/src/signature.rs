//! Signed requests (protocol.md, section 8): a signature under an account's secret key stands for a token, once.
//!
//! What lives here: whose signature it is, whether it is right, in its time, and not used before. What does not: how a
//! request says what it signs, and whether that is what it asks for (the room).

use hmac::{Hmac, KeyInit, Mac};
use model::{Caller, Digest, Error, Result, Secret, Time, TreePath};
use sha2::{Digest as _, Sha256};

use crate::{Store, session::caller_of};

/// A signature as a request carries it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Names the key pair.
    pub access_key: String,
    /// When it ends, in seconds since the epoch.
    pub expiry: u64,
    /// The very bytes that were signed.
    pub message: Vec<u8>,
    /// HMAC-SHA256 of them under the characters of the secret key.
    pub signature: Vec<u8>,
}

impl Store {
    /// Who a signature stands for: the user who made the key pair. The signature is used up by this,
    /// unless the user has sent too many requests. Counts as a call of that user.
    ///
    /// # Errors
    /// [`Error::BadToken`]: an unknown key, a wrong signature, one that expired, expires too far in the future, or was
    /// used before; a user that was deactivated. [`Error::RateLimited`].
    pub async fn signed_caller(&self, signed: Signed) -> Result<Caller> {
        let now = self.now();
        let access_key = signed.access_key.clone();
        let pair = self.0.catalog.read(move |tx| tx.key_pair(&access_key)).await?;
        let secret = match &pair {
            Some(pair) => self.0.vault.open(&pair.sealed_secret, pair.access_key.as_bytes())?,
            // The same work for a key that nobody has.
            None => Secret::new("0".repeat(64)),
        };
        let right = is_right(&secret, &signed.message, &signed.signature)?;
        let in_time = signed.expiry > now.secs()
            && signed.expiry - now.secs() <= self.0.limits.signature_secs_max;
        let Some(pair) = pair.filter(|_| right && in_time) else { return Err(Error::BadToken) };
        self.0.rates.admit_user(pair.user)?;
        let used = Digest(Sha256::digest(&signed.signature).into());
        let until = Time::from_secs(signed.expiry);
        self.0
            .catalog
            .write(move |tx| {
                // The pair may have been replaced since it was read.
                let current = tx.key_pair(&pair.access_key)?.ok_or(Error::BadToken)?;
                if current != pair || tx.is_signature_used(pair.account, used)? {
                    return Err(Error::BadToken);
                }
                let user = tx.user(pair.user)?.filter(|u| u.active).ok_or(Error::BadToken)?;
                let account = tx.account(pair.account)?.ok_or(Error::BadToken)?;
                tx.put_used_signature(pair.account, used, until)?;
                Ok(caller_of(user, account, None, now, &TreePath::root()))
            })
            .await
    }

    /// Forgets used signatures that have expired: their expiry refuses them now. Looks at some, going on after
    /// `after`; returns where to go on, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn sweep_signatures(
        &self,
        after: Option<(model::AccountId, Digest)>,
    ) -> Result<Option<(model::AccountId, Digest)>> {
        const BATCH: usize = 256;
        let now = self.now();
        let page = self.0.catalog.read(move |tx| tx.used_signatures(after, BATCH)).await?;
        let last = page.last().map(|(account, used, _)| (*account, *used));
        let next = if page.len() == BATCH { last } else { None };
        let over: Vec<_> = page.into_iter().filter(|(_, _, until)| *until <= now).collect();
        if !over.is_empty() {
            self.0
                .catalog
                .write(move |tx| {
                    over.iter().try_for_each(|(account, used, _)| {
                        tx.forget_used_signature(*account, *used)
                    })
                })
                .await?;
        }
        Ok(next)
    }
}

/// HMAC-SHA256 of a message under the characters of a secret.
///
/// # Errors
/// [`Error::Storage`] for a secret that cannot be a key.
pub fn sign(secret: &Secret, message: &[u8]) -> Result<Digest> {
    Ok(Digest(mac(secret, message)?.finalize().into_bytes().into()))
}

/// Compares in constant time.
fn is_right(secret: &Secret, message: &[u8], signature: &[u8]) -> Result<bool> {
    Ok(mac(secret, message)?.verify_slice(signature).is_ok())
}

fn mac(secret: &Secret, message: &[u8]) -> Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .map_err(|e| Error::Storage(format!("a key cannot be used: {e}")))?;
    mac.update(message);
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_mac_is_hmac_sha256() {
        let expected =
            Digest::from_hex(b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let expected = expected.unwrap().0;
        let (key, message) = (Secret::new("Jefe"), b"what do ya want for nothing?");
        assert!(is_right(&key, message, &expected).unwrap());
        assert_eq!(sign(&key, message).unwrap().0, expected);
        assert!(!is_right(&key, message, &expected[..31]).unwrap());
        assert!(!is_right(&key, b"what do ya want for nothing!", &expected).unwrap());
        assert!(!is_right(&Secret::new("jefe"), message, &expected).unwrap());
    }
}
