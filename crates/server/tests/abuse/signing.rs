//! Signatures as clients make them (protocol.md, sections 8 and 10): the test's own, of SHA-256 alone.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::harness::{Ask, Client, ask, now_secs, sha256};

/// Where files are said to be published.
pub(crate) const BASE: &str = "https://cdn.example.com";
/// What signs URLs.
pub(crate) const URL_SECRET: &str = "a s3cret for links";

/// A key pair.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) secret: String,
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    assert!(key.len() <= 64, "a longer key would be hashed first");
    let padded =
        |pad: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ pad).collect() };
    let inner = Sha256::digest([&padded(0x36)[..], message].concat());
    Sha256::digest([&padded(0x5c)[..], &inner].concat()).into()
}

impl Pair {
    /// A new pair of the caller's account.
    pub(crate) fn make(client: &Client) -> Self {
        let pair = client.call("initKeyPair", json!([]));
        let text = |key: &str| pair[key].as_str().unwrap().to_owned();
        Self { access: text("access_key"), secret: text("secret_key") }
    }

    /// The header for a path with terms (`name=value`, beside key and expiry).
    pub(crate) fn header(&self, path: &str, expiry: u64, terms: &[&str]) -> String {
        let mut all = vec![format!("access_key={}", self.access), format!("expiry={expiry}")];
        all.extend(terms.iter().map(|term| (*term).to_owned()));
        all.sort();
        let message = format!("{path}?{}", all.join("&"));
        let signature = STANDARD.encode(hmac(self.secret.as_bytes(), message.as_bytes()));
        format!("{message}&signature={signature}")
    }

    /// A signed request that makes a directory.
    pub(crate) fn directory(&self, name: &str, expiry: u64) -> Ask {
        let term = format!("directory=/{name}");
        let header = self.header("/post/directory", expiry, &[&term]);
        ask("POST", "/post/directory")
            .with("X-Agile-Directory", format!("/{name}"))
            .with("X-Agile-Signature", header)
            .body("")
    }
}

/// A moment that is not over.
pub(crate) fn soon() -> u64 {
    now_secs() + 600
}

/// The target of a link to `path` with `terms`.
pub(crate) fn link(path: &str, terms: &str) -> String {
    let hash = sha256(format!("{URL_SECRET}{BASE}{path}?{terms}&va=2").as_bytes());
    format!("{path}?{terms}&va=2&h={hash}")
}

#[test]
fn the_mac_is_hmac_sha256() {
    // RFC 4231, test case 2.
    let mac = hmac(b"Jefe", b"what do ya want for nothing?");
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
