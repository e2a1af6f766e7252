//! A file that is read while it arrives (protocol.md, section 9, PARTIAL).
//!
//! The checksum is not known yet: the answer has no validators and no ranges (a `Range` is ignored, as RFC 9110, section
//! 14.2 lets a server do). Where the size is not known either, it comes in chunks, so that its end says that the file is
//! whole; where it is, the last byte comes when the file is whole.

use futures_util::Stream;
use http::{
    HeaderValue,
    header::{ACCEPT_RANGES, CONTENT_LENGTH},
};
use ops::Following;

use super::headers;
use crate::{
    access::Ticket,
    reply::{Body, Reply},
};

/// Bytes asked for in one read.
const PIECE_BYTES: usize = 256 * 1024;

/// The answer, which follows the file.
pub(super) fn answer(file: Following) -> Reply {
    let content_type = file.content_type();
    let size = file.size();
    let mut reply = Reply::new(match size {
        Some(size) => Body::stream(size, pieces(file)),
        None => Body::open(pieces(file)),
    });
    if let Some(size) = size {
        reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
    headers::put(reply.headers_mut(), http::header::CONTENT_TYPE, content_type.as_str());
    reply.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    reply
}

/// What arrives, as it arrives.
fn pieces(file: Following) -> impl Stream<Item = Result<bytes::Bytes, ops::model::Error>> {
    let ticket = Ticket::current();
    futures_util::stream::try_unfold((file, 0), move |(mut file, at)| async move {
        let bytes = file.read(at, PIECE_BYTES).await.inspect_err(|error| {
            ticket.within(|| tracing::info!(%error, "a file that was followed did not arrive"));
        })?;
        let next = at + bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some((bytes, (file, next))))
    })
}
