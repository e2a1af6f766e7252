//! Where a store lies: its data directory, and what of it lies elsewhere. As written, then as usable ([`Site`]).
//!
//! A URL may hold a password: nothing here shows one, and `--help` does not show what the environment says. What opens a place is
//! not here (`main`), nor where blobs lie (`blobs`).

use std::path::{Path, PathBuf};

use ::blobs::LocalOptions;
use anyhow::bail;
use clap::Args;
use model::Secret;
use serde::Deserialize;

use super::blobs::{BlobsArgs, BlobsAt};

/// What URLs of catalogs begin with.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

#[derive(Debug, Args)]
pub(super) struct SiteArgs {
    /// The data directory.
    #[arg(long, env = "HEADWATER_DATA", default_value = "data")]
    data: PathBuf,
    /// The catalog, where it is not in the data directory: postgres://… Other processes see the command line: the variable
    /// keeps a password from them.
    #[arg(long, env = "HEADWATER_CATALOG", hide_env_values = true, value_name = "URL")]
    catalog: Option<String>,
    #[command(flatten)]
    blobs: BlobsArgs,
    /// The key that stored secrets are encrypted under [default: secret.key in the data directory].
    #[arg(long, env = "HEADWATER_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// `[storage]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Storage {
    pub(super) catalog: String,
    pub(super) blobs: String,
    pub(super) key_file: String,
    pub(super) reserve_bytes: u64,
    pub(super) direct_io_after_bytes: u64,
}

impl Default for Storage {
    fn default() -> Self {
        let local = LocalOptions::default();
        Self {
            catalog: String::new(),
            blobs: String::new(),
            key_file: String::new(),
            reserve_bytes: local.reserve_bytes,
            direct_io_after_bytes: local.direct_from,
        }
    }
}

/// Where a store lies.
#[derive(Clone)]
pub(crate) struct Site {
    /// The directory of this process: its lock, its admin socket, and whatever does not lie elsewhere.
    pub(crate) data: PathBuf,
    /// The catalog.
    pub(crate) catalog: Place,
    /// The blobs.
    pub(crate) blobs: BlobsAt,
    /// The key, where it is not in the directory.
    pub(crate) key_file: Option<PathBuf>,
}

/// Where a catalog lies.
#[derive(Debug, Clone, Default)]
pub(crate) enum Place {
    /// In the data directory.
    #[default]
    Here,
    /// In the database with this URL.
    Database(Secret),
}

impl Site {
    /// All of it where one directory says.
    pub(crate) fn within(data: &Path) -> Self {
        let (catalog, blobs) = (Place::Here, BlobsAt::noted());
        Self { data: data.to_owned(), catalog, blobs, key_file: None }
    }

    /// Whether processes on other machines may have the same catalog.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.catalog, Place::Database(_))
    }
}

impl Place {
    pub(super) fn read(url: &str) -> anyhow::Result<Self> {
        if url.is_empty() {
            return Ok(Self::Here);
        }
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            bail!("the catalog's URL does not begin with {}", SCHEMES.join(" or "));
        }
        Ok(Self::Database(Secret::new(url)))
    }
}

/// What the configuration file says.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenSite<'a> {
    pub(super) catalog: &'a str,
    pub(super) blobs: &'a str,
    pub(super) key_file: &'a str,
}

impl SiteArgs {
    /// In another data directory, if one is named.
    pub(super) fn at(self, data: Option<PathBuf>) -> Self {
        Self { data: data.unwrap_or(self.data.clone()), ..self }
    }

    /// For a command that reads no configuration file.
    pub(super) fn site(self) -> anyhow::Result<Site> {
        self.with(WrittenSite { catalog: "", blobs: "", key_file: "" })
    }

    /// The command line and the environment go before the file.
    pub(super) fn with(self, file: WrittenSite<'_>) -> anyhow::Result<Site> {
        let catalog = self.catalog.filter(|said| !said.is_empty());
        let in_file = (!file.key_file.is_empty()).then(|| PathBuf::from(file.key_file));
        Ok(Site {
            data: self.data,
            catalog: Place::read(catalog.as_deref().unwrap_or(file.catalog))?,
            blobs: self.blobs.read(file.blobs),
            key_file: self.key_file.filter(|file| !file.as_os_str().is_empty()).or(in_file),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn args(catalog: Option<&str>) -> SiteArgs {
        let command = SiteArgs::augment_args(Command::new("x"));
        let line = catalog.map(|url| format!("--catalog={url}"));
        let words = std::iter::once("x".to_owned()).chain(line);
        SiteArgs::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = WrittenSite { catalog: "postgres://file/x", blobs: "", key_file: "k" };
        let url = |site: &Site| match &site.catalog {
            Place::Database(url) => url.expose().to_owned(),
            Place::Here => String::new(),
        };
        let site = args(Some("postgresql://line/x")).with(file).unwrap();
        assert_eq!(url(&site), "postgresql://line/x");
        assert!(site.is_shared());
        assert_eq!(site.key_file.as_deref(), Some(Path::new("k")));
        assert_eq!(url(&args(Some("")).with(file).unwrap()), "postgres://file/x");
        let site = args(None).site().unwrap();
        assert!(!site.is_shared() && site.key_file.is_none());
    }

    #[test]
    fn no_complaint_and_no_help_shows_a_password() {
        for url in ["mysql://me:s3cret@host/x", "me:s3cret@host", "postgres:me:s3cret@host"] {
            let e = format!("{:?}", args(Some(url)).site().err().unwrap());
            assert!(!e.contains("s3cret") && e.contains("postgres://"), "{e}");
        }
        let site = args(Some("postgres://me:s3cret@host/x")).site().unwrap();
        assert!(!format!("{:?}", site.catalog).contains("s3cret"));
        let command = SiteArgs::augment_args(Command::new("x"));
        for name in ["catalog", "blobs"] {
            let arg = command.get_arguments().find(|arg| arg.get_id() == name).unwrap();
            assert!(arg.is_hide_env_values_set(), "{name}");
        }
    }
}
