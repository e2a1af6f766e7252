//! Where a store lies: its data directory, and what of it lies elsewhere. As written, then as usable ([`Site`]).
//!
//! A URL may hold a password: nothing here shows more of one than its scheme, and `--help` does not show what the environment
//! says. What opens a place is not here (`main`).

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use model::Secret;

/// Schemes of catalogs that several nodes share.
const CATALOGS: [&str; 2] = ["postgres", "postgresql"];
/// Schemes of object stores.
const OBJECTS: [&str; 4] = ["s3", "gs", "az", "file"];

#[derive(Debug, Args)]
pub(super) struct SiteArgs {
    /// The data directory.
    #[arg(long, env = "HEADWATER_DATA", default_value = "data")]
    pub(super) data: PathBuf,
    /// The catalog, where it is not in the data directory: postgres://… Other processes see the command line: the variable
    /// keeps a password from them.
    #[arg(long, env = "HEADWATER_CATALOG", hide_env_values = true, value_name = "URL")]
    catalog: Option<String>,
    /// The blobs, where they are not in the data directory: s3://…, gs://…, az://…, file://… Likewise.
    #[arg(long, env = "HEADWATER_BLOBS", hide_env_values = true, value_name = "URL")]
    blobs: Option<String>,
    /// The key that stored secrets are encrypted under [default: secret.key in the data directory].
    #[arg(long, env = "HEADWATER_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Where a store lies.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The directory of this process: its lock, its admin socket, and whatever does not lie elsewhere.
    pub(crate) data: PathBuf,
    /// The catalog.
    pub(crate) catalog: Place,
    /// The blobs.
    pub(crate) blobs: Place,
    /// The key, where it is not in the directory.
    pub(crate) key_file: Option<PathBuf>,
}

/// Where a part of a store lies.
#[derive(Debug, Clone, Default)]
pub(crate) enum Place {
    /// In the data directory.
    #[default]
    Here,
    /// Elsewhere.
    At {
        /// What kind of place that is.
        scheme: &'static str,
        /// The whole URL.
        url: Secret,
    },
}

impl Site {
    /// All of it in one directory.
    pub(crate) fn within(data: &Path) -> Self {
        let (catalog, blobs) = (Place::Here, Place::Here);
        Self { data: data.to_owned(), catalog, blobs, key_file: None }
    }

    /// Whether processes on other machines may have the same store.
    pub(crate) fn is_shared(&self) -> bool {
        self.catalog.is_elsewhere()
    }
}

impl Place {
    /// Whether it is not in the data directory.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, Place::At { .. })
    }

    /// `what` names it in complaints; of `url` they say nothing but that.
    fn read(what: &str, url: &str, schemes: &[&'static str]) -> anyhow::Result<Self> {
        if url.is_empty() {
            return Ok(Self::Here);
        }
        let told = url.split_once("://").map(|(scheme, _)| scheme);
        match schemes.iter().find(|scheme| told == Some(*scheme)) {
            Some(scheme) => Ok(Self::At { scheme, url: Secret::new(url) }),
            None => bail!("{what} is no URL that begins with one of {}://", schemes.join("://, ")),
        }
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
    /// For a command that reads no configuration file.
    pub(super) fn site(self) -> anyhow::Result<Site> {
        self.with(WrittenSite { catalog: "", blobs: "", key_file: "" })
    }

    /// The command line and the environment go before the file.
    pub(super) fn with(self, file: WrittenSite<'_>) -> anyhow::Result<Site> {
        let given = |said: Option<String>, written: &str| {
            said.filter(|said| !said.is_empty()).unwrap_or_else(|| written.to_owned())
        };
        let in_file = (!file.key_file.is_empty()).then(|| PathBuf::from(file.key_file));
        Ok(Site {
            data: self.data,
            catalog: Place::read("the catalog", &given(self.catalog, file.catalog), &CATALOGS)?,
            blobs: Place::read("the place of the blobs", &given(self.blobs, file.blobs), &OBJECTS)?,
            key_file: self.key_file.filter(|file| !file.as_os_str().is_empty()).or(in_file),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(catalog: Option<&str>) -> SiteArgs {
        let catalog = catalog.map(str::to_owned);
        SiteArgs { data: "data".into(), catalog, blobs: None, key_file: None }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = WrittenSite { catalog: "postgres://file/x", blobs: "s3://b", key_file: "k" };
        let url = |site: &Site| match &site.catalog {
            Place::At { url, .. } => url.expose().to_owned(),
            Place::Here => String::new(),
        };
        let site = args(Some("postgresql://line/x")).with(file).unwrap();
        assert_eq!(url(&site), "postgresql://line/x");
        assert!(site.is_shared() && site.blobs.is_elsewhere());
        assert_eq!(site.key_file.as_deref(), Some(Path::new("k")));
        assert_eq!(url(&args(Some("")).with(file).unwrap()), "postgres://file/x");
        let site = args(None).site().unwrap();
        assert!(!site.is_shared() && !site.blobs.is_elsewhere() && site.key_file.is_none());
    }

    #[test]
    fn no_complaint_shows_a_password() {
        for url in ["mysql://me:s3cret@host/x", "me:s3cret@host", "postgres:me:s3cret@host"] {
            let e = format!("{:?}", args(Some(url)).site().unwrap_err());
            assert!(!e.contains("s3cret") && e.contains("postgres://"), "{e}");
        }
        let site = args(Some("postgres://me:s3cret@host/x")).site().unwrap();
        assert!(!format!("{site:?}").contains("s3cret"));
    }
}
