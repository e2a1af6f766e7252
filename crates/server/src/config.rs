//! Configuration, in two stages: as written (command line, environment, file), then as usable ([`Plan`], [`Config`]).
//!
//! The only place that reads the environment and configuration files. Every default and every complaint stands here;
//! docs/configuration.md describes what an operator may write.

use std::{
    fs::{self, File},
    io::Read,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use model::{Secret, TreePath};
use ops::{multipart, throttle::SlowDown};
use serde::Deserialize;

use crate::admin::Command;

/// A self-hosted origin store that speaks the Agile origin-storage API.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve a data directory; an empty one gets an account and a user.
    Serve(ServeArgs),
    /// Add or list accounts.
    #[command(subcommand)]
    Account(AccountVerb),
    /// Add, list or change users. Passwords are read from standard input.
    #[command(subcommand)]
    User(UserVerb),
    /// Show what a running server has done.
    Status(DataArgs),
}

#[derive(Debug, Args)]
struct DataArgs {
    /// The data directory.
    #[arg(long, env = "HEADWATER_DATA", default_value = "data")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Address and port to listen on, plain HTTP; may be given more than once.
    #[arg(long)]
    listen: Vec<SocketAddr>,
    /// A configuration file (TOML).
    #[arg(long, env = "HEADWATER_CONFIG")]
    config: Option<PathBuf>,
    /// On an empty data directory: name of the first account.
    #[arg(long)]
    account: Option<String>,
    /// On an empty data directory: name of the first user. Its password is taken from HEADWATER_PASSWORD.
    #[arg(long)]
    user: Option<String>,
}

