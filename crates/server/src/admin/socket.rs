//! The Unix socket that takes the operator's commands to a running server: 0600, in a 0700 directory.
//!
//! A client sends one line of JSON, the command, and gets lines of JSON: what is said while it works, and the answer last. An
//! import then goes on in lines of its own (`crate::import`). A server that does not run is opened by the command
//! itself, which answers itself the same way over a pair of sockets. What commands mean is not here.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use ops::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

use super::{Command, execute};
use crate::{
    config::{Site, Wiring},
    import,
    stop::Stop,
};

const NAME: &str = "admin.sock";
/// Longest command, in bytes.
const COMMAND_BYTES_MAX: u64 = 256 * 1024;
/// Words of a command that wait to be read.
const NOTES_WAITING: usize = 64;

/// What a command came to.
pub(crate) struct Done {
    /// Printed: the rows of a list a line each.
    pub(crate) answer: Value,
    /// The exit code of the command line: 0 for good.
    pub(crate) exit: u8,
}

impl From<Value> for Done {
    fn from(answer: Value) -> Self {
        Self { answer, exit: 0 }
    }
}

/// Takes what a command says while it works to whoever typed it.
#[derive(Clone)]
pub(crate) struct Notes(mpsc::Sender<String>);

impl Notes {
    /// Says something. What nobody reads in time is not said: work does not wait for a terminal.
    pub(crate) fn say(&self, text: impl Into<String>) {
        drop(self.0.try_send(text.into()));
    }
}

/// A line from the server.
#[derive(Serialize, Deserialize)]
enum Line {
    #[serde(rename = "note")]
    Note(String),
    #[serde(rename = "done")]
    Done { answer: Value, exit: u8 },
    #[serde(rename = "error")]
    Error(String),
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
    pub(crate) async fn serve(self, store: Store, site: Site, stop: Stop) {
        let mut stopped = std::pin::pin!(stop.stopped());
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(attend(stream, store.clone(), site.clone()));
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

/// Who carries commands out: a server that runs, or this process over a store of its own.
pub(crate) enum Reach {
    /// The server over this data directory.
    Running(PathBuf),
    /// This process, over a store that it opened. The lock is held for as long as it is open.
    Own(crate::Opened, Site),
}

impl Reach {
    /// Looks for a server over the data directory, and opens the store where there is none: a catalog that others may have
    /// open, too, needs no directory to be owned.
    pub(crate) async fn find(site: Site) -> anyhow::Result<Self> {
        let data = &site.data;
        match connect(data) {
            Ok(_) => Ok(Self::Running(data.clone())),
            Err(e) if not_running(&e) => {
                let wiring = Wiring::offline()?;
                if site.is_shared() && site.blobs.place(&site.data)?.is_some() {
                    return Ok(Self::Own(crate::open_beside(&site, wiring).await?, site));
                }
                if !site.is_shared() && !data.join("catalog").exists() {
                    bail!("{} is no data directory: nothing was served there yet", data.display());
                }
                Ok(Self::Own(crate::open(&site, wiring).await?, site))
            }
            Err(e) => Err(e).context("the server's admin socket"),
        }
    }

    /// A connection for one command. Needs a runtime.
    pub(crate) fn connect(&self) -> io::Result<BlockingStream> {
        match self {
            Self::Running(data) => connect(data),
            Self::Own(opened, site) => {
                let (ours, theirs) = BlockingStream::pair()?;
                theirs.set_nonblocking(true)?;
                let (store, site) = (opened.store.clone(), site.clone());
                tokio::spawn(attend(UnixStream::from_std(theirs)?, store, site));
                Ok(ours)
            }
        }
    }

    /// Has a command carried out; `note` gets what is said meanwhile.
    pub(crate) async fn ask(&self, command: &Command, note: impl Fn(&str)) -> anyhow::Result<Done> {
        let stream = self.connect()?;
        stream.set_nonblocking(true)?;
        let (reader, mut writer) = UnixStream::from_std(stream)?.into_split();
        writer.write_all(&line(command)?).await?;
        let mut lines = BufReader::new(reader).lines();
        while let Some(text) = lines.next_line().await? {
            match serde_json::from_str(&text).context("the server's answer")? {
                Line::Note(text) => note(&text),
                Line::Done { answer, exit } => return Ok(Done { answer, exit }),
                Line::Error(e) => bail!("{e}"),
            }
        }
        bail!("the server ended before it answered")
    }
}

fn connect(data: &Path) -> io::Result<BlockingStream> {
    let address = Address::of(data).map_err(|_| io::ErrorKind::NotFound)?;
    BlockingStream::connect(&address.path)
}

fn not_running(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// A message as a line.
pub(crate) fn line(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

async fn attend(stream: UnixStream, store: Store, site: Site) {
    if let Err(e) = answer(stream, &store, &site).await {
        tracing::warn!(error = %e, "admin socket");
    }
}

async fn answer(stream: UnixStream, store: &Store, site: &Site) -> anyhow::Result<()> {
    let mut stream = BufReader::with_capacity(256 * 1024, stream);
    let mut question = Vec::new();
    (&mut stream).take(COMMAND_BYTES_MAX).read_until(b'\n', &mut question).await?;
    let command = match serde_json::from_slice(&question) {
        // Somebody looked whether anybody is there.
        _ if question.is_empty() => return Ok(()),
        Ok(Command::Import { user }) => return import::serve(stream, store, &user).await,
        Ok(command) => command,
        Err(e) => {
            let error = Line::Error(format!("not a command: {e}"));
            return Ok(stream.write_all(&line(&error)?).await?);
        }
    };
    let (notes, mut said) = mpsc::channel(NOTES_WAITING);
    let notes = Notes(notes);
    let mut work = std::pin::pin!(execute(store, site, command, &notes));
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            // Nobody reads any more: the command is given up.
            Some(text) = said.recv() => stream.write_all(&line(&Line::Note(text))?).await?,
        }
    };
    while let Ok(text) = said.try_recv() {
        stream.write_all(&line(&Line::Note(text))?).await?;
    }
    let last = match done {
        Ok(Done { answer, exit }) => Line::Done { answer, exit },
        Err(e) => Line::Error(format!("{e:#}")),
    };
    Ok(stream.write_all(&line(&last)?).await?)
}
