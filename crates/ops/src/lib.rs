//! Operations: the semantics of the service, each written once, over a catalog and blobs.
//!
//! What lives here: who may do what, what an operation entails, and in which order bytes, catalog and answer come: bytes
//! first, catalog second, answer third, clean-up last. What does not: protocols (no code, no header, no JSON) and
//! engines. Only `clock` reads the time; plain functions over a transaction take `now`.

pub mod admin;
mod backoff;
pub mod backup;
mod callers;
pub mod clock;
pub mod content_type;
pub mod event;
pub mod fetch;
pub mod fsck;
pub mod get;
mod landing;
pub mod lease;
pub mod link;
pub mod listing;
pub mod live;
pub mod migrate;
pub mod multipart;
pub mod namespace;
mod opened;
mod password;
pub mod put;
pub mod quota;
pub mod rate;
mod reference;
pub mod scrub;
pub mod session;
pub mod signature;
mod slots;
pub mod sweep;
pub mod throttle;
pub mod through;
mod tree;
pub mod vault;

use std::sync::Arc;

use blobs::Blobs;
use catalog::Catalog;
use model::Time;

pub use admin::{AccountChange, Founded, NewUser, Status};
pub use blobs::{ContentHash, FileSpan};
pub use content_type::{Detect, TypeRule};
pub use fetch::FetchSpec;
pub use get::{AccountRef, Candidate, Found, Known, Manner};
pub use listing::{Listed, Page, Positions, Rows, Which};
pub use live::Following;
pub use model;
pub use multipart::{MultipartSpec, PieceSpec, PieceUpload};
pub use namespace::{IfThere, Parents, Stat};
pub use opened::Opened;
pub use put::{Expose, PutSpec, Stored, Upload};
pub use quota::Room;
pub use session::{LoggedIn, NewKeyPair};

use crate::{clock::Clock, password::Passwords, throttle::Throttle, vault::Vault};

/// The service: a catalog, blobs, and what operations need beside them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

/// What the clones of a [`Store`] share.
struct Shared {
    catalog: Catalog,
    blobs: Arc<dyn Blobs>,
    /// From before anything was stored by this process.
    started: Time,
    clock: Arc<dyn Clock>,
    vault: Vault,
    public_url: Option<link::PublicUrl>,
    passwords: Passwords,
    throttle: Throttle,
    callers: callers::Callers,
    leases: lease::Leases,
    limits: Limits,
    rates: rate::Rates,
    slots: slots::Slots,
    joiner: multipart::Joiner,
    prefixes: multipart::Prefixes,
    turns: multipart::Turns,
    arriving: live::Arriving,
    bell: event::Bell,
    outbound: outbound::Client,
    jobs: fetch::Jobs,
    through: Arc<through::PullThrough>,
    scrub: scrub::Orders,
    /// Held to read while all blobs are copied, to write while blobs are removed; where other nodes remove blobs, too, it is
    /// a lease that is held ([`lease::KEEP`]).
    removals: tokio::sync::RwLock<()>,
}

/// What a [`Store`] is put together from.
pub struct Parts {
    /// Names and metadata.
    pub catalog: Catalog,
    /// Bytes.
    pub blobs: Arc<dyn Blobs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Encrypts what must be readable again.
    pub vault: Vault,
    /// Requests to other servers, as far as the operator allows them.
    pub outbound: outbound::Client,
    /// Where files come from that are not there.
    pub through: Arc<through::PullThrough>,
    /// What the operator may set.
    pub limits: Limits,
    /// Where files are published; without it no URL is signed and no signed URL is right.
    pub public_url: Option<link::PublicUrl>,
}

/// What the operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How repeated wrong passwords are slowed down.
    pub slow_down: throttle::SlowDown,
    /// How far in the future a request's signature may expire, in seconds.
    pub signature_secs_max: u64,
    /// Limits of multipart uploads.
    pub multipart: multipart::Limits,
    /// Requests of an address and of a user.
    pub rate: rate::Limits,
    /// Uploads of one account at the same time; 0: no limit.
    pub uploads_per_account: u32,
    /// How callbacks are told.
    pub events: event::Limits,
    /// Limits of transfers from other servers.
    pub pull: fetch::Limits,
    /// How fast and how often everything is read again.
    pub scrub: scrub::Limits,
    /// How long leases are good for.
    pub lease: lease::Limits,
    /// How long what may be in another node's hands is left alone.
    pub sweep: sweep::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slow_down: throttle::SlowDown::default(),
            signature_secs_max: 7 * 86_400,
            multipart: multipart::Limits::default(),
            rate: rate::Limits::default(),
            uploads_per_account: 0,
            events: event::Limits::default(),
            pull: fetch::Limits::default(),
            scrub: scrub::Limits::default(),
            lease: lease::Limits::default(),
            sweep: sweep::Limits::default(),
        }
    }
}

impl Store {
    /// A service over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            catalog: parts.catalog,
            blobs: parts.blobs,
            started: parts.clock.now(),
            clock: parts.clock,
            vault: parts.vault,
            public_url: parts.public_url,
            passwords: Passwords::new(),
            throttle: Throttle::new(parts.limits.slow_down),
            callers: callers::Callers::default(),
            leases: lease::Leases::new(parts.limits.lease),
            rates: rate::Rates::new(parts.limits.rate),
            slots: slots::Slots::new(parts.limits.uploads_per_account),
            limits: parts.limits,
            joiner: multipart::Joiner::default(),
            prefixes: multipart::Prefixes::default(),
            turns: multipart::Turns::default(),
            arriving: live::Arriving::default(),
            bell: event::Bell::default(),
            outbound: parts.outbound,
            jobs: fetch::Jobs::default(),
            through: parts.through,
            scrub: scrub::Orders::default(),
            removals: tokio::sync::RwLock::default(),
        }))
    }

    fn now(&self) -> Time {
        self.0.clock.now()
    }
}
