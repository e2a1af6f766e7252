//! Which content a browser may make a document of, and what such a document may do.
//!
//! A document that a user uploaded runs in an origin of its own that nothing else has: its scripts work, but they see
//! neither storage nor pages of whatever else is served under this host name. What does not live here: whether the
//! operator wants that (`settings`); `nosniff`, without which a type would say nothing (`route`).

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

const CONTENT_SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");

/// Everything but what would make it the host's own page, and but leading its reader away unasked.
const SANDBOX: &str = "sandbox allow-downloads allow-forms allow-modals allow-orientation-lock \
     allow-pointer-lock allow-popups allow-presentation allow-scripts \
     allow-top-navigation-by-user-activation";

/// Adds the header to an answer that a browser may make a document of.
pub(super) fn confine(headers: &mut HeaderMap) {
    let inert = headers.get(CONTENT_TYPE).is_some_and(|kind| is_inert(kind.as_bytes()));
    if !inert {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    }
}

/// Types that are no documents, or documents in which nothing runs. PDF is among them: what runs in one runs in its
/// viewer, which has no origin, and which browsers do not start in a sandbox.
const INERT: &[&str] = &[
    "application/gzip",
    "application/javascript",
    "application/json",
    "application/mp4",
    "application/octet-stream",
    "application/pdf",
    "application/vnd.apple.mpegurl",
    "application/wasm",
    "application/x-javascript",
    "application/x-mpegurl",
    "application/zip",
    "text/css",
    "text/csv",
    "text/javascript",
    "text/plain",
    "text/vtt",
];

/// Whether nothing of this type can run. What is not known can.
fn is_inert(kind: &[u8]) -> bool {
    let essence = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let begins = |top: &str| {
        essence.len() > top.len() && essence[..top.len()].eq_ignore_ascii_case(top.as_bytes())
    };
    let media = ["audio/", "font/", "image/", "video/"].iter().any(|top| begins(top));
    // SVG, and whatever else is XML: it can bring scripts and style sheets of its own.
    let xml = essence.len() >= 3 && essence[essence.len() - 3..].eq_ignore_ascii_case(b"xml");
    (media && !xml) || INERT.iter().any(|inert| essence.eq_ignore_ascii_case(inert.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for kind in ["video/mp4", "IMAGE/png", "text/plain;charset=utf-8", "Application/JSON ; a=b"]
        {
            assert!(is_inert(kind.as_bytes()), "{kind}");
        }
        for kind in [
            "text/html",
            "Text/HTML;charset=utf-8",
            "image/svg+xml",
            "image/SVG+XML; a=b",
            "video/x-xml",
            "text/xml",
            "application/xhtml+xml",
            "application/rss+xml",
            "text/xsl",
            "multipart/x-mixed-replace;boundary=x",
            "message/rfc822",
            "text/x-component",
            "image/",
            "",
            ";video/mp4",
        ] {
            assert!(!is_inert(kind.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn an_answer_without_a_type_is_confined() {
        let mut headers = HeaderMap::new();
        confine(&mut headers);
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("sandbox "));
        assert!(!SANDBOX.contains("allow-same-origin"));
    }
}
