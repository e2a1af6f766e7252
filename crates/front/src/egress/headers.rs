//! The header fields of a served file: its validators and its type as header values.
//!
//! What does not live here: which status is answered (`mod`), and the headers every answer has (`route`).

use std::time::{Duration, UNIX_EPOCH};

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_RANGES, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED},
};
use ops::model::{FileAttrs, limits};

use super::conditional::Validators;

/// `X-Agile-Checksum`.
const CHECKSUM: HeaderName = HeaderName::from_static("x-agile-checksum");
/// Hex digits of the checksum that make the entity tag.
const ETAG_DIGITS: usize = 32;

/// What conditions are judged by.
pub(super) fn validators(attrs: &FileAttrs) -> Validators {
    let mut digits = attrs.checksum.to_hex();
    digits.truncate(ETAG_DIGITS);
    let mtime_secs = attrs.mtime.min(limits::MTIME_MAX);
    Validators { etag: format!("\"{digits}\""), mtime_secs }
}

/// The headers of any answer about a file: 200, 206, 304, 412 and 416 alike.
pub(super) fn describe(headers: &mut HeaderMap, attrs: &FileAttrs, own: &Validators) {
    let modified = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(own.mtime_secs));
    put(headers, ETAG, &own.etag);
    put(headers, LAST_MODIFIED, &modified);
    put(headers, CHECKSUM, &attrs.checksum.to_hex());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// The type a file is served with.
pub(super) fn content_type(headers: &mut HeaderMap, attrs: &FileAttrs) {
    put(headers, CONTENT_TYPE, attrs.content_type.as_str());
}

/// Sets a header to a text that is made of header characters: everything that comes here is our own, or a content type
/// that was checked when it was set.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
