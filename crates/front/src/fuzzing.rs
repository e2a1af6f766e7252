//! What the programs in `fuzz/` call: a function a parser, from bytes of any kind to a panic where what comes out is not
//! what the parser promises. For `fuzz/` alone: nothing of the product calls it, so no program but those has it in it.
//!
//! The functions stand in the rooms, which keep their parsers to themselves. Each says how it takes its bytes apart, so
//! that a seed (`fuzz/seeds`) can be written by hand.

use http::{HeaderMap, HeaderName, HeaderValue};

pub use crate::{
    door::fuzzing::connection,
    egress::fuzzing::{paths, range, signed_url},
    rpc::fuzzing::jsonrpc,
    upload::fuzzing::{form, headers, signature},
};

/// The first line, without its end, and what follows.
pub(crate) fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Headers, a line each: `name: value`. What hyper would refuse is left out.
pub(crate) fn header_map(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
