//! Accounts, users and key pairs (protocol.md, section 1), and what an account uses.

use crate::{DirId, Error, Result, Secret, TreePath, limits};

/// Identifies an account; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

/// Identifies a user; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// An account: a name and the tree below `/{name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's key in the catalog.
    pub id: AccountId,
    /// Unique on the server; see [`Account::check_name`].
    pub name: String,
    /// The top directory.
    pub root: DirId,
    /// The group that users of this account get unless created otherwise.
    pub gid: u32,
    /// What it may hold.
    pub quota: Quota,
    /// Its files are served for a signed URL or a token alone (protocol.md, sections 9 and 10).
    pub private: bool,
    /// The secrets that sign its URLs as stored, encrypted: the newest first, two at most (section 10).
    pub sealed_url_secrets: Vec<Vec<u8>>,
}

/// What an account may hold; `None`: as much as there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes, counted as [`Usage::bytes`] counts them.
    pub bytes: Option<u64>,
    /// Files.
    pub files: Option<u64>,
}

impl Account {
    /// Whether `name` can be an account's: it stands as a path segment and as a host label in URLs.
    ///
    /// # Errors
    /// [`Error::InvalidName`] unless it is 1 to 63 of `a-z A-Z 0-9 - _`, neither first nor last a `-`, and no name of
    /// an API path.
    pub fn check_name(name: &str) -> Result<()> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty()
            || name.len() > limits::ACCOUNT_NAME_BYTES_MAX
            || !name.bytes().all(plain)
        {
            return Err(Error::InvalidName("an account name is 1 to 63 of a-z, A-Z, 0-9, - and _"));
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(Error::InvalidName("an account name does not begin or end with -"));
        }
        if ["jsonrpc", "jsonrpc2", "account", "post", "multipart", "console", "metrics"]
            .contains(&name)
        {
            return Err(Error::InvalidName("this name is a path of the API"));
        }
        Ok(())
    }
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Files, each name counted.
    pub files: u64,
    /// Directories, the top one not counted.
    pub directories: u64,
    /// Sum of the sizes of the files, each name counted (copies share bytes on disk but count here).
    pub bytes: u64,
}

/// A user of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's key in the catalog.
    pub id: UserId,
    /// The account the user belongs to.
    pub account: AccountId,
    /// Unique on the server.
    pub name: String,
    /// The password's hash, as a PHC string (Argon2id).
    pub password_hash: Secret,
    /// Owner of what the user creates; positive.
    pub uid: u32,
    /// Group of what the user creates; positive.
    pub gid: u32,
    /// The directory inside the account that the user is confined to; the root when unrestricted.
    pub directory: TreePath,
    /// A deactivated user cannot log in and has no usable token.
    pub active: bool,
    /// A read-only user changes nothing.
    pub read_only: bool,
}

impl User {
    /// Whether `name` can be a user's.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when empty, longer than 255 bytes, or with control characters (names travel in headers).
    pub fn check_name(name: &str) -> Result<()> {
        if name.is_empty()
            || name.len() > limits::USERNAME_BYTES_MAX
            || name.chars().any(char::is_control)
        {
            return Err(Error::InvalidName(
                "a user name is 1 to 255 bytes without control characters",
            ));
        }
        Ok(())
    }
}

/// The pair of keys that signs requests for an account (protocol.md, sections 4 and 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Names the pair in requests; 32 lower-case hex digits.
    pub access_key: String,
    /// The secret half as stored: encrypted, never the key itself.
    pub sealed_secret: Vec<u8>,
    /// The account the pair belongs to; it has one at a time.
    pub account: AccountId,
    /// The user who made the pair: signed requests act as this user.
    pub user: UserId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_names() {
        for good in ["a", "acme", "Acme-1", "a_b", "post1"] {
            assert!(Account::check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "a/b", "post", "jsonrpc", "é", &"a".repeat(64)] {
            assert!(Account::check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn user_names() {
        assert!(User::check_name("jörg@example.com").is_ok());
        for bad in ["", "a\nb", &"a".repeat(256)] {
            assert!(User::check_name(bad).is_err());
        }
    }
}
