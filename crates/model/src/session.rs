//! Sessions and callers (protocol.md, sections 1 and 4).

use crate::{AccountId, DirId, Owner, Time, TreePath, UserId};

/// SHA-256 of a token's text: what is stored instead of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

/// Which call made a session; a successful `authenticate` ends the user's sessions that came from `login`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionOrigin {
    /// JSON-RPC `login`.
    Login,
    /// JSON-RPC `authenticate` or HTTP `/account/login`.
    Authenticate,
}

/// A session as stored, under its token's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user: UserId,
    /// What made it.
    pub origin: SessionOrigin,
    /// The sub-directory it was limited to, below the user's own directory.
    pub subdir: TreePath,
    /// When it was made.
    pub created: Time,
    /// When it ends; `None`: never.
    pub expires: Option<Time>,
    /// Whether `updateSession` was used: it works once.
    pub updated: bool,
}

/// Who is calling: a session, its user and account, as they are at this moment. Operations take this and nothing else
/// as proof of who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The session's key; `None` for a caller without one (a signed request, a job of the server).
    pub session: Option<TokenHash>,
    /// When the session was made.
    pub since: Time,
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub account_name: String,
    /// Its top directory.
    pub top: DirId,
    /// The user.
    pub user: UserId,
    /// The user's name.
    pub username: String,
    /// Owner of what this caller creates; its `gid` is what permission is checked with.
    pub owner: Owner,
    /// Changes nothing.
    pub read_only: bool,
    /// What the caller's paths are relative to, from the account's top directory.
    pub root: TreePath,
}

impl Caller {
    /// A path the client gave, from the account's top directory.
    pub fn full(&self, path: &TreePath) -> TreePath {
        self.root.join(path)
    }

    /// A path the client gave, as answers show it: `/{account}/…`.
    pub fn absolute(&self, path: &TreePath) -> String {
        self.full(path).absolute(&self.account_name)
    }
}
