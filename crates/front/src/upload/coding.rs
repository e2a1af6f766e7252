//! Names in headers (protocol.md, section 7, "Names beyond ASCII"): percent-coding in both directions.
//!
//! Pure. What does not live here: when a name is a valid path (`model::TreePath`).

use ops::model::Error;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// How the names of a request are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are; ASCII only.
    Plain,
    /// Percent-encoded UTF-8, `+` a space.
    Utf8,
}

/// What percent-encoding leaves alone: unreserved characters and `/`.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Reads a name.
///
/// # Errors
/// [`Error::InvalidPath`]: a byte above 0x7f where names are plain, or what is no UTF-8 once decoded. A `%` that no two
/// hex digits follow stands for itself.
pub(super) fn decode(value: &[u8], coding: Coding) -> Result<String, Error> {
    let bytes = match coding {
        Coding::Plain if !value.is_ascii() => return Err(Error::InvalidPath),
        Coding::Plain => value.to_vec(),
        Coding::Utf8 => {
            let spaced: Vec<u8> =
                value.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
            percent_decode(&spaced).collect()
        }
    };
    String::from_utf8(bytes).map_err(|_| Error::InvalidPath)
}

/// Writes a path for a header. A plain one that no header could carry unharmed is percent-encoded all the same.
pub(super) fn encode(path: &str, coding: Coding) -> String {
    let plain = path.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match coding {
        Coding::Plain if plain => path.to_owned(),
        Coding::Plain | Coding::Utf8 => utf8_percent_encode(path, ENCODED).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes() {
        for (value, name) in [
            ("a+b%20c", "a b c"),
            ("%e4%bb%8a%E6%97%A5", "今日"),
            ("%2b", "+"),
            ("%252e%252e", "%2e%2e"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("今日", "今日"),
        ] {
            assert_eq!(decode(value.as_bytes(), Coding::Utf8).unwrap(), name, "{value}");
        }
        assert_eq!(decode(b"a+b%20c", Coding::Plain).unwrap(), "a+b%20c");
        for bad in ["%ff", "%c0%af", "%ed%a0%80"] {
            assert_eq!(decode(bad.as_bytes(), Coding::Utf8), Err(Error::InvalidPath), "{bad}");
        }
        assert_eq!(decode("é".as_bytes(), Coding::Plain), Err(Error::InvalidPath));
        assert_eq!(decode(b"\xe9", Coding::Utf8), Err(Error::InvalidPath));
    }

    #[test]
    fn encodes() {
        assert_eq!(encode("/acme/a b+c", Coding::Plain), "/acme/a b+c");
        assert_eq!(encode("/acme/a b+c~", Coding::Utf8), "/acme/a%20b%2Bc~");
        assert_eq!(encode("/acme/é", Coding::Plain), "/acme/%C3%A9");
        assert_eq!(encode("/acme/\r\nX-Y: z", Coding::Plain), "/acme/%0D%0AX-Y%3A%20z");
    }

    proptest! {
        #[test]
        fn a_coded_name_comes_back(name in "/.{0,40}") {
            let coded = encode(&name, Coding::Utf8);
            prop_assert_eq!(decode(coded.as_bytes(), Coding::Utf8).unwrap(), name);
        }

        #[test]
        fn what_is_encoded_is_a_header_value(name in prop::collection::vec(any::<char>(), 0..40)) {
            let name: String = name.into_iter().collect();
            for coding in [Coding::Plain, Coding::Utf8] {
                let value = encode(&name, coding);
                prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)));
            }
        }

        #[test]
        fn never_panics(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (decode(&value, Coding::Plain), decode(&value, Coding::Utf8));
        }
    }
}