#[derive(Debug, Subcommand)]
enum AccountVerb {
    /// Add an account.
    Add {
        /// Its name: the first segment of its paths.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List the accounts and what they hold.
    List(DataArgs),
}

#[derive(Debug, Subcommand)]
enum UserVerb {
    /// Add a user; the password is the first line of standard input.
    Add {
        /// Its name, unique on the server.
        name: String,
        /// The account it belongs to.
        #[arg(long)]
        account: String,
        /// The directory it is confined to; made when missing.
        #[arg(long, default_value = "/")]
        directory: String,
        /// Owner of what it creates [default: the next free one].
        #[arg(long)]
        uid: Option<u32>,
        /// Group of what it creates [default: the account's].
        #[arg(long)]
        gid: Option<u32>,
        /// It changes nothing.
        #[arg(long)]
        read_only: bool,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List the users.
    List(DataArgs),
    /// Set a user's password (the first line of standard input) and end its sessions.
    Passwd {
        /// The user's name.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Deactivate a user and end its sessions.
    Disable {
        /// The user's name.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Activate a user that was deactivated.
    Enable {
        /// The user's name.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// What the process is to do.
pub(crate) enum Plan {
    /// Serve.
    Serve(Box<Config>),
    /// One question to a server, running or not.
    Admin {
        /// The data directory.
        data: PathBuf,
        /// The question.
        command: Command,
    },
}

/// Everything a server needs to know, checked.
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: Vec<Listen>,
    pub(crate) account: String,
    pub(crate) user: String,
    /// `None`: made up.
    pub(crate) password: Option<Secret>,
    pub(crate) settings: front::Settings,
    pub(crate) operations: ops::Limits,
    pub(crate) drain: Duration,
}

/// An address to listen on.
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

/// The configuration file as written. Unknown keys are refused: a misspelt limit must not be no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    listen: Vec<WrittenListen>,
    limits: WrittenLimits,
    login: WrittenLogin,
    multipart: WrittenMultipart,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenListen {
    address: SocketAddr,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLimits {
    connections: Option<usize>,
    header_seconds: Option<u64>,
    body_idle_seconds: Option<u64>,
    rpc_body_bytes: Option<usize>,
    stop_seconds: Option<u64>,
    signature_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLogin {
    free_per_user: Option<u32>,
    free_per_address: Option<u32>,
    first_delay_ms: Option<u64>,
    longest_delay_ms: Option<u64>,
    forget_after_seconds: Option<u64>,
    waiting_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenMultipart {
    pieces_max: Option<u32>,
    piece_bytes_max: Option<u64>,
    upload_bytes_max: Option<u64>,
    unfinished_max: Option<u64>,
    expire_seconds: Option<u64>,
    keep_seconds: Option<u64>,
}

impl Cli {
    /// Reads the command line, the environment, the configuration file and, where a password is needed, standard input.
    pub(crate) fn read() -> anyhow::Result<Plan> {
        let plan = match Cli::parse().command {
            Verb::Serve(args) => return Ok(Plan::Serve(Box::new(config(args)?))),
            Verb::Status(data) => (data, Command::Status),
            Verb::Account(AccountVerb::Add { name, data }) => (data, Command::AddAccount { name }),
            Verb::Account(AccountVerb::List(data)) => (data, Command::ListAccounts),
            Verb::User(UserVerb::List(data)) => (data, Command::ListUsers),
            Verb::User(UserVerb::Disable { name, data }) => {
                (data, Command::SetActive { name, active: false })
            }
            Verb::User(UserVerb::Enable { name, data }) => {
                (data, Command::SetActive { name, active: true })
            }
            Verb::User(UserVerb::Passwd { name, data }) => {
                (data, Command::SetPassword { name, password: read_password()? })
            }
            Verb::User(UserVerb::Add { name, account, directory, uid, gid, read_only, data }) => {
                TreePath::parse(&directory).context("--directory")?;
                let password = read_password()?;
                let command =
                    Command::AddUser { name, account, directory, uid, gid, read_only, password };
                (data, command)
            }
        };
        Ok(Plan::Admin { data: plan.0.data, command: plan.1 })
    }
}

fn config(args: ServeArgs) -> anyhow::Result<Config> {
    let written = match &args.config {
        Some(path) => read_file(path)?,
        None => Written::default(),
    };
    let password = std::env::var("HEADWATER_PASSWORD").ok().filter(|p| !p.is_empty());
    Ok(Config {
        data: args.data.data,
        listen: listen(args.listen, &written.listen)?,
        account: args.account.unwrap_or_else(|| "media".to_owned()),
        user: args.user.unwrap_or_else(|| "admin".to_owned()),
        password: password.map(Secret::new),
        settings: settings(&written.limits),
        operations: ops::Limits {
            slow_down: slow_down(&written.login),
            multipart: multipart_limits(&written.multipart),
            signature_secs_max: written
                .limits
                .signature_seconds
                .unwrap_or(ops::Limits::default().signature_secs_max),
        },
        drain: Duration::from_secs(written.limits.stop_seconds.unwrap_or(30)),
    })
}

fn read_file(path: &Path) -> anyhow::Result<Written> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", path.display()))
}

/// Addresses of the command line and the file together; 127.0.0.1:8080 when neither names one.
fn listen(plain: Vec<SocketAddr>, written: &[WrittenListen]) -> anyhow::Result<Vec<Listen>> {
    let mut listen: Vec<Listen> =
        plain.into_iter().map(|address| Listen { address, tls: None }).collect();
    for one in written {
        let tls = match (&one.certificate, &one.key) {
            (Some(certificate), Some(key)) => Some(tls(certificate, key)?),
            (None, None) => None,
            _ => bail!("listen {}: certificate and key go together", one.address),
        };
        listen.push(Listen { address: one.address, tls });
    }
    if listen.is_empty() {
        listen.push(Listen { address: SocketAddr::from(([127, 0, 0, 1], 8080)), tls: None });
    }
    Ok(listen)
}

/// A TLS set-up from PEM files: the certificate chain, and its key.
fn tls(certificate: &Path, key: &Path) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| anyhow!("{}: {e}", certificate.display()))?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|e| anyhow!("{}: {e}", key.display()))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("{} with {}", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn settings(written: &WrittenLimits) -> front::Settings {
    let mut settings = front::Settings::default();
    if let Some(connections) = written.connections {
        settings.connections_max = connections;
    }
    if let Some(seconds) = written.header_seconds {
        settings.header_read_timeout = Duration::from_secs(seconds);
    }
    if let Some(seconds) = written.body_idle_seconds {
        settings.body_idle_timeout = Duration::from_secs(seconds);
    }
    if let Some(bytes) = written.rpc_body_bytes {
        settings.rpc_body_bytes_max = bytes;
    }
    settings
}

fn slow_down(written: &WrittenLogin) -> SlowDown {
    let default = SlowDown::default();
    SlowDown {
        free_per_user: written.free_per_user.unwrap_or(default.free_per_user),
        free_per_address: written.free_per_address.unwrap_or(default.free_per_address),
        first_delay_ms: written.first_delay_ms.unwrap_or(default.first_delay_ms),
        longest_delay_ms: written.longest_delay_ms.unwrap_or(default.longest_delay_ms),
        forget_after_ms: written.forget_after_seconds.map_or(default.forget_after_ms, |s| s * 1000),
        waiting_max: written.waiting_max.unwrap_or(default.waiting_max),
    }
}

/// `expire_seconds = 0`: uploads do not expire.
fn multipart_limits(written: &WrittenMultipart) -> multipart::Limits {
    let default = multipart::Limits::default();
    let expire_secs = match written.expire_seconds {
        None => default.expire_secs,
        Some(0) => None,
        Some(secs) => Some(secs),
    };
    multipart::Limits {
        pieces_max: written.pieces_max.unwrap_or(default.pieces_max),
        piece_bytes_max: written.piece_bytes_max.unwrap_or(default.piece_bytes_max),
        upload_bytes_max: written.upload_bytes_max.unwrap_or(default.upload_bytes_max),
        unfinished_max: written.unfinished_max.unwrap_or(default.unfinished_max),
        expire_secs,
        keep_secs: written.keep_seconds.unwrap_or(default.keep_secs),
    }
}

/// The first line of standard input, without its end.
fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(64 * 1024).read_to_string(&mut text).context("reading the password")?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => bail!("the password is read from standard input, and there was none"),
    }
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
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<Written>("[limits]\nconections = 5").is_err());
        let written: Written =
            toml::from_str("[limits]\nconnections = 5\n[[listen]]\naddress = \"127.0.0.1:0\"")
                .unwrap();
        assert_eq!(settings(&written.limits).connections_max, 5);
        assert_eq!(listen(vec![], &written.listen).unwrap().len(), 1);
    }

    #[test]
    fn limits_of_multipart_uploads() {
        let limits =
            |text: &str| multipart_limits(&toml::from_str::<Written>(text).unwrap().multipart);
        let default = multipart::Limits::default();
        assert_eq!(limits(""), default);
        let changed = limits("[multipart]\npieces_max = 3\nexpire_seconds = 0\nkeep_seconds = 0");
        assert_eq!((changed.pieces_max, changed.expire_secs, changed.keep_secs), (3, None, 0));
        assert_eq!(limits("[multipart]\nexpire_seconds = 5").expire_secs, Some(5));
        assert_eq!(changed.piece_bytes_max, default.piece_bytes_max);
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let written: Written =
            toml::from_str("[[listen]]\naddress = \"127.0.0.1:0\"\ncertificate = \"a.pem\"")
                .unwrap();
        assert!(listen(vec![], &written.listen).is_err());
    }

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
