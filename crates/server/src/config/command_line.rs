//! The command line: what may be typed, and what it asks for.

use std::{io::Read, net::SocketAddr, path::PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use model::{JobState, Secret, TreePath};

use super::scrub::ScrubVerb;
use super::{
    Config, Plan,
    file::Written,
    import::{ExportArgs, ImportVerb},
    migrate::MigrateArgs,
    site::SiteArgs,
    url::UrlVerb,
};
use crate::admin::{Command, Fsck};

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
    /// Sign URLs, and keep the secrets that sign them.
    #[command(subcommand)]
    Url(UrlVerb),
    /// List, pause, resume or delete callbacks, which are told what happens to files.
    #[command(subcommand)]
    Callback(CallbackVerb),
    /// List transfers from other servers, give them up or try them again.
    Jobs(JobsArgs),
    /// Check that all that is stored holds together. Exit code 0: it does; 1: something is left that does not; 2: it could
    /// not be looked at.
    Fsck(FsckArgs),
    /// See what reading everything again has found, or begin it now. Exit code 1: something is damaged.
    #[command(subcommand)]
    Scrub(ScrubVerb),
    /// Make a snapshot of everything in another directory, while the server serves.
    Export(ExportArgs),
    /// Bring in files that are elsewhere, with their times; what is there already is not sent twice.
    #[command(subcommand)]
    Import(ImportVerb),
    /// Move everything to other engines while the server serves. At the end this store takes no changes any more.
    Migrate(MigrateArgs),
    /// Show what a running server has done.
    Status(SiteArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    data: SiteArgs,
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
        data: SiteArgs,
    },
    /// List the accounts and what they hold.
    List(SiteArgs),
    /// Change what is set of an account.
    Set {
        /// The account's name.
        name: String,
        /// Whether its files are served for a signed URL or a token alone.
        #[arg(long)]
        private: Option<bool>,
        /// Bytes it may hold; 0: no limit.
        #[arg(long)]
        quota_bytes: Option<u64>,
        /// Files it may hold; 0: no limit.
        #[arg(long)]
        quota_files: Option<u64>,
        #[command(flatten)]
        data: SiteArgs,
    },
}

#[derive(Debug, Subcommand)]
enum CallbackVerb {
    /// List the callbacks and how they are doing.
    List(SiteArgs),
    /// Tell a callback nothing for now; what happens waits for it.
    Pause(OneCallback),
    /// Go on with a callback that was paused.
    Resume(OneCallback),
    /// Remove a callback and all that waits for it.
    Delete(OneCallback),
}

#[derive(Debug, Args)]
struct OneCallback {
    /// The callback's number.
    id: u64,
    #[command(flatten)]
    data: SiteArgs,
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
        data: SiteArgs,
    },
    /// List the users.
    List(SiteArgs),
    /// Set a user's password (the first line of standard input) and end its sessions.
    Passwd {
        /// The user's name.
        name: String,
        #[command(flatten)]
        data: SiteArgs,
    },
    /// Deactivate a user and end its sessions.
    Disable {
        /// The user's name.
        name: String,
        #[command(flatten)]
        data: SiteArgs,
    },
    /// Activate a user that was deactivated.
    Enable {
        /// The user's name.
        name: String,
        #[command(flatten)]
        data: SiteArgs,
    },
}

/// Without a verb: list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
struct JobsArgs {
    #[command(subcommand)]
    verb: Option<JobsVerb>,
    #[command(flatten)]
    list: ListJobsArgs,
}

#[derive(Debug, Args)]
struct ListJobsArgs {
    /// Those of one account.
    #[arg(long)]
    account: Option<String>,
    /// Those in one state.
    #[arg(long, value_parser = JobState::ALL.map(JobState::name))]
    state: Option<String>,
    #[command(flatten)]
    data: SiteArgs,
}

#[derive(Debug, Subcommand)]
enum JobsVerb {
    /// List the transfers that are queued, running, or not long over.
    List(ListJobsArgs),
    /// Give a transfer up; one that is running stops and leaves nothing.
    Cancel(JobArgs),
    /// Queue a transfer again that failed or was cancelled.
    Retry(JobArgs),
}

