//! The command line of `headwater migrate`: what may be typed, and what it asks for; and the new place as one process tells
//! it to another.

use std::path::PathBuf;

use anyhow::Context;
use blobs::object::Variable;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    Plan,
    blobs::BlobsAt,
    site::{Place, Site, SiteArgs},
};
use crate::admin::Command;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// The data directory of the store that is moved: the same as --data.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The data directory at the new place: empty, or where a move did not end.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["abandon", "reopen"])]
    to: Option<PathBuf>,
    /// The catalog at the new place, where it is not in the directory: postgres://…
    #[arg(long, env = "HEADWATER_TO_CATALOG", hide_env_values = true, value_name = "URL")]
    to_catalog: Option<String>,
    /// The blobs at the new place, where they are not in the directory: s3://… Its credentials are taken from HEADWATER_TO_AWS_…
    /// and the like, or, without those, from the same variables as ever.
    #[arg(long, env = "HEADWATER_TO_BLOBS", hide_env_values = true, value_name = "URL")]
    to_blobs: Option<String>,
    /// Where the key is, or is put, at the new place [default: secret.key in the directory].
    #[arg(long, env = "HEADWATER_TO_KEY_FILE", value_name = "FILE")]
    to_key_file: Option<PathBuf>,
    /// Read every byte back at the new place.
    #[arg(long)]
    deep: bool,
    /// Give up a move that is on: the store stays where it is.
    #[arg(long, conflicts_with_all = ["to", "reopen"])]
    abandon: bool,
    /// Let a store be changed again that was moved; what was changed at the new place is not in it.
    #[arg(long, conflicts_with = "to")]
    reopen: bool,
    #[command(flatten)]
    data: SiteArgs,
}

/// A place that a store is moved to, as it goes over the admin socket to the server that carries it out.
#[derive(Serialize, Deserialize)]
pub(crate) struct Elsewhere {
    data: PathBuf,
    catalog: String,
    blobs: Option<String>,
    key_file: Option<PathBuf>,
    variables: Vec<Variable>,
}

impl MigrateArgs {
    pub(super) fn plan(self) -> anyhow::Result<Plan> {
        let site = self.data.at(self.from).site()?;
        let command = match self.to {
            None if self.abandon => Command::AbandonMove,
            None => Command::Reopen,
            Some(to) => {
                let said = |text: Option<String>| text.filter(|text| !text.is_empty());
                // A server that carries it out is somewhere else.
                let key_file = self.to_key_file.map(std::path::absolute).transpose()?;
                let to = Elsewhere {
                    data: std::path::absolute(to)?,
                    catalog: said(self.to_catalog).unwrap_or_default(),
                    blobs: said(self.to_blobs),
                    key_file,
                    variables: BlobsAt::variables_there(),
                };
                to.site().context("the new place")?;
                Command::Migrate { to, deep: self.deep }
            }
        };
        Ok(Plan::Admin { site, command })
    }
}

impl Elsewhere {
    /// As usable.
    pub(crate) fn site(&self) -> anyhow::Result<Site> {
        Ok(Site {
            data: self.data.clone(),
            catalog: Place::read(&self.catalog)?,
            blobs: BlobsAt::told(self.blobs.clone(), self.variables.clone()),
            key_file: self.key_file.clone(),
        })
    }
}

impl Site {
    /// What operators call it: no user, no password, no parameters.
    pub(crate) fn name(&self) -> anyhow::Result<String> {
        let data = std::path::absolute(&self.data)?.display().to_string();
        let catalog = match &self.catalog {
            Place::Here => data.clone(),
            Place::Database(url) => bare(url.expose()),
        };
        let blobs = self.blobs.place(&self.data)?.map_or(data, |url| bare(&url));
        Ok(format!("catalog {catalog}, blobs {blobs}"))
    }
}

/// A URL without whatever may be a secret.
fn bare(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_holds_a_secret() {
        for (url, name) in [
            ("postgres://me:s3cret@db:5432/x?password=s3cret", "postgres://db:5432/x"),
            ("postgres://me@/x?host=/run", "postgres:///x"),
            ("s3://bucket/some/prefix", "s3://bucket/some/prefix"),
            ("s3://bucket", "s3://bucket/"),
            ("me:s3cret", ""),
        ] {
            assert_eq!(bare(url), name);
        }
    }
}
