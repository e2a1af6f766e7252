//! A file that is read while it arrives (protocol.md, section 9, PARTIAL).
//!
//! Neither size nor checksum are known yet: the answer has no length, no validators, and no ranges (a `Range` is ignored, as
//! RFC 9110, section 14.2 lets a server do), and it comes in chunks, so that its end says that the file is whole.

use futures_util::Stream;
use http::{HeaderValue, header::ACCEPT_RANGES};
use ops::Following;

use super::headers;
use crate::reply::{Body, Reply};

/// Bytes asked for in one read.
const PIECE_BYTES: usize = 256 * 1024;

/// The answer, which follows the file.
pub(super) fn answer(file: Following) -> Reply {
    let content_type = file.content_type();
    let mut reply = Reply::new(Body::open(pieces(file)));
    headers::put(reply.headers_mut(), http::header::CONTENT_TYPE, content_type.as_str());
    reply.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    reply
}

/// What arrives, as it arrives.
fn pieces(file: Following) -> impl Stream<Item = Result<bytes::Bytes, ops::model::Error>> {
    let span = tracing::Span::current();
    futures_util::stream::try_unfold((file, 0), move |(mut file, at)| {
        let span = span.clone();
        async move {
            let bytes = file.read(at, PIECE_BYTES).await.inspect_err(|error| {
                tracing::info!(parent: &span, %error, "a file that was followed did not arrive");
            })?;
            let next = at + bytes.len() as u64;
            Ok((!bytes.is_empty()).then_some((bytes, (file, next))))
        }
    })
}
