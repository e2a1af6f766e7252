//! Protocols: HTTP in, operations, HTTP out.
//!
//! What lives here: the door (accepting connections, TLS, limits, stopping), the table of paths, and a room a protocol:
//! `rpc` (JSON-RPC), `upload` (the HTTP interface), `egress` (GET and HEAD). A room parses, calls operations, and
//! renders; its `codes.rs` turns facts into codes. What does not: semantics (crate `ops`). Rooms never import each
//! other. The crate does not depend on `catalog` or `blobs`: no protocol can walk around the rules.

mod access;
mod cors;
pub mod door;
mod egress;
pub mod events;
#[doc(hidden)]
pub mod fuzzing;
mod outlet;
mod reply;
mod request;
mod route;
mod rpc;
mod settings;
#[doc(hidden)]
pub mod surface;
mod upload;

use std::net::SocketAddr;

use ops::Store;

pub use settings::{FormLimits, Settings};

/// What every room needs: the operations and what the operator set.
#[derive(Clone)]
pub struct Front {
    /// The operations.
    pub store: Store,
    /// What the operator set.
    pub settings: std::sync::Arc<Settings>,
}

/// What a room knows of the connection a request came over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The other end; `None` for a connection without an address.
    pub(crate) address: Option<SocketAddr>,
}
