//! The command line of `headwater url`: what may be typed, and what it asks for.

use clap::{Args, Subcommand};
use model::limits::{
    LINK_FREE_KB_MAX, LINK_KB_PER_SEC_MAX, SIGNED_URL_SECONDS_DEFAULT, SIGNED_URL_SECONDS_MAX,
};

use super::{command_line::read_secret, site::SiteArgs};
use crate::admin::{SignCommand, UrlCommand};

/// Verbs of `headwater url`.
#[derive(Debug, Subcommand)]
pub(super) enum UrlVerb {
    /// Add, rotate, list or remove the secrets that sign an account's URLs.
    #[command(subcommand)]
    Secret(SecretVerb),
    /// Sign a URL.
    Sign(SignArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretVerb {
    /// Give an account a secret, which signs from now on. An account has two at most.
    Add(NewArgs),
    /// The same; the older of two secrets stops working.
    Rotate(NewArgs),
    /// List the names of an account's secrets, the newest first.
    List {
        /// The account's name.
        account: String,
        #[command(flatten)]
        data: SiteArgs,
    },
    /// Take a secret from an account; the URLs that it signed stop working.
    Remove {
        /// The account's name.
        account: String,
        /// The secret's name, as `list` shows it.
        id: String,
        #[command(flatten)]
        data: SiteArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The account's name.
    account: String,
    /// Take the secret from the first line of standard input. Without, one is made up and printed, once.
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    data: SiteArgs,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The account's name.
    account: String,
    /// The file, from the account's top; it need not be there yet.
    path: String,
    /// How long the URL holds, in seconds from now.
    #[arg(long, default_value_t = SIGNED_URL_SECONDS_DEFAULT,
          value_parser = clap::value_parser!(u64).range(1..=SIGNED_URL_SECONDS_MAX))]
    expires: u64,
    /// From when on it holds, in seconds since the epoch.
    #[arg(long, value_name = "EPOCH")]
    starts: Option<u64>,
    /// Where it may be used: an address, or a network as CIDR.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// PATH is a directory, and the URL holds for everything below it: put the rest of the path before the `?`.
    #[arg(long)]
    prefix: bool,
    /// On whose pages it may stand; may be given more than once.
    #[arg(long, value_name = "DOMAIN")]
    referer: Vec<String>,
    /// How fast the file is sent, in kB a second.
    #[arg(long, value_name = "KB", value_parser = clap::value_parser!(u64).range(1..=LINK_KB_PER_SEC_MAX))]
    rate: Option<u64>,
    /// How much of it is sent before that rate holds, in kB.
    #[arg(long, value_name = "KB", default_value_t = 0, requires = "rate",
          value_parser = clap::value_parser!(u64).range(0..=LINK_FREE_KB_MAX))]
    rate_free: u64,
    /// Make the browser save the file.
    #[arg(long)]
    download: bool,
    /// Hash with MD5 instead of SHA-256.
    #[arg(long)]
    md5: bool,
    /// The base of the URL [default: the running server's].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    data: SiteArgs,
}

impl UrlVerb {
    /// What is asked, and of which data directory.
    pub(super) fn read(self) -> anyhow::Result<(SiteArgs, UrlCommand)> {
        Ok(match self {
            UrlVerb::Secret(SecretVerb::Add(new)) => new.read(false)?,
            UrlVerb::Secret(SecretVerb::Rotate(new)) => new.read(true)?,
            UrlVerb::Secret(SecretVerb::List { account, data }) => {
                (data, UrlCommand::ListSecrets { account })
            }
            UrlVerb::Secret(SecretVerb::Remove { account, id, data }) => {
                (data, UrlCommand::RemoveSecret { account, id })
            }
            UrlVerb::Sign(args) => (
                args.data,
                UrlCommand::Sign(Box::new(SignCommand {
                    account: args.account,
                    path: args.path,
                    below: args.prefix,
                    lasts_secs: args.expires,
                    start: args.starts,
                    network: args.ip,
                    referers: args.referer,
                    free_kb: args.rate_free,
                    kb_per_sec: args.rate,
                    attachment: args.download,
                    md5: args.md5,
                    public_url: args.public_url,
                })),
            ),
        })
    }
}

impl NewArgs {
    fn read(self, rotate: bool) -> anyhow::Result<(SiteArgs, UrlCommand)> {
        let secret = if self.stdin { Some(read_secret("secret")?) } else { None };
        Ok((self.data, UrlCommand::AddSecret { account: self.account, secret, rotate }))
    }
}
