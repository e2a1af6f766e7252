//! `X-Agile-Signature` (protocol.md, section 8): what a signed request says it signs, and whether that is what it asks
//! for. Whether the signature is right is an operation (`ops::signature`).
//!
//! Pure. A value that can be read in two ways is refused: signers should percent-encode values, so that `&` and `=` in
//! them stand for themselves.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use ops::signature::Signed;

/// The header.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("x-agile-signature");

const PREFIX: &str = "x-agile-";
/// What stands between what is signed and the signature.
const MARK: &[u8] = b"&signature=";
/// Longest header that is read.
const BYTES_MAX: usize = 32 * 1024;

/// Reads a request's signature. `None`: it is not one, or it signs another request than this one.
pub(super) fn read(path: &str, headers: &HeaderMap) -> Option<Signed> {
    let mut values = headers.get_all(SIGNATURE).iter();
    let (value, None) = (values.next()?.as_bytes().trim_ascii(), values.next()) else {
        return None;
    };
    if value.len() > BYTES_MAX {
        return None;
    }
    let mark = value.windows(MARK.len()).rposition(|window| window == MARK)?;
    let (message, signature) = (&value[..mark], &value[mark + MARK.len()..]);
    let signature = STANDARD.decode(signature).ok().or_else(|| {
        // `+`, `/` and `=` may have been encoded, like every value of a query.
        let decoded: Vec<u8> = percent_encoding::percent_decode(signature).collect();
        STANDARD.decode(decoded).ok()
    })?;
    let question = message.iter().position(|b| *b == b'?')?;
    if &message[..question] != path.as_bytes() {
        return None;
    }
    let terms = terms(&message[question + 1..])?;
    if !signs(&terms, headers) {
        return None;
    }
    let text = |name: &[u8]| {
        let value = terms.iter().find(|(n, _)| *n == name)?.1;
        String::from_utf8(decode(value)).ok()
    };
    let expiry = text(b"expiry")?;
    let expiry =
        expiry.bytes().all(|b| b.is_ascii_digit()).then(|| expiry.parse().ok()).flatten()?;
    Some(Signed { access_key: text(b"access_key")?, expiry, message: message.to_vec(), signature })
}

type Term<'a> = (&'a [u8], &'a [u8]);

/// The terms of a query. `None`: a term has no name or stands twice.
fn terms(query: &[u8]) -> Option<Vec<Term<'_>>> {
    let mut terms: Vec<Term<'_>> = Vec::new();
    for term in query.split(|b| *b == b'&') {
        let equals = term.iter().position(|b| *b == b'=')?;
        let (name, value) = (&term[..equals], &term[equals + 1..]);
        if name.is_empty() || terms.iter().any(|(other, _)| *other == name) {
            return None;
        }
        terms.push((name, value));
    }
    Some(terms)
}

/// Whether every `X-Agile-*` header but the signature has its term, and every other term its header.
fn signs(terms: &[Term<'_>], headers: &HeaderMap) -> bool {
    let mut signed = 2;
    for name in headers.keys().filter(|name| **name != SIGNATURE) {
        let Some(short) = name.as_str().strip_prefix(PREFIX) else { continue };
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let value = value.as_bytes().trim_ascii();
        let same = |term: &[u8]| term == value || decode(term) == value;
        if !terms.iter().any(|(term, said)| *term == short.as_bytes() && same(said)) {
            return false;
        }
        signed += 1;
    }
    let has = |name: &[u8]| terms.iter().any(|(term, _)| *term == name);
    has(b"access_key") && has(b"expiry") && terms.len() == signed
}

/// URL-decoding: `+` is a space.
fn decode(value: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = value.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_encoding::percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
            })
            .collect()
    }

    const BASE: &str = "/post/raw?access_key=ab&basename=";

    fn read_with(value: &str, others: &[(&str, &str)]) -> Option<Signed> {
        let mut list = vec![("X-Agile-Signature", value)];
        list.extend(others);
        read("/post/raw", &headers(&list))
    }

    #[test]
    fn raw_and_encoded_values() {
        for name in ["my file.txt", "my%20file.txt", "my+file.txt"] {
            let value = format!("{BASE}{name}&expiry=1700000000&signature=AAEC");
            let signed = read_with(&value, &[("X-Agile-Basename", "my file.txt")]).unwrap();
            assert_eq!((signed.access_key.as_str(), signed.expiry), ("ab", 1_700_000_000));
            assert_eq!(signed.signature, [0, 1, 2]);
            assert_eq!(signed.message, value.split("&signature").next().unwrap().as_bytes());
        }
        let value = format!("{BASE}a&expiry=1&signature=%2Bw%3D%3D");
        assert_eq!(read_with(&value, &[("X-Agile-Basename", "a")]).unwrap().signature, [0xfb]);
    }

    #[test]
    fn headers_and_terms_must_be_the_same() {
        let value = format!("{BASE}a&expiry=1&signature=AAEC");
        let base = ("X-Agile-Basename", "a");
        assert!(read_with(&value, &[base, ("Content-Type", "x/y"), ("Host", "h")]).is_some());
        assert!(read_with(&value, &[]).is_none(), "a term without its header");
        assert!(read_with(&value, &[base, ("X-Agile-Directory", "/")]).is_none(), "unsigned");
        assert!(read_with(&value, &[("X-Agile-Basename", "b")]).is_none(), "another value");
        assert!(read("/post/file", &headers(&[("X-Agile-Signature", &value), base])).is_none());
        let mut twice = headers(&[("X-Agile-Signature", &value), base]);
        twice.append("x-agile-basename", HeaderValue::from_static("a"));
        assert!(read("/post/raw", &twice).is_none(), "sent twice");
        twice.remove("x-agile-basename");
        twice.append("x-agile-basename", HeaderValue::from_static("a"));
        assert!(read("/post/raw", &twice).is_some());
        twice.append(SIGNATURE, HeaderValue::from_static("x"));
        assert!(read("/post/raw", &twice).is_none(), "two signatures");
    }

    #[test]
    fn what_is_no_signature() {
        for value in [
            "",
            "x",
            "/post/raw?access_key=ab&expiry=1",
            "/post/raw&signature=AAEC",
            "/post/raw?&signature=AAEC",
            "/post/raw?access_key=ab&signature=AAEC",
            "/post/raw?expiry=1&signature=AAEC",
            "/post/raw?access_key=ab&expiry=-1&signature=AAEC",
            "/post/raw?access_key=ab&expiry=99999999999999999999&signature=AAEC",
            "/post/raw?access_key=ab&access_key=ab&expiry=1&signature=AAEC",
            "/post/raw?access_key=ab&expiry=1&signature=A",
        ] {
            assert!(read_with(value, &[]).is_none(), "{value}");
        }
        assert!(read_with("/post/raw?access_key=ab&expiry=1&signature=AAEC", &[]).is_some());
    }
}
