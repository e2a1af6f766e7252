//! Why a request came to nothing. Callers decide by it whether another try is worth making; where only the fact counts it
//! turns into a [`model::Error`].

use std::error::Error as _;

/// `Result` with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request came to nothing. No text holds credentials, a path or a query string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not an http or https URL that can be used.
    #[error("not a usable http or https URL")]
    Unusable,
    /// No rule allows the host, or it has (only) addresses that are never connected to.
    #[error("{0}")]
    Forbidden(&'static str),
    /// More bytes than the caller takes.
    #[error("the content is longer than allowed")]
    TooLarge,
    /// Nothing came for too long.
    #[error("{0}")]
    Timeout(&'static str),
    /// Everything else: no connection, a broken one, an answer that is no HTTP, a redirect that leads nowhere.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// Whether the same request can have another outcome later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Timeout(_) | Error::Failed(_))
    }
}

impl From<Error> for model::Error {
    /// What must not or cannot be asked for is [`model::Error::InvalidUri`], the rest [`model::Error::Upstream`].
    fn from(e: Error) -> Self {
        match e {
            Error::Unusable | Error::Forbidden(_) => model::Error::InvalidUri,
            Error::TooLarge | Error::Timeout(_) | Error::Failed(_) => {
                model::Error::Upstream(e.to_string())
            }
        }
    }
}

/// What the resolver says when every address of a name is one that is never connected to.
#[derive(Debug, thiserror::Error)]
#[error("every address of the host is forbidden")]
pub(crate) struct AddressesForbidden;

impl From<reqwest::Error> for Error {
    fn from(e: reqwest::Error) -> Self {
        let timeout = e.is_timeout();
        // The URL holds a path and a query string that are not for logs.
        let e = e.without_url();
        let mut text = e.to_string();
        let mut cause = e.source();
        while let Some(inner) = cause {
            if inner.is::<AddressesForbidden>() {
                return Error::Forbidden("every address of the host is forbidden");
            }
            let more = inner.to_string();
            if !text.ends_with(&more) {
                text = format!("{text}: {more}");
            }
            cause = inner.source();
        }
        if timeout { Error::Timeout("no connection in time") } else { Error::Failed(text) }
    }
}
