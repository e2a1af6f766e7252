//! Which engines the servers of the tests have, and how many of them serve one store: chosen from outside, for all tests.
//!
//! | variable | |
//! | --- | --- |
//! | `HEADWATER_TEST_CATALOG=postgres` | the catalog in PostgreSQL, a schema a server |
//! | `HEADWATER_TEST_BLOBS=s3` | blobs in Garage, a prefix a server |
//! | `HEADWATER_TEST_NODES=3` | both, and so many nodes behind one nginx, each request to the next |
//!
//! What cannot hold there is left out by the profiles in `.config/nextest.toml`, which say why. PostgreSQL and Garage are
//! one process each for all tests of a run (`testbed`).

use std::{fs, path::Path};

use testbed::{S3, Schema};

use super::wait_until;

/// Where a server keeps what it stores, as its environment says it.
pub(crate) struct Engines {
    pub(crate) variables: Vec<(String, String)>,
    /// Processes that serve it.
    pub(crate) nodes: usize,
    schema: Option<Schema<'static>>,
}

impl Engines {
    /// What everything is in one process and its directory with.
    pub(crate) fn own() -> Self {
        Self { variables: Vec::new(), nodes: 1, schema: None }
    }

    /// Those that these variables say, with a key in `dir` that all nodes have.
    pub(crate) fn shared(dir: &Path, mut variables: Vec<(String, String)>) -> Self {
        variables.push(key(dir));
        Self { variables, ..Self::own() }
    }

    /// New ones, empty, as chosen from outside. What nodes must have in common lies in `dir`, whose name nobody else has.
    pub(crate) fn chosen(dir: &Path) -> Self {
        let nodes = said("HEADWATER_TEST_NODES").map_or(1, |nodes| nodes.parse().unwrap());
        let mut chosen = Self { nodes, ..Self::own() };
        if is_chosen("HEADWATER_TEST_CATALOG", "postgres", nodes) {
            let schema = testbed::shared().schema();
            chosen.add("HEADWATER_CATALOG", &schema.url());
            chosen.schema = Some(schema);
            chosen.variables.push(key(dir));
        }
        if is_chosen("HEADWATER_TEST_BLOBS", "s3", nodes) {
            let store = S3::shared();
            chosen.variables.extend(store.variables());
            chosen.add("HEADWATER_BLOBS", &store.url(&dir.file_name().unwrap().to_string_lossy()));
        }
        chosen
    }

    /// Whether all lies in the directory of one process, which removes at once what is not needed any more.
    pub(crate) fn are_own(&self) -> bool {
        self.variables.is_empty()
    }

    /// Waits, after the death of all processes, for the end of what they had asked for: the database may still be at it.
    pub(crate) fn wait_for_rest(&self) {
        if let Some(schema) = &self.schema {
            wait_until("the end of all sessions", || schema.sessions() == 0);
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }
}

/// The key of a catalog that is shared.
fn key(dir: &Path) -> (String, String) {
    let path = dir.join("key");
    fs::write(&path, "5a".repeat(32)).unwrap();
    ("HEADWATER_KEY_FILE".to_owned(), path.display().to_string())
}

fn said(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Whether the engine called `name` is chosen; several nodes have no other.
fn is_chosen(variable: &str, name: &str, nodes: usize) -> bool {
    let value = said(variable);
    assert!(value.as_ref().is_none_or(|value| value == name), "{variable} may be {name} alone");
    value.is_some() || nodes > 1
}
