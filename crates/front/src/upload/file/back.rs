//! Where a browser is sent after an upload: `return_url`, or the page it came from.
//!
//! Pure. The invariant: what comes out is a header value, and names an http(s) URL or a path of this server, never
//! anything that a browser would run or read as another host.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::super::codes::Fault;

/// Longest URL that anybody is sent to, in bytes.
const URL_BYTES_MAX: usize = 8 * 1024;

/// What a URL cannot hold, or what browsers read as something else.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The value of `Location` for a URL.
///
/// # Errors
/// [`Fault::ReturnUrl`]: neither an http(s) URL nor an absolute path, or with control characters.
pub(super) fn location(url: &str) -> Result<String, Fault> {
    let clean = url.len() <= URL_BYTES_MAX && !url.chars().any(char::is_control);
    if clean && (is_path(url) || is_web(url)) {
        Ok(utf8_percent_encode(url, ENCODED).to_string())
    } else {
        Err(Fault::ReturnUrl)
    }
}

/// An absolute path. Two slashes begin a host, and browsers read a backslash as a slash.
fn is_path(url: &str) -> bool {
    let second = url.strip_prefix('/').map(str::as_bytes).map(<[u8]>::first);
    second.is_some_and(|second| !matches!(second, Some(b'/' | b'\\')))
}

/// An http(s) URL with a host.
fn is_web(url: &str) -> bool {
    let host = ["http://", "https://"].into_iter().find_map(|scheme| {
        let (begins, host) = url.split_at_checked(scheme.len())?;
        begins.eq_ignore_ascii_case(scheme).then_some(host)
    });
    let first = host.and_then(|host| host.bytes().next());
    first.is_some_and(|first| !matches!(first, b'/' | b'\\' | b'?' | b'#'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn taken() {
        for (url, location) in [
            ("http://example.com/done?a=b#c", "http://example.com/done?a=b#c"),
            ("HTTPS://example.com", "HTTPS://example.com"),
            ("http://[::1]:8080/%20", "http://[::1]:8080/%20"),
            ("/", "/"),
            ("/done?to=http://x//", "/done?to=http://x//"),
            ("/a b\\c\u{e9}", "/a%20b%5Cc%C3%A9"),
        ] {
            assert_eq!(super::location(url).as_deref(), Ok(location), "{url}");
        }
    }

    #[test]
    fn refused() {
        for url in [
            "",
            "javascript:alert(1)",
            " /a",
            "//host",
            "/\\host",
            "///host",
            "\\\\host",
            "done",
            "http:done",
            "http://",
            "http:///host",
            "http://?",
            "https:/\\host",
            "ftp://host/",
            "data:text/html,x",
            "/a\r\nX-Y: z",
            "/\t/host",
            "http://a\n",
            "/a\0",
            "/\u{85}",
            "httpé://a",
        ] {
            assert_eq!(location(url), Err(Fault::ReturnUrl), "{url:?}");
        }
        assert!(location(&format!("/{}", "a".repeat(URL_BYTES_MAX - 1))).is_ok());
        assert!(location(&format!("/{}", "a".repeat(URL_BYTES_MAX))).is_err());
    }

    proptest! {
        #[test]
        fn a_location_is_a_header_value(
            url in prop_oneof!["/.{0,40}", "https?://.{0,40}", ".{0,40}"],
        ) {
            if let Ok(location) = location(&url) {
                prop_assert!(location.bytes().all(|b| (b'!'..=b'~').contains(&b)), "{location}");
                prop_assert!(!location.starts_with("//") && !location.contains('\\'));
            }
        }
    }
}
