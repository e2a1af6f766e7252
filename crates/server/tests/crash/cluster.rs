//! Three nodes over one PostgreSQL and one S3 server behind a balancer: all of them real processes, and all of the test's own,
//! so that any of them may die or be away.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use testbed::{Durability, Proxy, S3, Server as Postgres};

use crate::{
    caller::Caller,
    device::place,
    harness::{Engines, Nginx, wait_until},
    node::Node,
};

const NODES: u16 = 3;
/// The nodes' database.
const DATABASE: &str = "headwater";

/// All of it.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) balancer: Nginx,
    pub(crate) database: Postgres,
    /// Between the nodes and the S3 server.
    pub(crate) network: Proxy,
    _store: S3,
    _place: TempDir,
}

impl Cluster {
    /// One that serves an empty store, with settings of PostgreSQL as `name=value`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let place = place();
        let (database, store) =
            (Postgres::own_in(&std::env::temp_dir(), settings), S3::start(Durability::None));
        let network = Proxy::start(store.address());
        database.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        let node = |n: u16| {
            let data = place.path().join(format!("node{n}"));
            Node::with(&data, own_address(), |_| engines(place.path(), &database, &store, &network))
        };
        let mut nodes: Vec<Node> = (1..=NODES).map(node).collect();
        for node in &mut nodes {
            node.start();
        }
        let addresses: Vec<SocketAddr> = nodes.iter().map(Node::address).collect();
        let balancer = Nginx::balancing(&addresses);
        Self { nodes, balancer, database, network, _store: store, _place: place }
    }

    /// Where clients ask: each request goes to another node.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.balancer.port()).into()
    }

    /// Waits for the end of what dead nodes had asked the database for: it may still be at it. What lives keeps sessions,
    /// and is at rest when no transaction is open.
    pub(crate) fn wait_for_rest(&self) {
        let open = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{DATABASE}' AND state <> 'idle'"
        );
        wait_until("a database at rest", || self.database.sql("postgres", &open).trim() == "0");
    }

    /// Waits until clients are served again, all of them.
    pub(crate) fn wait_until_well(&self, caller: &mut Caller) {
        let mut in_a_row = 0;
        wait_until("a service that is well", || {
            let well = caller.rpc("stat", serde_json::json!(["/"])).is_ok();
            in_a_row = if well { in_a_row + 1 } else { 0 };
            std::thread::sleep(Duration::from_millis(10));
            in_a_row > 2 * usize::from(NODES)
        });
    }

    /// All nodes are the processes that they were.
    pub(crate) fn lives(&mut self) -> bool {
        self.nodes.iter_mut().all(Node::lives)
    }

    /// The store's own last word, once nobody serves it.
    pub(crate) fn finish(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        self.wait_for_rest();
        self.nodes[0].fsck();
    }
}

/// An address that nobody else is given, also while its node is dead: of this process alone.
fn own_address() -> SocketAddr {
    static LAST: AtomicU16 = AtomicU16::new(8080);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    ([127, 64 | (a & 63), b, c.clamp(1, 254)], LAST.fetch_add(1, Ordering::Relaxed)).into()
}

fn engines(dir: &Path, database: &Postgres, store: &S3, network: &Proxy) -> Engines {
    let mut variables = S3::variables_at(network.address());
    variables.push(("HEADWATER_BLOBS".to_owned(), store.url("files")));
    variables.push(("HEADWATER_CATALOG".to_owned(), database.url(DATABASE)));
    Engines::shared(dir, variables)
}
