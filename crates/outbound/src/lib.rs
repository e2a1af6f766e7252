//! HTTP requests that the server makes itself: pulling content from other servers, telling others what happened.
//!
//! What lives here: which hosts may be talked to ([`Rules`]), which addresses never are, the check of the address that is
//! connected to, redirects, time-outs and bounds on what is read. What does not: what is done with the bytes, when a
//! request is made or made again (operations), and the configuration file.
//!
//! Invariants: a connection is opened only to an address that was checked after the name was resolved, so that a name
//! which changes its address in between wins nothing. No proxy is taken from the environment. Content is taken as it is
//! sent (no decompression). No text of an error holds credentials, a path or a query string.

mod address;
mod client;
mod error;
mod fetched;
mod location;
mod resolver;
mod rules;
#[cfg(test)]
mod tests;

pub use client::{Client, Get, Header, Post, Timeouts, trusting_the_system};
pub use error::{Error, Result};
pub use fetched::Fetched;
pub use location::{Credentials, Location};
pub use rules::{HostRule, Rules};
