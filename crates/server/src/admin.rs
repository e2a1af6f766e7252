//! What an operator may ask: the commands, and what carries them out. How they reach a running server is `socket`.
//!
//! A server that does not run is opened by the command itself; the semantics are the same, in `ops::admin`.

mod callbacks;
mod fsck;
mod jobs;
mod scrub;
mod socket;
mod url;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use model::{Secret, TreePath};
use ops::{AccountChange, NewUser, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    config::{Elsewhere, Site},
    migrate,
    snapshot::{self, Export},
};

pub(crate) use fsck::{Fsck, run as fsck};
pub(crate) use socket::{Done, Notes, Reach, Socket, line};
pub(crate) use url::{SignCommand, UrlCommand};

/// A question of the operator.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Command {
    AddAccount {
        name: String,
    },
    ListAccounts,
    /// What is `None` stays as it is; a quota of 0 is none.
    SetAccount {
        name: String,
        private: Option<bool>,
        quota_bytes: Option<u64>,
        quota_files: Option<u64>,
    },
    AddUser {
        name: String,
        account: String,
        directory: String,
        uid: Option<u32>,
        gid: Option<u32>,
        read_only: bool,
        password: String,
    },
    ListUsers,
    SetPassword {
        name: String,
        password: String,
    },
    SetActive {
        name: String,
        active: bool,
    },
    ListCallbacks,
    /// `state`: `active`, `paused` or `deleted`.
    SetCallback {
        id: u64,
        state: String,
    },
    ListJobs {
        account: Option<String>,
        state: Option<String>,
    },
    CancelJob {
        id: String,
    },
    RetryJob {
        id: String,
    },
    Status,
    Fsck {
        deep: bool,
    },
    ScrubStatus,
    /// `rate`: bytes a second, 0 for as fast as it goes.
    ScrubStart {
        rate: Option<u64>,
        wait: bool,
    },
    Url(UrlCommand),
    /// A copy of the whole store in another directory.
    Export {
        to: PathBuf,
        deep: bool,
    },
    /// The whole store to another place.
    Migrate {
        to: Elsewhere,
        deep: bool,
    },
    AbandonMove,
    Reopen,
    /// Files follow (`crate::import`), put where this user would put them.
    Import {
        user: String,
    },
}

/// Has a command carried out, by the running server where there is one, and prints the answer.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer to a command line")]
pub(crate) async fn run(site: Site, command: Command) -> anyhow::Result<ExitCode> {
    let done = Reach::find(site).await?.ask(&command, |note| eprintln!("{note}")).await?;
    match &done.answer {
        Value::Array(rows) => rows.iter().for_each(|row| println!("{row}")),
        Value::Null => {}
        Value::String(text) => println!("{text}"),
        other => println!("{other}"),
    }
    Ok(ExitCode::from(done.exit))
}

/// How long something took, as reports say it: in seconds, to the hundredth.
pub(crate) fn seconds_since(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 100.0).round() / 100.0
}

/// Carries a command out.
async fn execute(
    store: &Store,
    site: &Site,
    command: Command,
    notes: &Notes,
) -> anyhow::Result<Done> {
    match command {
        Command::Export { to, deep } => {
            snapshot::export(store, site, &Export { to, deep }, notes).await
        }
        Command::Migrate { to, deep } => migrate::run(store, site, (&to, deep), notes).await,
        Command::AbandonMove => migrate::abandon(store).await.map(Done::from),
        Command::Reopen => migrate::reopen(store).await.map(Done::from),
        Command::Fsck { deep } => fsck::online(store, deep).await.map(Done::from),
        Command::ScrubStatus => scrub::status(store).await,
        Command::ScrubStart { rate, wait } => scrub::start(store, rate, wait, notes).await,
        quick => answer(store, quick).await.map(Done::from),
    }
}

/// Those that are done at once.
async fn answer(store: &Store, command: Command) -> anyhow::Result<Value> {
    match command {
        Command::AddAccount { name } => {
            let account = store.add_account(&name).await?;
            Ok(json!({ "account": account.name, "gid": account.gid }))
        }
        Command::ListAccounts => Ok(store.accounts().await?.into_iter().map(|info| json!({
            "account": info.account.name, "gid": info.account.gid, "files": info.usage.files,
            "directories": info.usage.directories, "bytes": info.usage.bytes,
            "private": info.account.private, "quota_bytes": info.account.quota.bytes,
            "quota_files": info.account.quota.files,
        })).collect()),
        Command::SetAccount { name, private, quota_bytes, quota_files } => {
            let quota = |given: Option<u64>| given.map(|n| (n > 0).then_some(n));
            let change = AccountChange {
                private,
                quota_bytes: quota(quota_bytes),
                quota_files: quota(quota_files),
            };
            let account = store.change_account(&name, change).await?;
            Ok(json!({
                "account": account.name, "private": account.private,
                "quota_bytes": account.quota.bytes, "quota_files": account.quota.files,
            }))
        }
        Command::AddUser { name, account, directory, uid, gid, read_only, password } => {
            let new = NewUser {
                account,
                name,
                password: Secret::new(password),
                uid,
                gid,
                directory: TreePath::parse(&directory)?,
                read_only,
            };
            let user = store.add_user(new).await?;
            Ok(json!({ "user": user.name, "uid": user.uid, "gid": user.gid }))
        }
        Command::ListUsers => Ok(store.users().await?.into_iter().map(|(user, account)| json!({
            "user": user.name, "account": account, "uid": user.uid, "gid": user.gid,
            "directory": user.directory.to_string(), "active": user.active,
            "read_only": user.read_only,
        })).collect()),
        Command::SetPassword { name, password } => {
            store.set_password(&name, &Secret::new(password)).await?;
            Ok(json!({ "user": name, "password": "changed" }))
        }
        Command::SetActive { name, active } => {
            store.set_active(&name, active).await?;
            Ok(json!({ "user": name, "active": active }))
        }
        Command::ListCallbacks => callbacks::list(store).await,
        Command::SetCallback { id, state } => callbacks::set(store, id, &state).await,
        Command::ListJobs { account, state } => {
            jobs::list(store, account.as_deref(), state.as_deref()).await
        }
        Command::CancelJob { id } => jobs::cancel(store, &id).await,
        Command::RetryJob { id } => jobs::retry(store, &id).await,
        Command::Status => Ok(status(store).await),
        Command::Url(command) => url::execute(store, command).await,
        Command::Export { .. }
        | Command::Migrate { .. }
        | Command::AbandonMove
        | Command::Reopen
        | Command::Import { .. }
        | Command::Fsck { .. }
        | Command::ScrubStatus
        | Command::ScrubStart { .. } => anyhow::bail!("it takes its time"),
    }
}

async fn status(store: &Store) -> Value {
    let status = store.status();
    let catalog = status.catalog;
    // What a catalog that is away cannot say is left out.
    let leases = store.leases().await.unwrap_or_default().into_iter();
    let leases: Vec<Value> = leases
        .map(|(name, lease)| json!({ "name": name, "node": lease.holder.to_string() }))
        .collect();
    let moving = store.moving().await.ok().flatten();
    json!({
        "move": moving.as_ref().map(migrate::shown),
        "node": store.node().to_string(), "shared": store.is_shared(), "leases": leases,
        "commits": catalog.commits, "groups": catalog.groups, "conflicts": catalog.conflicts,
        "round_trips": catalog.round_trips, "statements": catalog.statements, "rows": catalog.rows,
        "read_only": status.read_only, "refuses_uploads": status.refuses_uploads,
    })
}
