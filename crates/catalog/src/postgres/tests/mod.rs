//! The law, held to this engine, and what is this engine's own.

mod cost;
mod door;
mod encrypted;
mod nodes;
mod outages;
mod pooled;
mod ranges;
mod same;
mod schema;

use std::sync::Arc;

use testbed::{Database, shared};

use super::{Options, Postgres};
use crate::Catalog;
use crate::suite::{at, check_dir, file, hold_the_law, with_root};

/// Few: the tests of many processes share one server.
const OPTIONS: Options = Options { readers: 4 };

struct Storage(Database<'static>);

impl Storage {
    fn new() -> Self {
        Self(shared().database())
    }

    fn open(&self) -> Catalog {
        open(&self.0.url())
    }
}

fn open(url: &str) -> Catalog {
    Catalog::new(Arc::new(Postgres::open(url, OPTIONS).unwrap()))
}

// A comparison with the model looks at every row by itself, which is a journey each.
hold_the_law!(Storage::new(), cases / 32);

/// Names as long as paths can be, alike but for their last byte: more than an index row of the database holds.
#[tokio::test]
async fn long_names() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    let name = |n: u8| "é".repeat(2047) + &format!("{n:02}");
    for n in 0..20 {
        let put = move |tx: &mut dyn crate::Tx| {
            tx.put_file(at(crate::suite::ROOT, &name(n)), &file(n.into()))
        };
        catalog.write(put).await.unwrap();
    }
    let held = catalog.read(|r| check_dir(r, crate::suite::ROOT)).await.unwrap();
    assert_eq!(held.len(), 20);
    assert!(held.iter().all(|(name, _)| name.len() == 4096));
}
