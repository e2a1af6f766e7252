//! Configuration, in two stages: as written (`command_line`, the environment, `file` with `limits`), then as usable
//! ([`Plan`], [`Config`]).
//!
//! This folder is the only place that reads the environment and configuration files. Every default and every complaint
//! stands here; docs/configuration.md describes what an operator may write.

mod blobs;
mod command_line;
mod file;
mod import;
mod limits;
mod migrate;
mod pull;
mod scrub;
mod site;
mod through;
mod url;

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use model::Secret;
use ops::{link::PublicUrl, through::PullThrough};

use crate::{
    admin::{Command, Fsck},
    import::Import,
};

pub(crate) use blobs::BlobsAt;
pub(crate) use command_line::Cli;
pub(crate) use migrate::Elsewhere;
pub(crate) use site::{Place, Site};

/// What the process is to do.
pub(crate) enum Plan {
    /// Serve.
    Serve(Box<Config>),
    /// Look at what is stored.
    Fsck {
        /// Where the store lies.
        site: Site,
        /// What is asked for.
        fsck: Fsck,
    },
    /// One question to a server, running or not.
    Admin {
        /// Where the store lies.
        site: Site,
        /// The question.
        command: Command,
    },
    /// A snapshot into an empty data directory.
    Restore {
        /// Where the store lies.
        site: Site,
        /// The snapshot.
        from: PathBuf,
        /// Whether every byte of the copy is read back.
        deep: bool,
    },
    /// Files that are elsewhere into the store.
    Import {
        /// Where the store lies.
        site: Site,
        /// Which files, and where they go.
        import: Import,
    },
}

/// Everything a server needs to know, checked.
pub(crate) struct Config {
    pub(crate) site: Site,
    pub(crate) listen: Vec<Listen>,
    pub(crate) account: String,
    pub(crate) user: String,
    /// `None`: made up.
    pub(crate) password: Option<Secret>,
    pub(crate) settings: front::Settings,
    pub(crate) wiring: Wiring,
    /// Transfers from other servers at the same time.
    pub(crate) pullers: usize,
    pub(crate) drain: Duration,
}

/// What the operations are put together with.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) limits: ops::Limits,
    /// Asks the servers that may be asked.
    pub(crate) outbound: outbound::Client,
    pub(crate) through: Arc<PullThrough>,
    pub(crate) public_url: Option<PublicUrl>,
    /// Of blobs in the data directory.
    pub(crate) local: ::blobs::LocalOptions,
}

impl Wiring {
    /// For a command that opens the store itself: it asks nobody for anything.
    pub(crate) fn offline() -> anyhow::Result<Self> {
        file::Written::default().wiring()
    }
}

/// An address to listen on.
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

/// Makes the data directory (0700) where it is missing, and takes it: no other process may own it at the same time.
pub(crate) fn own_directory(data: &Path) -> anyhow::Result<File> {
    let name = || format!("data directory {}", data.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(name)?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700)).with_context(name)?;
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(data.join("lock"))
        .with_context(name)?;
    lock.try_lock().map_err(|_| anyhow!("{} is in use by another process", name()))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new");
        let owner = own_directory(&data).unwrap();
        assert!(own_directory(&data).is_err());
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        drop(owner);
        assert!(own_directory(&data).is_ok());
    }
}
