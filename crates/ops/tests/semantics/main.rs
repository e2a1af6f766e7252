//! Operations over the real engines in a fresh directory: what does not need a protocol to be tested.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod backup;
mod fsck;
mod harness;
mod known;
mod limits;
mod nodes;
mod permission;
mod pieces;
mod sessions;
mod tree_model;
