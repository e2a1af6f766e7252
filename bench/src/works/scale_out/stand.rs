//! What `scale-out` measures: stores and the servers on them. PostgreSQL and the S3 server are started here for the whole run,
//! nodes for each turn. What is asked of them is not known here.

use std::{
    fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, rc::Rc, time::Duration,
};

use anyhow::Context;
use testbed::{Durability, S3, Server};

use crate::{
    interrupt,
    plan::Plan,
    process,
    server::{Commits, Home, Listening},
};

/// What PostgreSQL is told, for a machine that has other things to do as well.
const SETTINGS: [&str; 4] =
    ["shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=30min", "wal_compression=off"];
/// The database.
const DATABASE: &str = "headwater";

/// PostgreSQL and an S3 server.
struct Engines {
    postgres: Server,
    s3: S3,
    named: bool,
}

/// A store, and how many nodes serve it.
pub(super) struct Stand {
    name: &'static str,
    homes: Vec<Home>,
    engines: Option<Rc<Engines>>,
    filled: bool,
}

/// Running nodes.
pub(super) struct Nodes<'a> {
    stand: &'a Stand,
    running: Vec<Listening>,
}

/// What was spent.
#[derive(Clone, Default)]
pub(super) struct Spent {
    /// What the nodes' catalogs did.
    pub(super) catalog: Commits,
    /// CPU time of the nodes.
    pub(super) nodes: Duration,
    /// CPU time of the database, where there is one.
    pub(super) database: Option<Duration>,
}

impl Stand {
    /// All that are compared. Those that share a store with one before are filled with it.
    pub(super) fn all(plan: &Plan) -> anyhow::Result<[Self; 3]> {
        let within = plan.dir.clone().unwrap_or_else(std::env::temp_dir);
        let postgres = Server::own_in(&within, &SETTINGS);
        let s3 = S3::start_in(Durability::Synced, &within);
        for pid in postgres.pid().into_iter().chain([s3.pid()]) {
            interrupt::started(pid, rustix::process::Signal::INT);
        }
        postgres.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        let engines = Rc::new(Engines { postgres, s3, named: plan.named_statements });
        let homes = |count| (0..count).map(|_| Home::new(plan)).collect::<anyhow::Result<Vec<_>>>();
        let stand = |name, homes, engines, filled| Self { name, homes, engines, filled };
        Ok([
            stand("embedded, 1", homes(1)?, None, false),
            stand("scale-out, 1", homes(1)?, Some(Rc::clone(&engines)), false),
            stand("scale-out, 3", homes(3)?, Some(engines), true),
        ])
    }

    /// Which it is.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its store is another's, which was filled before.
    pub(super) fn is_filled(&self) -> bool {
        self.filled
    }

    /// Starts its nodes.
    pub(super) fn start(&self) -> anyhow::Result<Nodes<'_>> {
        let mut running = Vec::new();
        for home in &self.homes {
            running.push(match &self.engines {
                None => home.serve_with("warn", &[])?,
                Some(engines) => {
                    let (catalog, blobs) = (engines.catalog(), engines.s3.url("store"));
                    let key = engines.key()?;
                    let key = key.to_str().context("a path that is text")?;
                    let more = ["--catalog", &catalog, "--blobs", &blobs, "--key-file", key];
                    home.serve_among("warn", &more, &engines.s3.variables())?
                }
            });
        }
        Ok(Nodes { stand: self, running })
    }

    /// Has the database do now what it would do at some later time: count its rows, and write them to its files.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        if let Some(engines) = &self.engines {
            engines.postgres.sql(DATABASE, "VACUUM ANALYZE");
            engines.postgres.sql(DATABASE, "CHECKPOINT");
        }
        Ok(())
    }

    /// Bytes on disk, by place.
    pub(super) fn disk(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let Some(engines) = &self.engines else {
            return Ok(vec![("embedded: data directory".to_owned(), self.homes[0].disk_bytes()?)]);
        };
        let sizes = "SELECT 'PostgreSQL: all', pg_database_size(current_database()) UNION ALL \
             SELECT * FROM (SELECT 'PostgreSQL: table ' || relname, pg_total_relation_size(relid) \
             FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT 4) AS t";
        let rows = engines.postgres.sql(DATABASE, sizes);
        let row = |line: &str| {
            let (place, bytes) = line.split_once('|').context("a table and its size")?;
            Ok((place.to_owned(), bytes.trim().parse()?))
        };
        rows.lines().map(row).collect()
    }
}

impl Engines {
    fn catalog(&self) -> String {
        let sockets = self.postgres.sockets().display();
        let named = if self.named { "&statements=named" } else { "" };
        format!("postgres://postgres@/{DATABASE}?host={sockets}{named}")
    }

    /// The key that all nodes share.
    fn key(&self) -> anyhow::Result<PathBuf> {
        let path = self.postgres.sockets().join("secret.key");
        if !path.exists() {
            fs::write(&path, "5".repeat(64))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        Ok(path)
    }
}

impl Drop for Engines {
    /// What is dropped ends its processes itself.
    fn drop(&mut self) {
        self.postgres.pid().into_iter().chain([self.s3.pid()]).for_each(interrupt::ended);
    }
}

impl Nodes<'_> {
    /// Where they listen.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.running.iter().map(|node| node.address).collect()
    }

    /// What was spent since they started; by the database, since that did.
    pub(super) fn spent(&self) -> anyhow::Result<Spent> {
        let mut spent = Spent::default();
        for (home, node) in self.stand.homes.iter().zip(&self.running) {
            spent.catalog = spent.catalog.and(home.commits()?);
            spent.nodes += process::cpu(node.pid())?;
        }
        let postgres = self.stand.engines.as_ref().and_then(|engines| engines.postgres.pid());
        spent.database = postgres.map(process::cpu).transpose()?;
        Ok(spent)
    }

    /// Stops them.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.running.into_iter().try_for_each(Listening::stop)
    }
}

impl Spent {
    /// What was spent since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let database = self.database.zip(before.database);
        Self {
            catalog: self.catalog.since(before.catalog),
            nodes: self.nodes.saturating_sub(before.nodes),
            database: database.map(|(now, before)| now.saturating_sub(before)),
        }
    }

    /// What was spent in all of these.
    pub(super) fn together(parts: Vec<Self>) -> Self {
        parts.into_iter().fold(Self::default(), |sum, part| Self {
            catalog: sum.catalog.and(part.catalog),
            nodes: sum.nodes + part.nodes,
            database: part.database.map(|time| time + sum.database.unwrap_or_default()),
        })
    }
}
