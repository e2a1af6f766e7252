//! What a link's hash is made of: secret, URL (or its beginning), `?`, terms.

use md5::Md5;
use model::Secret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::Terms;

/// What a link is hashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashKind {
    /// MD5: what signers of the service use.
    #[default]
    Md5,
    /// SHA-256 (`va=2`).
    Sha256,
}

/// The hash of a link whose terms, written as `signed`, say `terms`.
pub(super) fn of(terms: &Terms, secret: &Secret, url: &str, signed: &str) -> Vec<u8> {
    digest(terms.hash, &[secret.expose(), hashed(url, terms.prefix), "?", signed])
}

/// Whether `hash` is the link's, compared in constant time. A link without terms has nothing after its URL, and signers
/// differ in whether it has its `?` then: both are right.
pub(super) fn is_right(
    terms: &Terms,
    secret: &Secret,
    url: &str,
    signed: &str,
    hash: &[u8],
) -> Choice {
    let right = of(terms, secret, url, signed).ct_eq(hash);
    if signed.is_empty() {
        right | digest(terms.hash, &[secret.expose(), url]).ct_eq(hash)
    } else {
        right
    }
}

/// The beginning of a URL that counts: so many characters, or all of it.
fn hashed(url: &str, prefix: Option<usize>) -> &str {
    let end = prefix.and_then(|p| url.char_indices().nth(p));
    end.map_or(url, |(at, _)| &url[..at])
}

fn digest(kind: HashKind, parts: &[&str]) -> Vec<u8> {
    fn all<D: Digest>(parts: &[&str]) -> Vec<u8> {
        let mut state = D::new();
        parts.iter().for_each(|part| state.update(part.as_bytes()));
        state.finalize().to_vec()
    }
    match kind {
        HashKind::Md5 => all::<Md5>(parts),
        HashKind::Sha256 => all::<Sha256>(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://cdn.example.com/acme/films/a.mp4";

    fn hex(terms: &Terms, signed: &str) -> String {
        let hash = of(terms, &Secret::new("s3cret"), URL, signed);
        hash.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Computed elsewhere: `printf '%s' 's3cret<url>?<terms>' | md5sum` (or `sha256sum`).
    #[test]
    fn known_hashes() {
        let mut terms = Terms::default();
        assert_eq!(hex(&terms, "e=1800000000"), "128e524f93782ac2b2c28b85b26b2287");
        terms.hash = HashKind::Sha256;
        assert_eq!(
            hex(&terms, "e=1800000000&va=2"),
            "d274f3c9f02ee973e3842ad72f90a94acedc9267e8b9c7aee0b06e5c98a6dc15"
        );
        let prefix = Terms { prefix: Some(35), ..Terms::default() };
        assert_eq!(hex(&prefix, "e=1800000000&p=35"), "61129bfb9fb031d0fdcff1d3d0ce4fa2");
    }

    #[test]
    fn how_much_of_the_url_counts() {
        assert_eq!(hashed(URL, None), URL);
        assert_eq!(hashed(URL, Some(35)), "https://cdn.example.com/acme/films/");
        assert_eq!(hashed(URL, Some(0)), "");
        for longer in [40, 41, usize::MAX] {
            assert_eq!(hashed(URL, Some(longer)), URL);
        }
        assert_eq!(hashed("https://h/é/x", Some(11)), "https://h/é", "characters, not bytes");
    }

    #[test]
    fn a_link_without_terms() {
        let (terms, secret) = (Terms::default(), Secret::new("s3cret"));
        for parts in [&["s3cret", URL][..], &["s3cret", URL, "?"]] {
            let hash = digest(HashKind::Md5, parts);
            assert!(bool::from(is_right(&terms, &secret, URL, "", &hash)));
            assert!(!bool::from(is_right(&terms, &secret, URL, "e=5", &hash)));
        }
    }
}
