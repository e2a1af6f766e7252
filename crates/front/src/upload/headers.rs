//! Reading the `X-Agile-*` request headers: what is there, what its value means, and that none comes twice.
//!
//! Pure. What does not live here: which headers a call takes (the calls, `spec`), and codes (`codes`).

use http::{HeaderMap, header::HeaderName};
use ops::{
    Detect, Expose,
    model::{ContentType, Digest, Error, UploadId, limits},
};

use super::{
    codes::Fault,
    coding::{self, Coding},
};

pub(super) const AUTHORIZATION: HeaderName = HeaderName::from_static("x-agile-authorization");
pub(super) const USERNAME: HeaderName = HeaderName::from_static("x-agile-username");
pub(super) const PASSWORD: HeaderName = HeaderName::from_static("x-agile-password");
pub(super) const SUBDIR: HeaderName = HeaderName::from_static("x-agile-subdir");
pub(super) const EXPIRY: HeaderName = HeaderName::from_static("x-agile-expiry");
pub(super) const ENCODING: HeaderName = HeaderName::from_static("x-agile-encoding");
pub(super) const CONTENT_ENCODING: HeaderName = HeaderName::from_static("x-agile-content-encoding");
pub(super) const DIRECTORY: HeaderName = HeaderName::from_static("x-agile-directory");
pub(super) const BASENAME: HeaderName = HeaderName::from_static("x-agile-basename");
pub(super) const RECURSIVE: HeaderName = HeaderName::from_static("x-agile-recursive");
pub(super) const MTIME: HeaderName = HeaderName::from_static("x-agile-mtime");
pub(super) const CHECKSUM: HeaderName = HeaderName::from_static("x-agile-checksum");
pub(super) const CONTENT_TYPE: HeaderName = HeaderName::from_static("x-agile-content-type");
pub(super) const CONTENT_DETECT: HeaderName = HeaderName::from_static("x-agile-content-detect");
pub(super) const EXPOSE_EGRESS: HeaderName = HeaderName::from_static("x-agile-expose-egress");
pub(super) const MULTIPART: HeaderName = HeaderName::from_static("x-agile-multipart");
pub(super) const PART: HeaderName = HeaderName::from_static("x-agile-part");
/// What old clients call [`CONTENT_TYPE`].
pub(super) const LEGACY_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-content-type");

/// The prefix of the headers that may come once only.
const PREFIX: &str = "x-agile-";

/// Refuses a request that sends an `X-Agile-*` header twice, with the code the call has for that value.
pub(super) fn once_each(headers: &HeaderMap) -> Result<(), Fault> {
    let twice = |name: &&HeaderName| {
        name.as_str().starts_with(PREFIX) && headers.get_all(*name).iter().nth(1).is_some()
    };
    match headers.keys().find(twice) {
        Some(name) => Err(fault_of(name)),
        None => Ok(()),
    }
}

/// What is wrong when the value of a header is.
fn fault_of(name: &HeaderName) -> Fault {
    let fact = |error| Fault::Fact(error);
    match name {
        name if name == AUTHORIZATION => Fault::TokenTwice,
        name if name == USERNAME || name == PASSWORD => fact(Error::BadCredentials),
        name if name == SUBDIR => fact(Error::InvalidSubdir),
        name if name == EXPIRY => fact(Error::InvalidExpiry),
        name if name == ENCODING || name == CONTENT_ENCODING => Fault::Encoding,
        name if name == DIRECTORY || name == BASENAME => fact(Error::InvalidPath),
        name if name == RECURSIVE => Fault::Recursive,
        name if name == MTIME => fact(Error::InvalidMtime),
        name if name == CHECKSUM => Fault::Checksum,
        name if name == CONTENT_TYPE => fact(Error::InvalidContentType),
        name if name == CONTENT_DETECT => Fault::Detect,
        name if name == EXPOSE_EGRESS => Fault::Expose,
        name if name == MULTIPART => fact(Error::NoSuchUpload),
        name if name == PART => fact(Error::InvalidPieceNumber),
        _ => Fault::HeaderTwice,
    }
}

/// The value of a header, as it came.
pub(super) fn bytes(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    headers.get(name).map(|value| value.as_bytes().trim_ascii())
}

/// The value of a header that is ASCII by nature; `""` for any other, which no reader takes.
fn word(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    bytes(headers, name).map(|value| std::str::from_utf8(value).unwrap_or_default())
}

/// The value of a header that may hold any text: UTF-8, or else Latin-1, which is what HTTP libraries make of a string
/// that is not ASCII.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    bytes(headers, name).map(|value| match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    })
}

/// How names are written, by one of the headers that say so.
pub(super) fn coding(headers: &HeaderMap, name: HeaderName) -> Result<Coding, Fault> {
    match word(headers, name) {
        None => Ok(Coding::Plain),
        Some(value) if ["UTF8", "UTF-8"].iter().any(|v| v.eq_ignore_ascii_case(value)) => {
            Ok(Coding::Utf8)
        }
        Some(_) => Err(Fault::Encoding),
    }
}

