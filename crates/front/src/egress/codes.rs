//! Facts to HTTP status codes, for GET and HEAD. No wildcard arm: a new fact forces a decision here.

use http::StatusCode;
use ops::model::Error;

/// The status a failed look-up is answered with, and the words for a human.
pub(super) fn status(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::InvalidPath
        | Error::NotFound
        | Error::IsDirectory
        | Error::NotDirectory
        | Error::ParentMissing
        | Error::NoSuchAccount
        | Error::NoSuchUser => (StatusCode::NOT_FOUND, "not found\n"),
        Error::Denied | Error::BadToken | Error::BadCredentials | Error::BadLink => {
            (StatusCode::FORBIDDEN, "permission denied\n")
        }
        Error::Exists
        | Error::SamePath
        | Error::NotEmpty
        | Error::AlreadyUpdated
        | Error::InvalidExpiry
        | Error::InvalidSubdir
        | Error::InvalidMtime
        | Error::InvalidContentType
        | Error::ChecksumMismatch
        | Error::BodyCut
        | Error::NoSuchUpload
        | Error::UploadAborted
        | Error::UploadClosed
        | Error::NoPieces
        | Error::PieceGap
        | Error::NotFailed
        | Error::InvalidPieceNumber
        | Error::TooManyPieces
        | Error::PieceTooLarge
        | Error::UploadTooLarge
        | Error::TooManyUploads
        | Error::TooManyJobs
        | Error::InvalidUri
        | Error::InvalidFlags
        | Error::NotConfigured
        | Error::NoSuchJob
        | Error::NoSuchCallback
        | Error::InvalidName(_) => (StatusCode::BAD_REQUEST, "bad request\n"),
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "too many requests\n"),
        Error::Upstream(_) => (StatusCode::BAD_GATEWAY, "remote server failed\n"),
        Error::Unavailable(_) | Error::Full | Error::OverQuota => {
            (StatusCode::SERVICE_UNAVAILABLE, "service temporarily unavailable\n")
        }
        Error::Storage(_) | Error::Damaged(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n")
        }
    }
}

/// Seconds after which another try may work, where one may.
pub(super) fn retry_secs(error: &Error) -> Option<u32> {
    if let Error::RateLimited { retry_secs } = error {
        return Some(*retry_secs);
    }
    (status(error).0 == StatusCode::SERVICE_UNAVAILABLE).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_may_be_asked_again() {
        let away = Error::Unavailable("the catalog".to_owned());
        assert_eq!((status(&away).0.as_u16(), retry_secs(&away)), (503, Some(1)));
    }
}
