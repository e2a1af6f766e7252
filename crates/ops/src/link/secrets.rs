//! The secrets that sign an account's URLs: made or brought by the operator, two at most, stored encrypted, shown once.

use model::{Account, Error, Result, Secret};
use sha2::{Digest as _, Sha256};

use crate::Store;

/// Secrets an account has at most: the newest signs, each verifies.
const SECRETS_MAX: usize = 2;
/// Longest secret an operator may bring, in bytes.
const SECRET_BYTES_MAX: usize = 1024;

/// Names a secret without telling anything of it: 8 hex digits.
pub type SecretId = String;

/// A new secret.
#[derive(Debug, Clone)]
pub struct NewUrlSecret {
    /// Its name.
    pub id: SecretId,
    /// What signs.
    pub secret: Secret,
}

impl Store {
    /// Gives an account a secret: `given`, or one that is made up (256 bits in hex digits). It becomes the newest. An
    /// account that has two already loses the older with `rotate`.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`]; [`Error::InvalidName`] for a given one that is empty, too long, or not plain text;
    /// [`Error::Exists`] for an account with two, without `rotate`.
    pub async fn add_url_secret(
        &self,
        account: &str,
        given: Option<Secret>,
        rotate: bool,
    ) -> Result<NewUrlSecret> {
        let secret = match given {
            Some(secret) => check(secret)?,
            None => make_up()?,
        };
        let name = account.to_owned();
        let found = self.0.catalog.read(move |tx| tx.account_by_name(&name)).await?;
        let id = found.ok_or(Error::NoSuchAccount)?.id;
        let sealed = self.0.vault.seal(&secret, &bound_to(id))?;
        let new = NewUrlSecret { id: id_of(&sealed), secret };
        self.0
            .catalog
            .write(move |tx| {
                let mut account = tx.account(id)?.ok_or(Error::NoSuchAccount)?;
                let secrets = &mut account.sealed_url_secrets;
                if secrets.len() >= SECRETS_MAX && !rotate {
                    return Err(Error::Exists);
                }
                secrets.insert(0, sealed.clone());
                secrets.truncate(SECRETS_MAX);
                tx.put_account(&account)
            })
            .await?;
        Ok(new)
    }

    /// The names of an account's secrets, the newest first.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub async fn list_url_secrets(&self, account: &str) -> Result<Vec<SecretId>> {
        let name = account.to_owned();
        let account = self.0.catalog.read(move |tx| tx.account_by_name(&name)).await?;
        let account = account.ok_or(Error::NoSuchAccount)?;
        Ok(account.sealed_url_secrets.iter().map(|sealed| id_of(sealed)).collect())
    }

    /// Takes a secret from an account: what it signed is refused from now on.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`], [`Error::NotFound`].
    pub async fn remove_url_secret(&self, account: &str, id: &str) -> Result<()> {
        let (name, id) = (account.to_owned(), id.to_owned());
        self.0
            .catalog
            .write(move |tx| {
                let mut account = tx.account_by_name(&name)?.ok_or(Error::NoSuchAccount)?;
                let before = account.sealed_url_secrets.len();
                account.sealed_url_secrets.retain(|sealed| id_of(sealed) != id);
                if account.sealed_url_secrets.len() == before {
                    return Err(Error::NotFound);
                }
                tx.put_account(&account)
            })
            .await
    }

    /// An account's secrets, the newest first.
    pub(super) fn url_secrets(&self, account: &Account) -> Result<Vec<Secret>> {
        let bound_to = bound_to(account.id);
        let sealed = account.sealed_url_secrets.iter();
        sealed.map(|sealed| self.0.vault.open(sealed, &bound_to)).collect()
    }
}

fn bound_to(account: model::AccountId) -> Vec<u8> {
    format!("url-secret:{}", account.0).into_bytes()
}

/// Of the sealed bytes, which are random: of a weak secret, too, it tells nothing.
fn id_of(sealed: &[u8]) -> SecretId {
    let mut hex = model::Digest(Sha256::digest(sealed).into()).to_hex();
    hex.truncate(8);
    hex
}

fn check(secret: Secret) -> Result<Secret> {
    let text = secret.expose();
    if text.is_empty() || text.len() > SECRET_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Error::InvalidName("a secret is 1 to 1024 bytes without control characters"));
    }
    Ok(secret)
}

fn make_up() -> Result<Secret> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| Error::Storage(format!("no randomness: {e}")))?;
    Ok(Secret::new(model::Digest(key).to_hex()))
}