/// A name or a path; an empty one counts as left out.
pub(super) fn name(
    headers: &HeaderMap,
    name: HeaderName,
    coding: Coding,
) -> Result<Option<String>, Fault> {
    let name = bytes(headers, name).map(|value| coding::decode(value, coding)).transpose()?;
    Ok(name.filter(|name| !name.is_empty()))
}

/// Whether missing directories are made.
pub(super) fn recursive(headers: &HeaderMap, default: bool) -> Result<bool, Fault> {
    word(headers, RECURSIVE).map_or(Ok(default), read_recursive)
}

/// `true yes 1` and `false no 0`, in any case.
pub(super) fn read_recursive(value: &str) -> Result<bool, Fault> {
    let is = |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
    if is(["true", "yes", "1"]) {
        Ok(true)
    } else if is(["false", "no", "0"]) {
        Ok(false)
    } else {
        Err(Fault::Recursive)
    }
}

/// A number of decimal digits.
fn number(value: &str) -> Option<u64> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}

/// When the file was changed last; `None`: now.
pub(super) fn mtime(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    word(headers, MTIME).map_or(Ok(None), read_mtime)
}

/// Seconds since the epoch; 0 stands for now and comes back as `None`, like a header left out.
pub(super) fn read_mtime(value: &str) -> Result<Option<u64>, Fault> {
    match number(value) {
        Some(mtime) if mtime <= limits::MTIME_MAX => Ok((mtime != 0).then_some(mtime)),
        _ => Err(Error::InvalidMtime.into()),
    }
}

/// How long a session is to live, in seconds.
pub(super) fn expiry(headers: &HeaderMap) -> Result<u64, Fault> {
    let Some(value) = word(headers, EXPIRY) else { return Ok(limits::SESSION_SECONDS_DEFAULT) };
    match number(value) {
        Some(secs) if (1..=limits::SESSION_SECONDS_MAX).contains(&secs) => Ok(secs),
        _ => Err(Error::InvalidExpiry.into()),
    }
}

/// What the content must hash to.
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Digest>, Fault> {
    bytes(headers, CHECKSUM).map(|value| Digest::from_hex(value).ok_or(Fault::Checksum)).transpose()
}

/// Which multipart upload is meant.
pub(super) fn multipart(headers: &HeaderMap) -> Result<UploadId, Fault> {
    let id = word(headers, MULTIPART).and_then(UploadId::from_hex);
    id.ok_or(Fault::Fact(Error::NoSuchUpload))
}

/// Which piece of it.
pub(super) fn part(headers: &HeaderMap) -> Result<u32, Fault> {
    let number = word(headers, PART).and_then(number).and_then(|number| number.try_into().ok());
    number.ok_or(Fault::Fact(Error::InvalidPieceNumber))
}

/// `X-Agile-Expose-Egress`.
pub(super) fn expose(headers: &HeaderMap) -> Result<Expose, Fault> {
    word(headers, EXPOSE_EGRESS).map_or(Ok(Expose::default()), read_expose)
}

/// One of three words.
pub(super) fn read_expose(value: &str) -> Result<Expose, Fault> {
    [
        ("COMPLETE", Expose::Complete),
        ("PARTIAL", Expose::Partial),
        // The storage policy of one node is met when the upload has ended.
        ("POLICY", Expose::Complete),
    ]
    .into_iter()
    .find(|(word, _)| word.eq_ignore_ascii_case(value))
    .map(|(_, expose)| expose)
    .ok_or(Fault::Expose)
}

fn detect_word(value: &str) -> Option<Detect> {
    [("name", Detect::Name), ("content", Detect::Content), ("auto", Detect::Auto)]
        .into_iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(value))
        .map(|(_, detect)| detect)
}

/// `X-Agile-Content-Detect`.
pub(super) fn detect(headers: &HeaderMap) -> Result<Option<Detect>, Fault> {
    word(headers, CONTENT_DETECT).map(|value| detect_word(value).ok_or(Fault::Detect)).transpose()
}

/// What a header that names a content type says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TypeSaid {
    /// A type, not `application/octet-stream`.
    Type(ContentType),
    /// To look at the name, the content, or both.
    Look(Detect),
}

/// `X-Agile-Content-Type`: a type, or one of the legacy words; `application/octet-stream` means to look at the name. An
/// empty value counts as left out: that is what browsers send for a file they know nothing of.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<TypeSaid>, Fault> {
    let Some(value) = bytes(headers, CONTENT_TYPE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = std::str::from_utf8(value).map_err(|_| Error::InvalidContentType)?;
    if let Some(detect) = detect_word(value) {
        return Ok(Some(TypeSaid::Look(detect)));
    }
    let given = ContentType::parse(value)?;
    Ok(Some(if given.is_octet_stream() {
        TypeSaid::Look(Detect::Name)
    } else {
        TypeSaid::Type(given)
    }))
}

/// `X-Content-Type`, from old clients: a valid type counts, anything else says nothing.
pub(super) fn legacy_content_type(headers: &HeaderMap) -> Option<ContentType> {
    let given = ContentType::parse(word(headers, LEGACY_CONTENT_TYPE)?).ok()?;
    (!given.is_octet_stream()).then_some(given)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
