//! Where blobs lie: in the data directory, or in an object store.
//!
//! A data directory notes the object store that its catalog refers to, so that a command which opens it (`fsck`, `export`)
//! finds the blobs without being told, and one that was told something else does not look for them in the wrong place.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, bail};
use blobs::object::Variable;
use clap::Args;

/// The file that notes the URL.
const NOTE: &str = "blobs-at";
/// The local engine's directory.
const LOCAL: &str = "blobs";
/// Variables that the clouds' own tools read.
const VARIABLES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
/// What stands before the names of those that are for the place that a store is moved to.
const THERE: &str = "HEADWATER_TO_";
/// Bytes of the read cache where nothing is said.
const CACHE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct BlobsArgs {
    /// Keep blobs in an object store: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix. Credentials, region and
    /// endpoint are taken from the variables that its own tools read (AWS_ACCESS_KEY_ID, …).
    #[arg(long, env = "HEADWATER_BLOBS", hide_env_values = true, value_name = "URL")]
    blobs: Option<String>,
    /// Bytes of hot blobs of an object store that are kept in the data directory.
    #[arg(long, env = "HEADWATER_BLOBS_CACHE", value_name = "BYTES", default_value_t = CACHE_BYTES)]
    blobs_cache: u64,
}

/// What the operator says about blobs.
#[derive(Clone)]
pub(crate) struct BlobsAt {
    /// `None`: where the data directory says.
    url: Option<String>,
    /// Bytes of the read cache.
    pub(crate) cache_bytes: u64,
    /// Credentials and the like.
    pub(crate) variables: Vec<Variable>,
}

impl BlobsArgs {
    /// `file`: what the configuration file says, where the command line and the environment say nothing.
    pub(super) fn read(self, file: &str) -> BlobsAt {
        let said = self.blobs.filter(|url| !url.is_empty());
        let url = said.or_else(|| (!file.is_empty()).then(|| file.to_owned()));
        BlobsAt { url, cache_bytes: self.blobs_cache, ..BlobsAt::noted() }
    }
}

impl BlobsAt {
    /// In the place that somebody named, with what opens it; nothing is cached.
    pub(super) fn told(url: Option<String>, variables: Vec<Variable>) -> Self {
        Self { url, cache_bytes: 0, variables }
    }

    /// What opens the place that a store is moved to: the same as here, unless said otherwise.
    pub(super) fn variables_there() -> Vec<Variable> {
        let mut variables = Self::noted().variables;
        for (name, value) in std::env::vars_os() {
            let name = name.into_string().unwrap_or_default();
            if let (Some(name), Ok(value)) = (name.strip_prefix(THERE), value.into_string()) {
                variables.retain(|(other, _)| other != name);
                variables.push((name.to_owned(), value));
            }
        }
        variables
    }

    /// Where the data directory says; nothing is cached.
    pub(super) fn noted() -> Self {
        let ours = |name: &String| VARIABLES.iter().any(|prefix| name.starts_with(prefix));
        let all = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self { url: None, cache_bytes: 0, variables: all.filter(|(name, _)| ours(name)).collect() }
    }

    /// The URL of the object store in which the blobs of a data directory lie; `None`: they lie in it. Notes it, the first
    /// time.
    pub(crate) fn place(&self, data: &Path) -> anyhow::Result<Option<String>> {
        let path = data.join(NOTE);
        let noted = match fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
        };
        match (&self.url, noted) {
            (None, noted) => Ok(noted),
            (Some(url), Some(noted)) if *url == noted => Ok(Some(noted)),
            (Some(_), Some(noted)) => bail!(
                "the blobs of {} lie in {noted}: another --blobs would find none of them",
                data.display()
            ),
            (Some(_), None) if data.join(LOCAL).exists() => bail!(
                "the blobs of {} lie in it: with --blobs none of them would be found",
                data.display()
            ),
            (Some(url), None) => Ok(Some(url.clone())),
        }
    }

    /// Notes where they lie, once that has proved to be a place.
    pub(crate) fn note(data: &Path, url: &str) -> anyhow::Result<()> {
        let path = data.join(NOTE);
        if path.exists() {
            return Ok(());
        }
        fs::write(&path, format!("{url}\n")).with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: Option<&str>) -> BlobsAt {
        BlobsAt { url: url.map(str::to_owned), cache_bytes: 0, variables: Vec::new() }
    }

    #[test]
    fn a_directory_remembers_where_its_blobs_lie() {
        let dir = tempfile::tempdir().unwrap();
        let place = |url| told(url).place(dir.path());
        assert_eq!(place(None).unwrap(), None);
        assert_eq!(place(Some("s3://a/b")).unwrap().as_deref(), Some("s3://a/b"));
        BlobsAt::note(dir.path(), "s3://a/b").unwrap();
        assert_eq!(place(None).unwrap().as_deref(), Some("s3://a/b"));
        assert_eq!(place(Some("s3://a/b")).unwrap().as_deref(), Some("s3://a/b"));
        assert!(place(Some("s3://a/c")).is_err());
    }

    #[test]
    fn a_directory_that_has_blobs_takes_no_store_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(LOCAL)).unwrap();
        assert!(told(Some("s3://a/b")).place(dir.path()).is_err());
        assert_eq!(told(None).place(dir.path()).unwrap(), None);
    }
}
