//! What a fault of the object store means: the one place that reads errors of the `object_store` crate.
//!
//! What does not live here: trying again. The invariant: no text holds what a store said in the body of an answer, or a
//! query: both can hold keys and signatures.

use std::{error::Error as _, future::Future, time::Duration};

use model::Error;
use object_store::Error as StoreError;

use super::http::StoreFull;

/// For a whole request that moves few bytes, the tries included: the client that waits is told within 5 seconds.
pub(super) const SHORT: Duration = Duration::from_secs(5);

/// A fault while doing `what`.
pub(super) fn fault(what: &str, e: &StoreError) -> Error {
    let said = said(e);
    let text = format!("object store: {what}{said}");
    if is::<StoreFull>(e) {
        return Error::Full;
    }
    match e {
        // What is there and what is not is the caller's to tell; here it is a bucket that is not there.
        StoreError::NotFound { .. }
        | StoreError::PermissionDenied { .. }
        | StoreError::Unauthenticated { .. }
        | StoreError::InvalidPath { .. }
        | StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. }
        | StoreError::UnknownConfigurationKey { .. } => Error::Storage(text),
        // All else is the network's or the store's: it may pass.
        _ => Error::Unavailable(text),
    }
}

/// Does a short thing: with a time for all of it.
pub(super) async fn short<T>(
    work: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<T> {
    let late =
        |e: tokio::time::error::Elapsed| StoreError::Generic { store: "time", source: e.into() };
    tokio::time::timeout(SHORT, work).await.map_err(late)?
}

/// Whether the error comes from this one.
pub(super) fn is<E: std::error::Error + 'static>(e: &StoreError) -> bool {
    let mut source = e.source();
    while let Some(e) = source {
        if e.is::<E>() {
            return true;
        }
        source = e.source();
    }
    false
}

/// For operators: the status and the store's word for it, or the last cause; never more of what the store said.
fn said(e: &StoreError) -> String {
    let kind = match e {
        StoreError::NotFound { .. } => ": not found",
        StoreError::PermissionDenied { .. } => ": refused (403)",
        StoreError::Unauthenticated { .. } => ": refused (401)",
        _ => "",
    };
    let text = e.to_string();
    let status = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3));
    let status = status.filter(|status| status.bytes().all(|b| b.is_ascii_digit()));
    let word = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let word = word
        .map(|(word, _)| word)
        .filter(|word| word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric()));
    match (status, word) {
        (None, None) if kind.is_empty() => cause(e),
        (None, None) => kind.to_owned(),
        (status, word) => {
            let (status, word) = (status.unwrap_or_default(), word.unwrap_or_default());
            format!(": {status} {word}").trim_end().to_owned()
        }
    }
}

/// The innermost cause, where it is one of the system's: refused, reset, timed out.
fn cause(e: &StoreError) -> String {
    let mut found = String::new();
    let mut source = e.source();
    while let Some(e) = source {
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            found = format!(": {}", io.kind());
        } else if e.is::<tokio::time::error::Elapsed>() {
            found = ": not in time".to_owned();
        }
        source = e.source();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn what_a_store_says_stays_with_the_store() {
        let e = generic(
            "GET http://host/x?X-Amz-Signature=abc: Server returned non-2xx status code: 403 \
             Forbidden: <Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIA1\
             </AWSAccessKeyId></Error>",
        );
        let Error::Unavailable(text) = fault("reading", &e) else { panic!() };
        assert_eq!(text, "object store: reading: 403 SignatureDoesNotMatch");
        let e = generic("status code: 503 x <Code>key=AKIA1</Code>");
        assert_eq!(fault("x", &e), Error::Unavailable("object store: x: 503".into()));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let e = StoreError::Generic { store: "S3", source: refused.into() };
        let text = "object store: x: connection refused".to_owned();
        assert_eq!(fault("x", &e), Error::Unavailable(text));
        let full = StoreError::Generic { store: "S3", source: Box::new(StoreFull) };
        assert_eq!(fault("x", &full), Error::Full);
    }
}
