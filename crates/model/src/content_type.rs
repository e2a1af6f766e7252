//! Content types: when one given by a client is valid (protocol.md, section 12). How one is detected is an operation.

use std::fmt;

use crate::{Error, Result, limits};

/// Registered top-level types (IANA, RFC 6838 and its successors).
const TOP_LEVEL: [&str; 11] = [
    "application",
    "audio",
    "example",
    "font",
    "haptics",
    "image",
    "message",
    "model",
    "multipart",
    "text",
    "video",
];

/// A syntactically correct `type/subtype`, parameters allowed, of a registered top-level type.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContentType(String);

impl ContentType {
    /// Reads a type as a client gave it.
    ///
    /// # Errors
    /// [`Error::InvalidContentType`] when it is longer than 255 bytes or breaks RFC 9110, section 8.3.1.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim_matches([' ', '\t']);
        if text.len() > limits::CONTENT_TYPE_BYTES_MAX || !is_valid(text) {
            return Err(Error::InvalidContentType);
        }
        Ok(Self(text.to_owned()))
    }

    /// `application/octet-stream`: bytes of which nothing is known.
    pub fn octet_stream() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// Whether it says nothing about the content.
    pub fn is_octet_stream(&self) -> bool {
        self.0.eq_ignore_ascii_case("application/octet-stream")
    }

    /// The text, as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A quoted-string without its quotes: visible ASCII, space and tab, `"` and `\` only escaped.
fn is_quoted(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let plain = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
        match byte {
            b'\\' if bytes.next().is_some_and(plain) => {}
            b'\\' | b'"' => return false,
            b if plain(b) => {}
            _ => return false,
        }
    }
    true
}

fn is_valid(text: &str) -> bool {
    let mut parts = split_parameters(text).into_iter();
    let Some((top, sub)) = parts.next().and_then(|essence| essence.split_once('/')) else {
        return false;
    };
    let known = TOP_LEVEL.iter().any(|t| t.eq_ignore_ascii_case(top));
    known && is_token(sub) && parts.all(|p| p.is_empty() || is_parameter(p))
}

fn is_parameter(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, value)| {
        is_token(name)
            && (is_token(value)
                || (value.len() >= 2
                    && value.starts_with('"')
                    && value.ends_with('"')
                    && is_quoted(&value[1..value.len() - 1])))
    })
}

/// Splits at semicolons outside quotes and trims each part.
fn split_parameters(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                parts.push(text[start..i].trim_matches([' ', '\t']));
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim_matches([' ', '\t']));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid() {
        for text in [
            "text/plain",
            "Text/HTML",
            "text/plain; charset=utf-8",
            "application/vnd.x+json;a=\"b;c\\\"d\"",
            "video/x-flv",
            "font/woff2",
            "text/plain;",
        ] {
            assert!(ContentType::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn invalid() {
        for text in [
            "",
            "text",
            "text/",
            "/plain",
            "foo/bar",
            "text/pl ain",
            "text/plain\r\nx: y",
            "text/plain; x",
            "text/plain; a=\"b",
            "text/plain; =b",
            "text/a/b",
            "téxt/plain",
            "auto",
        ] {
            assert_eq!(ContentType::parse(text), Err(Error::InvalidContentType), "{text}");
        }
        assert!(ContentType::parse(&format!("text/{}", "a".repeat(300))).is_err());
    }
}
