//! Sessions: logging in and out, who is calling, key pairs (protocol.md, section 4).
//!
//! Tokens are UUIDs, stored as their SHA-256 alone. User and account are looked up at each use, so that deactivating a
//! user or moving its directory holds at once (`callers` remembers who is who for as long as nothing of it changes).

use std::net::IpAddr;

use catalog::{Read, Tx};
use model::{
    Account, Caller, Error, KeyPair, Lease, Node, Owner, Result, Secret, Session, SessionOrigin,
    Time, TokenHash, TreePath, User, limits,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Store, lease::LOGIN, tree::may_write};

/// How often an attempt at a slowed user's password lets others go first before it is refused.
const TURNS_MAX: u32 = 4;

/// A new session.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// What the client shows from now on: a UUID of 36 characters.
    pub token: Secret,
    /// Who it stands for.
    pub caller: Caller,
}

/// A new key pair; the only time its secret is shown.
#[derive(Debug, Clone)]
pub struct NewKeyPair {
    /// 32 lower-case hex digits.
    pub access_key: String,
    /// 64 lower-case hex digits.
    pub secret_key: Secret,
}

impl Store {
    /// Logs a user in for an hour.
    ///
    /// # Errors
    /// [`Error::BadCredentials`]; also when too many attempts for this user or from this address are waiting.
    pub async fn login(
        &self,
        from: Option<IpAddr>,
        username: &str,
        password: &Secret,
    ) -> Result<LoggedIn> {
        let user = self.check_password(from, username, password).await?;
        let (token, hash) = new_token();
        let now = self.now();
        let session = Session {
            user: user.id,
            origin: SessionOrigin::Login,
            subdir: TreePath::root(),
            created: now,
            expires: Some(now.plus_secs(limits::SESSION_SECONDS_DEFAULT)),
            updated: false,
        };
        let caller = self
            .0
            .catalog
            .write(move |tx| {
                tx.put_session(&hash, &session)?;
                caller(tx, &hash, now)
            })
            .await?;
        Ok(LoggedIn { token, caller })
    }

    /// Logs a user in for `expiry_secs` seconds, limited to a sub-directory, and ends the user's sessions that came from
    /// [`Store::login`].
    ///
    /// # Errors
    /// In this order: [`Error::InvalidExpiry`], [`Error::BadCredentials`], [`Error::InvalidSubdir`].
    pub async fn authenticate(
        &self,
        from: Option<IpAddr>,
        username: &str,
        password: &Secret,
        expiry_secs: u64,
        subdir: &TreePath,
    ) -> Result<LoggedIn> {
        if !(1..=limits::SESSION_SECONDS_MAX).contains(&expiry_secs) {
            return Err(Error::InvalidExpiry);
        }
        let user = self.check_password(from, username, password).await?;
        let (token, hash) = new_token();
        let now = self.now();
        let session = Session {
            user: user.id,
            origin: SessionOrigin::Authenticate,
            subdir: subdir.clone(),
            created: now,
            expires: Some(now.plus_secs(expiry_secs)),
            updated: false,
        };
        let caller = self.0.catalog.write(move |tx| open_limited(tx, &hash, &session, now)).await?;
        Ok(LoggedIn { token, caller })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`Error::BadToken`] when there is none.
    pub async fn logout(&self, token: &str) -> Result<()> {
        let (hash, now) = (hash_token(token), self.now());
        self.0
            .catalog
            .write(move |tx| {
                caller(tx, &hash, now)?;
                tx.remove_session(&hash)
            })
            .await
    }

    /// Who a token stands for, at this moment. Counts as a call of that user.
    ///
    /// # Errors
    /// [`Error::BadToken`]: unknown, expired, logged out, or its user deactivated. [`Error::RateLimited`].
    pub async fn caller(&self, token: &str) -> Result<Caller> {
        if token.len() != 36 {
            return Err(Error::BadToken);
        }
        let (hash, now) = (hash_token(token), self.now());
        let caller = match self.0.callers.get(&hash, now) {
            Some(caller) => caller,
            None => {
                let look_up = move |tx: &mut dyn Read| {
                    let (session, caller) = open_session(tx, &hash, now)?;
                    Ok((caller, session.expires, tx.witness()))
                };
                let (caller, expires, witness) = self.0.catalog.witnessed(look_up).await?;
                self.0.callers.keep(hash, caller.clone(), expires, witness);
                caller
            }
        };
        self.0.rates.admit_user(caller.user)?;
        Ok(caller)
    }

