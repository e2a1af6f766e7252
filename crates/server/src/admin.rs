//! What an operator may ask: the commands, what carries them out, and the Unix socket that takes them to a running
//! server. The socket (0600, in a 0700 directory) takes one JSON object a connection and answers with one.
//!
//! A server that does not run is opened by the command itself; the semantics are the same, in `ops::admin`.

mod callbacks;
mod fsck;
mod jobs;
mod url;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use model::{Secret, TreePath};
use ops::{AccountChange, NewUser, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::{config::Wiring, stop::Stop};

pub(crate) use fsck::{Fsck, run as fsck};
pub(crate) use url::{SignCommand, UrlCommand};

/// Longest question, in bytes.
const QUESTION_BYTES_MAX: u64 = 256 * 1024;

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
    Url(UrlCommand),
}

/// Carries a command out, by the running server where there is one, and prints the answer.
#[expect(clippy::print_stdout, reason = "the answer to a command line")]
pub(crate) async fn run(data: &Path, command: Command) -> anyhow::Result<()> {
    let answer = match connect(data).await {
        Ok(stream) => ask(stream, &command).await?,
        Err(e) if not_running(&e) => {
            if !data.join("catalog").exists() {
                bail!("{} is no data directory: nothing was served there yet", data.display());
            }
            let opened = crate::open(data, Wiring::offline()?)?;
            execute(&opened.store, command).await.map_err(|e| anyhow!("{e:#}"))?
        }
        Err(e) => return Err(e).context("the server's admin socket"),
    };
    match &answer {
        Value::Array(rows) => rows.iter().for_each(|row| println!("{row}")),
        Value::Null => {}
        Value::String(text) => println!("{text}"),
        other => println!("{other}"),
    }
    Ok(())
}

fn not_running(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn execute(store: &Store, command: Command) -> anyhow::Result<Value> {
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
        Command::Status => {
            let status = store.status();
            Ok(json!({
                "commits": status.catalog.commits, "groups": status.catalog.groups,
                "read_only": status.read_only, "refuses_uploads": status.refuses_uploads,
            }))
        }
        Command::Fsck { deep } => fsck::online(store, deep).await,
        Command::Url(command) => url::execute(store, command).await,
    }
}

/// The admin socket of a running server.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Makes the socket in `data`. A socket that is there was left by a process that died: the directory is ours.
    pub(crate) fn bind(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(NAME);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("removing {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let address = Address::of(data)?;
        let listener = UnixListener::bind(&address.path).context("making the admin socket")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers until the server is to stop.
    pub(crate) async fn serve(self, store: Store, stop: Stop) {
        let mut stopped = std::pin::pin!(stop.stopped());
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let store = store.clone();
                        tokio::spawn(async move {
                            if let Err(e) = answer(stream, &store).await {
                                tracing::warn!(error = %e, "admin socket");
                            }
                        });
                    }
                    Err(e) => {
                        tracing::warn!(error = %e, "admin socket");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                () = &mut stopped => break,
            }
        }
        // The next start removes it too; a socket that is gone tells commands that nobody listens.
        let _removed = fs::remove_file(&self.path);
    }
}

const NAME: &str = "admin.sock";

/// Where the socket is reached. A socket's path may be 107 bytes long, a data directory's any length: a longer one is
/// reached through the directory's descriptor.
struct Address {
    path: PathBuf,
    _dir: fs::File,
}

impl Address {
    fn of(data: &Path) -> anyhow::Result<Self> {
        use std::os::fd::AsRawFd;

        let dir = fs::File::open(data)?;
        let direct = data.join(NAME);
        let path = if direct.as_os_str().len() <= 100 {
            direct
        } else {
            PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(NAME)
        };
        Ok(Self { path, _dir: dir })
    }
}

async fn connect(data: &Path) -> io::Result<UnixStream> {
    let address = Address::of(data).map_err(|_| io::ErrorKind::NotFound)?;
    UnixStream::connect(&address.path).await
}

#[derive(Serialize, Deserialize)]
enum Answer {
    #[serde(rename = "ok")]
    Ok(Value),
    #[serde(rename = "error")]
    Error(String),
}

async fn ask(mut stream: UnixStream, command: &Command) -> anyhow::Result<Value> {
    stream.write_all(&serde_json::to_vec(command)?).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    match serde_json::from_slice(&answer).context("the server's answer")? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(e) => bail!("{e}"),
    }
}

async fn answer(mut stream: UnixStream, store: &Store) -> anyhow::Result<()> {
    let mut question = Vec::new();
    (&mut stream).take(QUESTION_BYTES_MAX).read_to_end(&mut question).await?;
    let answer = match serde_json::from_slice(&question) {
        Ok(command) => match execute(store, command).await {
            Ok(value) => Answer::Ok(value),
            Err(e) => Answer::Error(format!("{e:#}")),
        },
        Err(e) => Answer::Error(format!("not a command: {e}")),
    };
    stream.write_all(&serde_json::to_vec(&answer)?).await?;
    Ok(())
}
