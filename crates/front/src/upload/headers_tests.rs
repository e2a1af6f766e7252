//! Tests of `headers`: every value the contract names, and those it refuses.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn with(name: HeaderName, value: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.append(name, HeaderValue::from_bytes(value).unwrap());
    map
}

#[test]
fn twice_is_the_code_of_the_value() {
    for (name, fault) in [
        (AUTHORIZATION, Fault::TokenTwice),
        (MTIME, Fault::Fact(Error::InvalidMtime)),
        (BASENAME, Fault::Fact(Error::InvalidPath)),
        (EXPIRY, Fault::Fact(Error::InvalidExpiry)),
        (ENCODING, Fault::Encoding),
        (CHECKSUM, Fault::Checksum),
        (HeaderName::from_static("x-agile-other"), Fault::HeaderTwice),
    ] {
        let mut map = with(name.clone(), b"1");
        assert_eq!(once_each(&map), Ok(()));
        map.append(name, HeaderValue::from_static("1"));
        assert_eq!(once_each(&map), Err(fault));
    }
    let mut map = with(LEGACY_CONTENT_TYPE, b"a");
    map.append(LEGACY_CONTENT_TYPE, HeaderValue::from_static("b"));
    assert_eq!(once_each(&map), Ok(()));
}

#[test]
fn codings() {
    assert_eq!(coding(&HeaderMap::new(), ENCODING), Ok(Coding::Plain));
    for value in ["UTF8", "utf8", "UTF-8", "Utf-8"] {
        assert_eq!(coding(&with(ENCODING, value.as_bytes()), ENCODING), Ok(Coding::Utf8));
    }
    for value in ["", "UTF7", "UTF 8", "latin1", "\u{e9}"] {
        assert_eq!(coding(&with(ENCODING, value.as_bytes()), ENCODING), Err(Fault::Encoding));
    }
}

#[test]
fn recursive_words() {
    for (value, expected) in [
        ("true", Ok(true)),
        ("YES", Ok(true)),
        ("1", Ok(true)),
        ("False", Ok(false)),
        ("no", Ok(false)),
        ("0", Ok(false)),
        ("", Err(Fault::Recursive)),
        ("2", Err(Fault::Recursive)),
        ("maybe", Err(Fault::Recursive)),
    ] {
        assert_eq!(recursive(&with(RECURSIVE, value.as_bytes()), true), expected, "{value}");
    }
    assert_eq!(recursive(&HeaderMap::new(), true), Ok(true));
    assert_eq!(recursive(&HeaderMap::new(), false), Ok(false));
}

#[test]
fn numbers() {
    let invalid = || Err(Fault::Fact(Error::InvalidMtime));
    for (value, expected) in [
        ("0", Ok(None)),
        ("1461885068", Ok(Some(1_461_885_068))),
        ("253402300799", Ok(Some(limits::MTIME_MAX))),
        ("253402300800", invalid()),
        ("-1", invalid()),
        ("+1", invalid()),
        ("1.5", invalid()),
        ("", invalid()),
        ("x", invalid()),
        ("18446744073709551616", invalid()),
    ] {
        assert_eq!(mtime(&with(MTIME, value.as_bytes())), expected, "{value}");
    }
    assert_eq!(mtime(&HeaderMap::new()), Ok(None));
    assert_eq!(expiry(&HeaderMap::new()), Ok(3600));
    assert_eq!(expiry(&with(EXPIRY, b"86400")), Ok(86_400));
    for value in ["0", "86401", "-1", "1h", ""] {
        assert_eq!(expiry(&with(EXPIRY, value.as_bytes())), Err(Fault::Fact(Error::InvalidExpiry)));
    }
}

#[test]
fn checksums_and_exposure() {
    let hex = Digest::EMPTY.to_hex();
    assert_eq!(checksum(&with(CHECKSUM, hex.as_bytes())), Ok(Some(Digest::EMPTY)));
    assert_eq!(checksum(&HeaderMap::new()), Ok(None));
    for value in ["", "abc", &hex[1..], &format!("{hex}0")] {
        assert_eq!(checksum(&with(CHECKSUM, value.as_bytes())), Err(Fault::Checksum));
    }
    let exposed = |value: &str| expose(&with(EXPOSE_EGRESS, value.as_bytes()));
    assert_eq!(exposed("COMPLETE"), Ok(Expose::Complete));
    assert_eq!(exposed("partial"), Ok(Expose::Partial));
    assert_eq!(exposed("Policy"), Ok(Expose::Complete));
    assert_eq!(expose(&HeaderMap::new()), Ok(Expose::Complete));
    for value in ["", "NEVER"] {
        assert_eq!(expose(&with(EXPOSE_EGRESS, value.as_bytes())), Err(Fault::Expose));
    }
}

#[test]
fn content_types() {
    let said = |value: &str| content_type(&with(CONTENT_TYPE, value.as_bytes()));
    assert_eq!(said("text/x"), Ok(Some(TypeSaid::Type(ContentType::parse("text/x").unwrap()))));
    assert_eq!(said("application/octet-stream"), Ok(Some(TypeSaid::Look(Detect::Name))));
    assert_eq!(said("name"), Ok(Some(TypeSaid::Look(Detect::Name))));
    assert_eq!(said("Content"), Ok(Some(TypeSaid::Look(Detect::Content))));
    assert_eq!(said("AUTO"), Ok(Some(TypeSaid::Look(Detect::Auto))));
    assert_eq!(said(""), Ok(None));
    for value in ["nonsense", "foo/bar", "text/\u{e9}"] {
        assert_eq!(said(value), Err(Fault::Fact(Error::InvalidContentType)), "{value}");
    }
    let legacy = |value: &str| legacy_content_type(&with(LEGACY_CONTENT_TYPE, value.as_bytes()));
    assert_eq!(legacy("text/x").unwrap().as_str(), "text/x");
    for value in ["auto", "", "nonsense", "application/octet-stream"] {
        assert_eq!(legacy(value), None, "{value}");
    }
    assert_eq!(detect(&with(CONTENT_DETECT, b"Name")), Ok(Some(Detect::Name)));
    assert_eq!(detect(&with(CONTENT_DETECT, b"magic")), Err(Fault::Detect));
}

#[test]
fn texts_are_utf8_or_latin1() {
    assert_eq!(text(&with(USERNAME, "jörg".as_bytes()), USERNAME).unwrap(), "jörg");
    assert_eq!(text(&with(USERNAME, b"j\xf6rg"), USERNAME).unwrap(), "jörg");
}

proptest! {
    #[test]
    fn no_value_panics(value in prop::collection::vec(any::<u8>(), 0..80)) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let mut map = HeaderMap::new();
        for name in [
            ENCODING, RECURSIVE, MTIME, EXPIRY, CHECKSUM, CONTENT_TYPE, CONTENT_DETECT,
            EXPOSE_EGRESS, LEGACY_CONTENT_TYPE, BASENAME, USERNAME,
        ] {
            map.insert(name, value.clone());
        }
        let _ = (coding(&map, ENCODING), recursive(&map, true), mtime(&map), expiry(&map));
        let _ = (checksum(&map), content_type(&map), detect(&map), expose(&map));
        let _ = (legacy_content_type(&map), text(&map, USERNAME));
        let _ = (name(&map, BASENAME, Coding::Plain), name(&map, BASENAME, Coding::Utf8));
    }
}
