//! What a GET shows beside its path (protocol.md, sections 9 and 10): a signed URL in its query, a token in its header.
//!
//! Pure. Whether the link is right is an operation (`ops::link`). Everything after the term `h` is ignored; before it, a
//! term that stands twice or cannot be read makes the link wrong, and a term that nobody knows is signed and has no
//! effect.

use std::net::IpAddr;

use http::{
    HeaderMap,
    header::{HeaderName, REFERER},
};
use ops::{
    link::{Given, HashKind, Link, Network, Rate, Referer, Shown, Terms, referer_domain},
    model::Secret,
};
use percent_encoding::percent_decode_str;

use crate::reply::Request;

/// The token's header.
pub(super) const AUTHORIZATION: HeaderName = HeaderName::from_static("x-agile-authorization");

/// What a request shows.
pub(super) fn shown(request: &Request, from: Option<IpAddr>) -> Shown {
    let headers = request.headers();
    Shown {
        path: request.uri().path().to_owned(),
        token: token(headers),
        link: request.uri().query().map_or(Given::Nothing, read),
        from,
        referer: referer(headers),
    }
}

/// The token; none where the header stands twice.
fn token(headers: &HeaderMap) -> Option<Secret> {
    let mut tokens = headers.get_all(AUTHORIZATION).iter();
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => token.to_str().ok().map(Secret::new),
        _ => None,
    }
}

/// The signed URL in a query.
pub(super) fn read(query: &str) -> Given {
    let mut at: usize = 0;
    for term in query.split('&') {
        let (name, value) = term.split_once('=').unwrap_or((term, ""));
        if name == "h" {
            let signed = &query[..at.saturating_sub(1)];
            return match (hex(value), terms(signed)) {
                (Some(hash), Some(terms)) => {
                    Given::Link(Box::new(Link { signed: signed.to_owned(), terms, hash }))
                }
                _ => Given::Unreadable,
            };
        }
        at += term.len() + 1;
    }
    Given::Nothing
}

/// What the terms before the hash say.
fn terms(signed: &str) -> Option<Terms> {
    let mut terms = Terms::default();
    let (mut free_kb, mut kb_per_sec) = (0, None);
    let mut seen: Vec<&str> = Vec::new();
    for term in signed.split('&').filter(|term| !term.is_empty()) {
        let (name, value) = term.split_once('=').unwrap_or((term, ""));
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match name {
            "s" => terms.start = Some(number(value)?),
            "e" => terms.end = Some(number(value)?),
            "ip" => terms.network = Some(Network::parse(&text(value)?)?),
            "p" => terms.prefix = Some(usize::try_from(number(value)?).ok()?),
            "r" => terms.referers = domains(&text(value)?)?,
            "ri" => free_kb = number(value)?,
            "rs" => kb_per_sec = Some(number(value)?),
            "va" if value == "2" => terms.hash = HashKind::Sha256,
            "va" => return None,
            "dl" if value == "1" => terms.attachment = true,
            "dl" => return None,
            _ => {}
        }
    }
    // Without `rs` there is no rate, and nothing that `ri` could be free of.
    if let Some(kb_per_sec) = kb_per_sec {
        terms.rate = Some(Rate::limited(free_kb, kb_per_sec)?);
    }
    Some(terms)
}

