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

use std::{net::SocketAddr, sync::Arc};

use ops::Store;

pub use access::{AccessLine, AccessLog, request_id};
pub use settings::{FormLimits, Settings};

/// What every room needs: the operations and what the operator set. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

/// What the clones of a [`Front`] share.
#[doc(hidden)]
pub struct Inner {
    /// The operations.
    pub(crate) store: Store,
    /// What the operator set.
    pub(crate) settings: Settings,
    /// Answers that may be given again.
    recent: egress::Recent,
    access: access::Access,
}

impl Front {
    /// Rooms over operations, and where the access log goes, if there is one.
    pub fn new(store: Store, settings: Settings, access: Option<Arc<dyn AccessLog>>) -> Self {
        let recent = egress::Recent::new(settings.answers_bytes);
        Self(Arc::new(Inner { store, settings, recent, access }))
    }
}

impl std::ops::Deref for Front {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What a room knows of the connection a request came over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The other end; `None` for a connection without an address.
    pub(crate) address: Option<SocketAddr>,
}