    /// Sets when a session ends, from now; 0: never. Works once a session.
    ///
    /// # Errors
    /// [`Error::AlreadyUpdated`], [`Error::BadToken`].
    pub async fn update_session(&self, caller: &Caller, expire_secs: u64) -> Result<()> {
        let (hash, now) = (caller.session.ok_or(Error::BadToken)?, self.now());
        self.0
            .catalog
            .write(move |tx| {
                let mut session = tx.session(&hash)?.ok_or(Error::BadToken)?;
                if session.updated {
                    return Err(Error::AlreadyUpdated);
                }
                session.updated = true;
                session.expires = (expire_secs > 0).then(|| now.plus_secs(expire_secs));
                tx.put_session(&hash, &session)
            })
            .await
    }

    /// Makes the account's key pair; an earlier one stops working.
    ///
    /// # Errors
    /// [`Error::Denied`] for a read-only user.
    pub async fn init_key_pair(&self, caller: &Caller) -> Result<NewKeyPair> {
        may_write(caller)?;
        let access_key = Uuid::new_v4().simple().to_string();
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|e| Error::Storage(format!("no randomness: {e}")))?;
        let secret_key = Secret::new(model::Digest(key).to_hex());
        let pair = KeyPair {
            sealed_secret: self.0.vault.seal(&secret_key, access_key.as_bytes())?,
            access_key: access_key.clone(),
            account: caller.account,
            user: caller.user,
        };
        self.0.catalog.write(move |tx| tx.put_key_pair(&pair)).await?;
        Ok(NewKeyPair { access_key, secret_key })
    }

    /// Seconds since the caller's session was made.
    pub fn age_secs(&self, caller: &Caller) -> f64 {
        std::time::Duration::from_millis(self.now().since(caller.since)).as_secs_f64()
    }

    /// The active user with this name and password, after as much waiting as the slow-down asks for.
    async fn check_password(
        &self,
        from: Option<IpAddr>,
        username: &str,
        password: &Secret,
    ) -> Result<User> {
        let throttle = &self.0.throttle;
        if username.len() > limits::USERNAME_BYTES_MAX {
            return Err(Error::BadCredentials);
        }
        let Some(wait) = throttle.enter(username, from, self.now()) else {
            return Err(Error::BadCredentials);
        };
        // From here on the attempt counts as waiting until it is taken off again, also when the client gives up.
        let mut attempt = Attempt { store: self, username, from, right: Some(false) };
        let checked = self.check_in_turn(&mut attempt, wait, password).await;
        if checked.as_ref().is_err_and(Error::is_ours) {
            attempt.right = None;
        }
        checked
    }

    async fn check_in_turn(
        &self,
        attempt: &mut Attempt<'_>,
        wait: u64,
        password: &Secret,
    ) -> Result<User> {
        let (username, from) = (attempt.username, attempt.from);
        if wait > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        }
        if self.is_shared() && !self.turn_among_nodes(username, from).await? {
            return Err(Error::BadCredentials);
        }
        let name = username.to_owned();
        let user = self.0.catalog.read(move |tx| tx.user_by_name(&name)).await?;
        let hash = user.as_ref().map(|u| &u.password_hash);
        let right = self.0.passwords.check(password, hash).await?;
        attempt.right = Some(right);
        match user {
            Some(user) if right && user.active => Ok(user),
            Some(_) | None => Err(Error::BadCredentials),
        }
    }
    /// Waits for a slowed user's or address's turn among all nodes; `false`: others are before it for too long.
    async fn turn_among_nodes(&self, username: &str, from: Option<IpAddr>) -> Result<bool> {
        let (for_user, for_address) = self.0.throttle.delay(username, from);
        let user = (format!("user {username}"), for_user);
        let address = from.map(|from| (format!("address {from}"), for_address));
        let hashed = |text: &str| model::Digest(Sha256::digest(text).into()).to_hex();
        let keys = [Some(user), address].into_iter().flatten().filter(|(_, delay)| *delay > 0);
        let keys: Vec<(String, u64)> =
            keys.map(|(text, delay)| (format!("{LOGIN}{}", hashed(&text)), delay)).collect();
        if keys.is_empty() {
            return Ok(true);
        }
        for _ in 0..TURNS_MAX {
            let (keys, now, holder) = (keys.clone(), self.now(), self.node());
            let turn = move |tx: &mut dyn Tx| {
                let mut wait = 0;
                for (key, _) in &keys {
                    let taken = tx.lease(key)?.map_or(0, |lease| lease.until.since(now));
                    wait = wait.max(taken);
                }
                if wait == 0 {
                    for (key, delay) in &keys {
                        let until = Time(now.0.saturating_add(*delay));
                        tx.put_lease(key, &Lease { holder, until })?;
                    }
                }
                Ok(wait)
            };
            match self.0.catalog.write(turn).await? {
                0 => return Ok(true),
                // The clocks of nodes differ: no longer than one of them asks for.
                wait => {
                    let wait = wait.min(self.0.limits.slow_down.longest_delay_ms);
                    tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
                }
            }
        }
        Ok(false)
    }
}

