//! Operations: the semantics of the service, each written once, over a catalog and blobs.
//!
//! What lives here: who may do what, what an operation entails, and in which order bytes, catalog and answer come. What
//! does not: protocols (no code, no header, no JSON) and engines. Only `clock` reads the time; plain functions take `now`.

use std::sync::Arc;

use catalog::{Catalog, Stats};

pub mod admin;
pub mod clock;
pub mod content_type;
pub mod get;
pub mod listing;
pub mod namespace;
pub mod password;
pub mod put;
pub mod session;
pub mod sweep;
pub mod throttle;
pub mod vault;

pub use admin::{Founded, NewUser};
pub use content_type::{Detect, TypeRule};
pub use get::{AccountRef, Candidate, Opened};
pub use listing::{Listed, Positions, Rows, Which};
pub use model;
pub use namespace::{IfThere, Parents, Stat};
pub use put::{PutSpec, Stored, Upload};
pub use session::{LoggedIn, NewKeyPair};
