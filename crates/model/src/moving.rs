//! A move of a whole store to other engines: what the catalogs of both ends say of it.
//!
//! What is not here: how a store is moved (`ops::migrate`), and how a catalog keeps the changes that are made meanwhile.

use crate::Time;

/// What a catalog says of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moving {
    /// A random number: both ends of one move have the same.
    pub id: u64,
    /// What the other end is called for operators; it holds no secret.
    pub place: String,
    /// When it began.
    pub begun: Time,
    /// Changes are noted under this number. It grows with each pass over what was noted before.
    pub epoch: u64,
    /// How far it is.
    pub stage: Stage,
}

/// How far a move is, seen from one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The old place: it is being copied. Changes go on and are noted.
    Leaving,
    /// The old place: no more changes; the last of them are being copied.
    Closing,
    /// The old place: the store is elsewhere.
    Gone,
    /// The new place: it is not whole yet.
    Coming,
    /// The new place: it came from elsewhere, and is a store like any other.
    Arrived,
}

impl Moving {
    /// Whether nothing is changed but by whoever moves it.
    pub fn is_closed(&self) -> bool {
        match self.stage {
            Stage::Closing | Stage::Gone | Stage::Coming => true,
            Stage::Leaving | Stage::Arrived => false,
        }
    }

    /// The number under which changes are noted; `None`: they are not.
    pub fn noted_under(&self) -> Option<u64> {
        matches!(self.stage, Stage::Leaving | Stage::Closing).then_some(self.epoch)
    }
}

impl Stage {
    /// What operators are told.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Leaving => "leaving",
            Stage::Closing => "closing",
            Stage::Gone => "gone",
            Stage::Coming => "coming",
            Stage::Arrived => "arrived",
        }
    }
}