/// An attempt at a password; what came of it is told when it is dropped.
struct Attempt<'a> {
    store: &'a Store,
    username: &'a str,
    from: Option<IpAddr>,
    /// `None`: a fault of ours kept it from being looked at.
    right: Option<bool>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let throttle = &self.store.0.throttle;
        match self.right {
            Some(right) => throttle.done(self.username, self.from, right, self.store.now()),
            None => throttle.forget(self.username, self.from),
        }
    }
}

/// Opens a session with a sub-directory that must be there, and ends the user's simpler ones.
fn open_limited(tx: &mut dyn Tx, hash: &TokenHash, session: &Session, now: Time) -> Result<Caller> {
    tx.put_session(hash, session)?;
    let caller = caller(tx, hash, now)?;
    if !session.subdir.is_root() {
        let at = tx.resolve(caller.account, caller.top, &caller.root)?;
        if !matches!(at.and_then(model::Resolved::node), Some(Node::Directory(_))) {
            return Err(Error::InvalidSubdir);
        }
    }
    for (other, session) in tx.sessions_of(session.user)? {
        if session.origin == SessionOrigin::Login {
            tx.remove_session(&other)?;
        }
    }
    Ok(caller)
}

/// Who a token stands for.
pub(crate) fn caller_by_token<R: Read + ?Sized>(
    tx: &mut R,
    token: &str,
    now: Time,
) -> Result<Caller> {
    if token.len() != 36 {
        return Err(Error::BadToken);
    }
    caller(tx, &hash_token(token), now)
}

/// Who a session stands for.
fn caller<R: Read + ?Sized>(tx: &mut R, hash: &TokenHash, now: Time) -> Result<Caller> {
    open_session(tx, hash, now).map(|(_, caller)| caller)
}

/// A session that has not ended, and who it stands for.
fn open_session<R: Read + ?Sized>(
    tx: &mut R,
    hash: &TokenHash,
    now: Time,
) -> Result<(Session, Caller)> {
    let session = tx.session(hash)?.ok_or(Error::BadToken)?;
    if session.expires.is_some_and(|end| end <= now) {
        return Err(Error::BadToken);
    }
    let user = tx.user(session.user)?.filter(|u| u.active).ok_or(Error::BadToken)?;
    let account = tx.account(user.account)?.ok_or(Error::BadToken)?;
    let caller = caller_of(user, account, Some(*hash), session.created, &session.subdir);
    Ok((session, caller))
}

/// Puts together who is calling.
pub(crate) fn caller_of(
    user: User,
    account: Account,
    session: Option<TokenHash>,
    since: Time,
    subdir: &TreePath,
) -> Caller {
    Caller {
        session,
        since,
        account: account.id,
        account_name: account.name,
        top: account.root,
        user: user.id,
        username: user.name,
        owner: Owner { uid: user.uid, gid: user.gid },
        read_only: user.read_only,
        root: user.directory.join(subdir),
    }
}

fn new_token() -> (Secret, TokenHash) {
    let token = Uuid::new_v4().to_string();
    let hash = hash_token(&token);
    (Secret::new(token), hash)
}

fn hash_token(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}
