//! Protocols: HTTP in, operations, HTTP out.
//!
//! What lives here: the door (accepting connections, TLS, limits, stopping), the table of paths, and a room a protocol:
//! `rpc` (JSON-RPC), `upload` (the HTTP interface), `egress` (GET and HEAD). A room parses, calls operations, and
//! renders; its `codes.rs` turns facts into codes. What does not: semantics (crate `ops`). Rooms never import each
//! other. The crate does not depend on `catalog` or `blobs`: no protocol can walk around the rules.

mod egress;
mod reply;
mod rpc;
mod upload;

use std::net::SocketAddr;

use ops::Store;

/// What every room needs: the operations and what the operator set.
#[derive(Clone)]
pub struct Front {
    /// The operations.
    pub store: Store,
    /// What the operator set.
    pub settings: std::sync::Arc<Settings>,
}

/// Limits and names of the front, with their units.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest body of a JSON-RPC call, in bytes.
    pub rpc_body_bytes_max: usize,
}

/// What a room knows of the connection a request came over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The other end; `None` for a connection without an address.
    pub(crate) address: Option<SocketAddr>,
}
