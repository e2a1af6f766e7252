//! What the tests stand on: a server process, a small HTTP client that can also send what no client should, and a
//! session with the helpers that most tests need.
//!
//! What lives here: nothing that judges the product, except what holds for every answer (CORS, the two status headers).
//! The invariant: a server never outlives its test.

mod client;
mod engines;
mod form;
mod http;
mod nginx;
pub(crate) mod remote;
mod server;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

pub(crate) use client::{Client, code_of, rpc_raw};
pub(crate) use engines::Engines;
pub(crate) use form::{BOUNDARY, Form, content_type as form_type};
pub(crate) use http::{Answer, Ask, Connection, ask};
pub(crate) use nginx::Nginx;
pub(crate) use remote::Remote;
pub(crate) use server::{Server, Setup};

/// The first account of every server.
pub(crate) const ACCOUNT: &str = "acme";
/// Its first user.
pub(crate) const USER: &str = "anna";
/// That user's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// How long anything may take that is waited for. Only a broken server needs it, or one that waits for the lease of another
/// that died (70 s).
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tells threads that run until they are told to stop, also when the test that needs them fails.
pub(crate) struct Stops<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "compared with times that the server took")]
pub(crate) fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// SHA-256 in hex digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `len` bytes that look random and are the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
