//! An answer with content: what its head says, and its body piece by piece, bounded in length and in silence.

use std::{fmt, time::Duration};

use bytes::Bytes;
use reqwest::{
    Response,
    header::{
        CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, RETRY_AFTER,
    },
};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// An answer. Dropping it gives up the transfer.
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// Bytes that the body will have, where the remote says so.
    pub length: Option<u64>,
    /// With status 206: position of the body's first byte in the whole content.
    pub first: Option<u64>,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// `ETag`, as sent.
    pub etag: Option<String>,
    /// `Last-Modified`, as sent.
    pub last_modified: Option<String>,
    /// `Retry-After`, where it is a number of seconds.
    pub retry_after_secs: Option<u64>,
    response: Response,
    left: u64,
    idle: Duration,
}

impl Fetched {
    pub(crate) fn new(response: Response, bytes_max: u64, idle: Duration) -> Result<Self> {
        let status = response.status().as_u16();
        let length = response.content_length();
        // What an error says is not read, so that its length is of no interest.
        if response.status().is_success() && length.is_some_and(|length| length > bytes_max) {
            return Err(Error::TooLarge);
        }
        let headers = response.headers();
        Ok(Self {
            status,
            length,
            first: text(headers, &CONTENT_RANGE).and_then(|range| first_of(&range)),
            content_type: text(headers, &CONTENT_TYPE),
            etag: text(headers, &ETAG),
            last_modified: text(headers, &LAST_MODIFIED),
            retry_after_secs: text(headers, &RETRY_AFTER).and_then(|secs| secs.parse().ok()),
            response,
            left: bytes_max,
            idle,
        })
    }

    /// Whether the status says that this is the content (200) or the asked-for part of it (206).
    pub fn is_content(&self) -> bool {
        matches!(self.status, 200 | 206)
    }

    /// A header of the answer, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` when all of it has come.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Timeout`]; [`Error::Failed`] when the connection ends before the body does.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let next = timeout(self.idle, self.response.chunk()).await;
        let next = next.map_err(|_| Error::Timeout("the remote server fell silent"))??;
        if let Some(bytes) = &next {
            self.left = self.left.checked_sub(bytes.len() as u64).ok_or(Error::TooLarge)?;
        }
        Ok(next)
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetched({})", self.status)
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `bytes 5-9/10` begins at 5.
fn first_of(content_range: &str) -> Option<u64> {
    content_range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
