//! What the operator does: accounts, users, and looking at the service.
//!
//! Not here: the command line and the admin socket (crate `server`), which only translate.

use catalog::{Stats, Tx};
use model::{
    Account, AccountId, Caller, DirId, Directory, Error, Owner, Quota, Result, Secret, Time,
    TreePath, Usage, User, UserId,
};

use crate::{Store, session::caller_of, tree::make_chain};

/// A user to be added.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Name of the account the user belongs to.
    pub account: String,
    /// The user's name, unique on the server.
    pub name: String,
    /// The user's password.
    pub password: Secret,
    /// `None`: the next free one, from 1000.
    pub uid: Option<u32>,
    /// `None`: the account's.
    pub gid: Option<u32>,
    /// What the user is confined to, from the account's top; made, and the user's own, where it is missing.
    pub directory: TreePath,
    /// Changes nothing.
    pub read_only: bool,
}

/// What is to be changed of an account; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountChange {
    /// Whether its files are served for a signed URL or a token alone.
    pub private: Option<bool>,
    /// Bytes it may hold; `Some(None)`: no limit.
    pub quota_bytes: Option<Option<u64>>,
    /// Files it may hold; `Some(None)`: no limit.
    pub quota_files: Option<Option<u64>>,
}

/// The first account and user of a server.
#[derive(Debug, Clone)]
pub struct Founded {
    /// The account's name.
    pub account: String,
    /// The user's name.
    pub user: String,
}

/// How the service is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Write transactions and the groups they were made durable in, since the start.
    pub catalog: Stats,
    /// Why nothing is written now, if nothing is.
    pub read_only: Option<String>,
    /// Why no uploads are taken now, if none are.
    pub refuses_uploads: Option<String>,
}

/// What an operator sees of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    /// The account.
    pub account: Account,
    /// What it holds.
    pub usage: Usage,
}

const FIRST_UID: u32 = 1000;
const FIRST_GID: u32 = 100;

impl Store {
    /// Makes the first account and user, on a server that has no account; `None` when it has one.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub async fn found(
        &self,
        account: &str,
        user: &str,
        password: &Secret,
    ) -> Result<Option<Founded>> {
        if !self.0.catalog.read(|tx| tx.first_accounts(1)).await?.is_empty() {
            return Ok(None);
        }
        let new = NewUser {
            account: account.to_owned(),
            name: user.to_owned(),
            password: password.clone(),
            uid: None,
            gid: None,
            directory: TreePath::root(),
            read_only: false,
        };
        Account::check_name(account)?;
        User::check_name(user)?;
        let (hash, now) = (self.0.passwords.hash(password).await?, self.now());
        self.0
            .catalog
            .write(move |tx| {
                if !tx.first_accounts(1)?.is_empty() {
                    return Ok(None);
                }
                add_account(tx, &new.account, now)?;
                add_user(tx, &new, &hash, now)?;
                Ok(Some(Founded { account: new.account.clone(), user: new.name.clone() }))
            })
            .await
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::Exists`].
    pub async fn add_account(&self, name: &str) -> Result<Account> {
        Account::check_name(name)?;
        let (name, now) = (name.to_owned(), self.now());
        self.0.catalog.write(move |tx| add_account(tx, &name, now)).await
    }

    /// Changes what is set of an account, and nothing else of it.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub async fn change_account(&self, name: &str, change: AccountChange) -> Result<Account> {
        let name = name.to_owned();
        self.0
            .catalog
            .write(move |tx| {
                let mut account = tx.account_by_name(&name)?.ok_or(Error::NoSuchAccount)?;
                account.private = change.private.unwrap_or(account.private);
                account.quota.bytes = change.quota_bytes.unwrap_or(account.quota.bytes);
                account.quota.files = change.quota_files.unwrap_or(account.quota.files);
                tx.put_account(&account)?;
                Ok(account)
            })
            .await
    }

    /// All accounts, with what they hold.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn accounts(&self) -> Result<Vec<AccountInfo>> {
        let list = |tx: &mut dyn catalog::Read| {
            let accounts = tx.accounts()?;
            accounts
                .into_iter()
                .map(|account| Ok(AccountInfo { usage: tx.usage(account.id)?, account }))
                .collect()
        };
        self.0.catalog.scan(list).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::NoSuchAccount`], [`Error::Exists`], [`Error::NotDirectory`] (a file stands where
    /// the user's directory should be).
    pub async fn add_user(&self, new: NewUser) -> Result<User> {
        User::check_name(&new.name)?;
        if new.uid == Some(0) || new.gid == Some(0) {
            return Err(Error::InvalidName("uid and gid are positive"));
        }
        let (hash, now) = (self.0.passwords.hash(&new.password).await?, self.now());
        self.0.catalog.write(move |tx| add_user(tx, &new, &hash, now)).await
    }

    /// All users, each with its account's name.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn users(&self) -> Result<Vec<(User, String)>> {
        let list = |tx: &mut dyn catalog::Read| {
            let accounts = tx.accounts()?;
            let name = |id: AccountId| {
                accounts.iter().find(|a| a.id == id).map_or(String::new(), |a| a.name.clone())
            };
            Ok(tx
                .users()?
                .into_iter()
                .map(|user| (name(user.account), user))
                .map(|(a, u)| (u, a))
                .collect())
        };
        self.0.catalog.scan(list).await
    }

    /// A user as a caller without a session: for what the operator does in its name.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], also for one that is deactivated.
    pub async fn caller_named(&self, name: &str) -> Result<Caller> {
        let (name, now) = (name.to_owned(), self.now());
        let find = move |tx: &mut dyn catalog::Read| {
            let user = tx.user_by_name(&name)?.filter(|user| user.active);
            let user = user.ok_or(Error::NoSuchUser)?;
            let account = tx.account(user.account)?.ok_or(Error::NoSuchAccount)?;
            Ok(caller_of(user, account, None, now, &TreePath::root()))
        };
        self.0.catalog.read(find).await
    }

    /// Sets a user's password and ends the user's sessions.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], [`Error::InvalidName`] (an empty or overlong password).
    pub async fn set_password(&self, name: &str, password: &Secret) -> Result<()> {
        let hash = self.0.passwords.hash(password).await?;
        self.change_user(name, move |user| user.password_hash = hash.clone()).await
    }

    /// Activates or deactivates a user; either way the user's sessions end.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`].
    pub async fn set_active(&self, name: &str, active: bool) -> Result<()> {
        self.change_user(name, move |user| user.active = active).await
    }

    async fn change_user(
        &self,
        name: &str,
        change: impl Fn(&mut User) + Send + 'static,
    ) -> Result<()> {
        let name = name.to_owned();
        self.0
            .catalog
            .write(move |tx| {
                let mut user = tx.user_by_name(&name)?.ok_or(Error::NoSuchUser)?;
                change(&mut user);
                tx.put_user(&user)?;
                for (token, _) in tx.sessions_of(user.id)? {
                    tx.remove_session(&token)?;
                }
                Ok(())
            })
            .await
    }

    /// How the service is doing.
    pub fn status(&self) -> Status {
        let reason = |may: Result<()>| may.err().map(|e| e.to_string());
        Status {
            catalog: self.0.catalog.stats(),
            read_only: reason(self.0.catalog.check_writable()),
            refuses_uploads: reason(self.may_grow(1)),
        }
    }
}