/// A percent-decoded value.
fn text(value: &str) -> Option<String> {
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn number(value: &str) -> Option<u64> {
    value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

/// Domains between commas; one at least.
fn domains(text: &str) -> Option<Vec<String>> {
    let list: Option<Vec<_>> = text.split(',').map(|d| referer_domain(d.trim())).collect();
    list.filter(|list| !list.is_empty())
}

/// The bytes that hex digits of either case say.
fn hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// The page a request was made on. Only a URL with a host names one; what stands before an `@` is no host.
pub(super) fn referer(headers: &HeaderMap) -> Referer {
    let mut values = headers.get_all(REFERER).iter();
    let Some(value) = values.next() else { return Referer::Unsaid };
    let text = value.to_str().unwrap_or("-");
    if values.next().is_some() {
        return Referer::Nameless;
    }
    if text.is_empty() {
        return Referer::Unsaid;
    }
    host(text).map_or(Referer::Nameless, Referer::Host)
}

fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff";

    fn link(query: &str) -> Link {
        match read(query) {
            Given::Link(link) => *link,
            Given::Nothing | Given::Unreadable => panic!("{query}"),
        }
    }

    #[test]
    fn what_is_signed_ends_before_the_hash() {
        for (query, signed) in [
            (format!("e=5&h={HASH}"), "e=5"),
            (format!("e=5&x=%26h%3D1&h={HASH}&e=9&h=zz&dl=1"), "e=5&x=%26h%3D1"),
            (format!("h={HASH}"), ""),
            (format!("h={HASH}&e=5"), ""),
            (format!("e=5&&h={HASH}"), "e=5&"),
            (format!("hh=1&H=2&h={}", HASH.to_uppercase()), "hh=1&H=2"),
        ] {
            let link = link(&query);
            assert_eq!(link.signed, signed);
            assert_eq!(link.hash[..3], [0, 0x11, 0x22]);
            assert!(!link.terms.attachment && link.terms.end.is_none_or(|e| e == 5));
        }
        for query in ["", "e=5", "x=1&y&&", "ah=1&%68=5", "e=5#h=00"] {
            assert!(matches!(read(query), Given::Nothing), "{query}");
        }
    }

    #[test]
    fn terms_in_any_order() {
        let all = "rs=20&p=7&va=2&dl=1&ri=30&r=.A.com,b.org&e=2&ip=10.0.0.0%2F8&s=1&other=x";
        let expected = Terms {
            start: Some(1),
            end: Some(2),
            network: Network::parse("10.0.0.0/8"),
            prefix: Some(7),
            referers: vec!["a.com".to_owned(), "b.org".to_owned()],
            rate: Rate::limited(30, 20),
            attachment: true,
            hash: HashKind::Sha256,
        };
        assert_eq!(terms(all).unwrap(), expected);
        let mut reversed: Vec<_> = all.split('&').collect();
        reversed.reverse();
        assert_eq!(terms(&reversed.join("&")).unwrap(), expected);
        assert_eq!(terms("ri=5").unwrap(), Terms::default());
        assert_eq!(terms("rs=99999&ri=99999").unwrap().rate, Rate::limited(20_000, 10_000));
        assert_eq!(terms("r=a.com%2Cb.com").unwrap().referers.len(), 2);
    }

    #[test]
    fn unreadable() {
        for bad in [
            "e=5&e=5",
            "x=1&x=2",
            "e=",
            "e",
            "e=-1",
            "e=+1",
            "e=1.5",
            "e=0x5",
            "e=99999999999999999999",
            "s=%31",
            "ip=",
            "ip=10.0.0.0/33",
            "ip=host",
            "ip=%ff",
            "p=-1",
            "p=",
            "r=",
            "r=,",
            "r=a,,b",
            "r=a/b",
            "rs=0",
            "rs=",
            "ri=x&rs=1",
            "ri=x",
            "va=1",
            "va=3",
            "va=",
            "va=02",
            "dl=",
            "dl=yes",
        ] {
            assert_eq!(terms(bad), None, "{bad}");
            assert!(matches!(read(&format!("{bad}&h={HASH}")), Given::Unreadable), "{bad}");
        }
        for bad in ["h", "h=", "h=0", "h=zz", "h=é", "h=%30%30", "e=5&h&h=00"] {
            assert!(matches!(read(bad), Given::Unreadable), "{bad}");
        }
    }

    #[test]
    fn hosts_of_pages() {
        for (url, named) in [
            ("https://www.Example.com/a?b", Some("www.example.com")),
            ("http://example.com", Some("example.com")),
            ("http://example.com.:8080/", Some("example.com")),
            ("http://example.com@evil.org/", Some("evil.org")),
            ("http://evil.org#@example.com", Some("evil.org")),
            ("http://evil.org\\@example.com", Some("evil.org")),
            ("http://evil.org?@example.com", Some("evil.org")),
            ("http://[::1]:80/", Some("::1")),
            ("http://[::1]/", Some("::1")),
            ("/page", None),
            ("example.com", None),
            ("http:///x", None),
            ("about:blank", None),
        ] {
            assert_eq!(host(url).as_deref(), named, "{url}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(referer(&headers), Referer::Unsaid);
        headers.insert(REFERER, HeaderValue::from_static(""));
        assert_eq!(referer(&headers), Referer::Unsaid);
        headers.insert(REFERER, HeaderValue::from_bytes(b"http://\xff/").unwrap());
        assert_eq!(referer(&headers), Referer::Nameless);
        headers.insert(REFERER, HeaderValue::from_static("http://a/"));
        assert_eq!(referer(&headers), Referer::Host("a".to_owned()));
        headers.append(REFERER, HeaderValue::from_static("http://a/"));
        assert_eq!(referer(&headers), Referer::Nameless);
    }

    #[test]
    fn a_token_that_stands_twice_is_none() {
        let mut headers = HeaderMap::new();
        assert!(token(&headers).is_none());
        headers.append(AUTHORIZATION, HeaderValue::from_static("a"));
        assert_eq!(token(&headers).unwrap().expose(), "a");
        headers.append(AUTHORIZATION, HeaderValue::from_static("a"));
        assert!(token(&headers).is_none());
    }

    proptest! {
        #[test]
        fn never_panics(query in "([a-z]{1,2}=[0-9a-f%,./é]{0,6}&?){0,6}(h=)?.{0,8}") {
            read(&query);
            host(&query);
        }
    }
}