#[derive(Debug, Args)]
struct FsckArgs {
    /// Read every byte and compare it with its checksums.
    #[arg(long)]
    deep: bool,
    /// Mend what can be mended without guessing; only while no server runs.
    #[arg(long)]
    repair: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: SiteArgs,
}

#[derive(Debug, Args)]
struct JobArgs {
    /// The transfer's id, as listed.
    id: String,
    #[command(flatten)]
    data: SiteArgs,
}

impl OneCallback {
    fn to(self, state: &str) -> (SiteArgs, Command) {
        (self.data, Command::SetCallback { id: self.id, state: state.to_owned() })
    }
}

impl Cli {
    /// Reads the command line, the environment, the configuration file and, where a password is needed, standard input.
    pub(crate) fn read() -> anyhow::Result<Plan> {
        let plan = match Cli::parse().command {
            Verb::Serve(args) => return Ok(Plan::Serve(Box::new(config(args)?))),
            Verb::Fsck(FsckArgs { deep, repair, json, data }) => {
                return Ok(Plan::Fsck { site: data.site()?, fsck: Fsck { deep, repair, json } });
            }
            Verb::Export(args) => return args.plan(),
            Verb::Import(verb) => return verb.plan(),
            Verb::Migrate(args) => return args.plan(),
            Verb::Scrub(verb) => verb.read(),
            Verb::Status(data) => (data, Command::Status),
            Verb::Jobs(JobsArgs { verb, list }) => match verb.unwrap_or(JobsVerb::List(list)) {
                JobsVerb::List(ListJobsArgs { account, state, data }) => {
                    (data, Command::ListJobs { account, state })
                }
                JobsVerb::Cancel(JobArgs { id, data }) => (data, Command::CancelJob { id }),
                JobsVerb::Retry(JobArgs { id, data }) => (data, Command::RetryJob { id }),
            },
            Verb::Account(AccountVerb::Add { name, data }) => (data, Command::AddAccount { name }),
            Verb::Account(AccountVerb::List(data)) => (data, Command::ListAccounts),
            Verb::Account(AccountVerb::Set { name, private, quota_bytes, quota_files, data }) => {
                (data, Command::SetAccount { name, private, quota_bytes, quota_files })
            }
            Verb::Url(verb) => {
                let (data, command) = verb.read()?;
                (data, Command::Url(command))
            }
            Verb::Callback(CallbackVerb::List(data)) => (data, Command::ListCallbacks),
            Verb::Callback(CallbackVerb::Pause(one)) => one.to("paused"),
            Verb::Callback(CallbackVerb::Resume(one)) => one.to("active"),
            Verb::Callback(CallbackVerb::Delete(one)) => one.to("deleted"),
            Verb::User(UserVerb::List(data)) => (data, Command::ListUsers),
            Verb::User(UserVerb::Disable { name, data }) => {
                (data, Command::SetActive { name, active: false })
            }
            Verb::User(UserVerb::Enable { name, data }) => {
                (data, Command::SetActive { name, active: true })
            }
            Verb::User(UserVerb::Passwd { name, data }) => {
                (data, Command::SetPassword { name, password: read_secret("password")? })
            }
            Verb::User(UserVerb::Add { name, account, directory, uid, gid, read_only, data }) => {
                TreePath::parse(&directory).context("--directory")?;
                let password = read_secret("password")?;
                let command =
                    Command::AddUser { name, account, directory, uid, gid, read_only, password };
                (data, command)
            }
        };
        Ok(Plan::Admin { site: plan.0.site()?, command: plan.1 })
    }
}

fn config(args: ServeArgs) -> anyhow::Result<Config> {
    let written = Written::read(args.config.as_deref())?;
    let password = std::env::var("HEADWATER_PASSWORD").ok().filter(|p| !p.is_empty());
    Ok(Config {
        site: args.data.with(written.site())?,
        listen: written.listen(args.listen)?,
        account: args.account.unwrap_or_else(|| "media".to_owned()),
        user: args.user.unwrap_or_else(|| "admin".to_owned()),
        password: password.map(Secret::new),
        settings: written.settings(),
        wiring: written.wiring()?,
        pullers: written.pull.workers,
        drain: written.drain(),
    })
}

/// The first line of standard input, without its end; `what` names it in complaints.
pub(super) fn read_secret(what: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .with_context(|| format!("reading the {what}"))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => bail!("the {what} is read from standard input, and there was none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