fn add_account(tx: &mut dyn Tx, name: &str, now: Time) -> Result<Account> {
    if tx.account_by_name(name)?.is_some() {
        return Err(Error::Exists);
    }
    let others = tx.accounts()?;
    let id = AccountId(others.iter().map(|a| a.id.0).max().unwrap_or(0) + 1);
    let gid = others.iter().map(|a| a.gid + 1).max().unwrap_or(FIRST_GID).max(FIRST_GID);
    let root = DirId(tx.fresh_id()?);
    let account = Account {
        id,
        name: name.to_owned(),
        root,
        gid,
        quota: Quota::default(),
        private: false,
        sealed_url_secrets: Vec::new(),
    };
    tx.put_account(&account)?;
    tx.put_root(id, &Directory::new(root, Owner { uid: FIRST_UID, gid }, now.secs()))?;
    Ok(account)
}

fn add_user(tx: &mut dyn Tx, new: &NewUser, hash: &Secret, now: Time) -> Result<User> {
    let account = tx.account_by_name(&new.account)?.ok_or(Error::NoSuchAccount)?;
    if tx.user_by_name(&new.name)?.is_some() {
        return Err(Error::Exists);
    }
    let others = tx.users()?;
    let next_uid = others.iter().map(|u| u.uid.saturating_add(1)).max().unwrap_or(FIRST_UID);
    let user = User {
        id: UserId(others.iter().map(|u| u.id.0).max().unwrap_or(0) + 1),
        account: account.id,
        name: new.name.clone(),
        password_hash: hash.clone(),
        uid: new.uid.unwrap_or(next_uid.max(FIRST_UID)),
        gid: new.gid.unwrap_or(account.gid),
        directory: new.directory.clone(),
        active: true,
        read_only: new.read_only,
    };
    tx.put_user(&user)?;
    let at = tx
        .resolve(account.id, account.root, &user.directory)?
        .ok_or_else(|| Error::Storage("an account has no top directory".to_owned()))?;
    if at.depth < at.len {
        if at.file.is_some() {
            return Err(Error::NotDirectory);
        }
        let owner = Owner { uid: user.uid, gid: user.gid };
        make_chain(tx, account.id, &at, &user.directory, at.len, owner, now.secs())?;
    }
    Ok(user)
}
