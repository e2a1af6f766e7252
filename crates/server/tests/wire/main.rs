//! The contract at the wire: the real binary, spoken to as clients speak to it (protocol.md).
//!
//! What lives here: one module a part of the contract, each test with a server of its own. What does not: how the server
//! does it (unit tests beside the code), crashes inside a step (crash tests), load. The invariant: every expected value
//! is copied from protocol.md, never from what the server happens to answer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]

#[allow(dead_code, reason = "other test binaries take it, too, and use more of it")]
mod harness;

mod abuse_http;
mod abuse_rpc;
mod admin;
mod attributes;
mod content_types;
mod directory;
mod durability;
mod egress;
mod envelope;
mod events;
mod flows;
mod form;
mod form_refusals;
mod limits;
mod limits_quota;
mod limits_rate;
mod listing;
mod listing_path;
mod multipart;
mod multipart_http;
mod multipart_listing;
mod multipart_races;
mod namespace;
mod partial;
mod paths;
mod permission;
mod private_accounts;
mod pull;
mod pull_refusals;
mod pull_through;
mod races;
mod refusals;
mod sessions;
mod sessions_http;
mod signed;
mod signed_urls;
mod transport;
mod upload;
