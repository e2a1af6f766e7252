//! The nouns of headwater: paths, accounts, users, sessions, entries, blobs, limits and errors.
//!
//! What lives here: types that every other crate speaks, and the pure rules that belong to one value (how a path is
//! read, when a content type is valid). What does not: I/O, clocks, serialization formats, wire codes, and rules that
//! need more than one value (those are operations, crate `ops`).

mod account;
mod blob;
mod content_type;
mod entry;
mod error;
mod event;
mod job;
mod lease;
pub mod limits;
mod moving;
pub mod multipart;
mod path;
mod scrub;
mod secret;
mod session;
mod time;

pub use account::{Account, AccountId, KeyPair, Quota, Usage, User, UserId};
pub use blob::{BlobId, Digest, Extent, InlineId};
pub use content_type::ContentType;
pub use entry::{Content, DirId, Directory, File, FileAttrs, Kind, Node, Owner, Resolved};
pub use error::{Error, Result};
pub use event::{Callback, CallbackId, CallbackState, Event, EventFile, EventKind};
pub use job::{Job, JobId, JobState};
pub use lease::{Lease, NodeId};
pub use moving::{Moving, Stage};
pub use multipart::{Multipart, Piece, PieceContent, PieceState, UploadId, UploadState};
pub use path::TreePath;
pub use scrub::{Damage, Scrub, ScrubAt, ScrubPass, Subject};
pub use secret::Secret;
pub use session::{Caller, Session, SessionOrigin, TokenHash};
pub use time::Time;
