//! The catalog: names, metadata and small content, in transactions.
//!
//! What lives here: the traits [`Read`] and [`Tx`] (lookups, puts and scans), the handle [`Catalog`] that runs
//! closures over them, the engines, the law every engine is held to (`suite`), and a wrapper that fails (`faulty`). What does not: rules of the
//! service. The catalog keeps its own indices and counters consistent, and nothing else; who may do what, and what a
//! change entails, is said in crate `ops`. It knows no blobs and no protocol.

pub mod audit;
pub mod embedded;
pub mod faulty;
mod handle;
pub mod postgres;
mod queue;
mod rows;
#[cfg(test)]
mod suite;
mod tx;
mod witness;

pub use embedded::Embedded;
pub use handle::{Catalog, Engine, ReadJob, Stats, WriteJob};
pub use postgres::Postgres;
pub use tx::{Place, Read, Tx};
pub use witness::Witness;
