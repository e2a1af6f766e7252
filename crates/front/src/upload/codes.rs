//! What can be wrong with a call of the HTTP interface, and what the wire says of it: status, code, message
//! (protocol.md, section 7). No wildcard arm: a new fact forces a decision for every call.

use http::StatusCode;
use ops::model::Error;

/// The calls of the HTTP interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// `/account/login`
    Login,
    /// `/post/directory`
    Directory,
    /// `/post/raw`
    Raw,
    /// `/post/file`
    File,
    /// `/multipart/create`
    MultipartCreate,
    /// `/multipart/piece`
    MultipartPiece,
    /// `/multipart/complete`
    MultipartComplete,
}

/// Why a call is not done. What no operation knows of has a variant of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An operation, or a rule of the model, says so.
    Fact(Error),
    /// No `X-Agile-Authorization`.
    NoToken,
    /// More than one `X-Agile-Authorization`.
    TokenTwice,
    /// An `X-Agile-*` header without a code of its own was sent twice.
    HeaderTwice,
    /// `X-Agile-Encoding` is not `UTF8`.
    Encoding,
    /// `X-Agile-Recursive` is neither true nor false.
    Recursive,
    /// `X-Agile-Expose-Egress` is none of the three.
    Expose,
    /// `X-Agile-Content-Detect` is none of the three.
    Detect,
    /// `X-Agile-Checksum` is no SHA-256.
    Checksum,
    /// The request has no body at all.
    NoBody,
    /// The request's body is a form.
    FormBody,
    /// The body is said to be longer than any file.
    TooLong,
    /// The request's body is no form.
    NotForm,
    /// The form is none that can be read, or it did not end.
    BrokenForm,
    /// The form has more parts, or longer fields, than are read.
    FormTooLarge,
    /// The form has no `uploadFile`.
    NoFile,
    /// The form's `uploadFile` has neither name nor bytes.
    EmptyFile,
    /// The form has more than one `uploadFile`.
    FileTwice,
    /// A field of the form that has a meaning was sent twice.
    FieldTwice,
    /// A field of the form is not UTF-8.
    FieldText,
    /// Where the client wants to be sent is nowhere we send anybody.
    ReturnUrl,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Fact(error)
    }
}

/// How the wire says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: i32,
    pub(super) message: &'static str,
    /// Seconds after which another try may work, where one may.
    pub(super) retry_secs: Option<u32>,
}

const fn refusal(status: StatusCode, code: i32, message: &'static str) -> Refusal {
    Refusal { status, code, message, retry_secs: None }
}

/// 503: not the caller's doing, and soon over.
const fn busy(code: i32, message: &'static str) -> Refusal {
    let refusal = refusal(StatusCode::SERVICE_UNAVAILABLE, code, message);
    Refusal { retry_secs: Some(1), ..refusal }
}

/// 429: too many requests, or uploads at once.
const fn rate_limited(retry_secs: u32) -> Refusal {
    let refusal = refusal(StatusCode::TOO_MANY_REQUESTS, -56, "too many requests");
    Refusal { retry_secs: Some(retry_secs), ..refusal }
}

/// 400: nearly everything that is the caller's doing.
const fn bad(code: i32, message: &'static str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, code, message)
}

const INVALID_TOKEN: Refusal = refusal(StatusCode::FORBIDDEN, -10001, "invalid token");
const INVALID_PATH: Refusal = bad(-8, "invalid path");
const NO_PARENT: Refusal = bad(-3, "parent directory does not exist");
const DENIED: Refusal = bad(-3, "permission denied");
const INVALID_MTIME: Refusal = bad(-27, "invalid mtime");
const INVALID_CHECKSUM: Refusal = bad(-26, "checksum does not match");
const INVALID_TYPE: Refusal = bad(-33, "invalid content type");
const INVALID_EXPIRY: Refusal = bad(-34, "invalid expiry");
const INVALID_SUBDIR: Refusal = bad(-47, "invalid subdir");
const BODY_CUT: Refusal = bad(-24, "request body ended early");
const NO_SUCH_UPLOAD: Refusal = bad(-2, "no such multipart upload");
const UPLOAD_DENIED: Refusal = bad(-2, "permission denied");
const UPLOAD_CLOSED: Refusal = bad(-8, "multipart upload is completed, deleted or expired");
const UPLOAD_ABORTED: Refusal = bad(-17, "multipart upload was aborted");
const PIECE_TOO_LARGE: Refusal = bad(-11, "piece is too large");
const BAD_REQUEST: Refusal = bad(-8, "bad request");
const FULL: Refusal = busy(-22, "no space left");
/// Waiting does not help: something has to be deleted, or the operator to be asked.
const OVER_QUOTA: Refusal =
    refusal(StatusCode::SERVICE_UNAVAILABLE, -22, "account is over its quota");
const UNAVAILABLE: Refusal = busy(-26, "service temporarily unavailable");
const FAULT: Refusal = refusal(StatusCode::INTERNAL_SERVER_ERROR, -5, "service unavailable");
/// What the table of paths has and this room does not.
pub(super) const NOT_BUILT: Refusal =
    refusal(StatusCode::NOT_IMPLEMENTED, -5, "not implemented in this release");

/// What the wire says of a fault.
pub(super) fn of(call: Call, fault: &Fault) -> Refusal {
    match fault {
        Fault::Fact(error) => match call {
            Call::Login => login(error),
            Call::Directory => directory(error),
            Call::Raw | Call::File => raw(error),
            Call::MultipartCreate => multipart_create(error),
            Call::MultipartPiece => multipart_piece(error),
            Call::MultipartComplete => multipart_complete(error),
        },
        Fault::NoToken => refusal(StatusCode::UNAUTHORIZED, -10001, "no token"),
        Fault::TokenTwice => bad(-10001, "more than one token"),
        Fault::HeaderTwice => bad(-8, "a header was sent twice"),
        Fault::Encoding => bad(-51, "invalid encoding"),
        Fault::Recursive => bad(-39, "invalid X-Agile-Recursive value"),
        Fault::Expose => bad(-21, "invalid X-Agile-Expose-Egress value"),
        Fault::Detect => bad(-48, "invalid X-Agile-Content-Detect value"),
        Fault::Checksum if call == Call::MultipartPiece => bad(-6, "invalid checksum"),
        Fault::Checksum => bad(-26, "invalid checksum"),
        Fault::NoBody => bad(-24, "no request body"),
        Fault::FormBody => bad(-24, "request body is a form"),
        Fault::TooLong if call == Call::MultipartPiece => PIECE_TOO_LARGE,
        Fault::TooLong => bad(-24, "request body is too long"),
        Fault::NotForm => bad(-24, "request body is no form"),
        Fault::BrokenForm => bad(-24, "form is broken or ended early"),
        Fault::FormTooLarge => bad(-24, "form has too many parts or too long fields"),
        Fault::NoFile => bad(-24, "form has no uploadFile"),
        Fault::EmptyFile => bad(-23, "uploadFile has neither name nor content"),
        Fault::FileTwice => bad(-25, "form has more than one uploadFile"),
        Fault::FieldTwice => bad(-8, "a form field was sent twice"),
        Fault::FieldText => bad(-8, "a form field is not UTF-8"),
        Fault::ReturnUrl => bad(-8, "invalid return_url"),
    }
}

fn login(error: &Error) -> Refusal {
    match error {
        Error::BadCredentials | Error::BadToken => bad(-10001, "invalid credentials"),
        Error::InvalidExpiry => INVALID_EXPIRY,
        Error::InvalidSubdir
        | Error::InvalidPath
        | Error::NotFound
        | Error::NotDirectory
        | Error::IsDirectory
        | Error::ParentMissing => INVALID_SUBDIR,
        Error::Denied
        | Error::Exists
        | Error::SamePath
        | Error::NotEmpty
        | Error::AlreadyUpdated
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
        | Error::InvalidName(_)
        | Error::NoSuchAccount
        | Error::NoSuchUser
        | Error::TooManyJobs
        | Error::InvalidUri
        | Error::InvalidFlags
        | Error::BadLink
        | Error::NotConfigured
        | Error::NoSuchJob
        | Error::NoSuchCallback => BAD_REQUEST,
        Error::RateLimited { retry_secs } => rate_limited(*retry_secs),
        Error::Full => FULL,
        Error::OverQuota => OVER_QUOTA,
        Error::Unavailable(_) | Error::Upstream(_) => UNAVAILABLE,
        Error::Storage(_) | Error::Damaged(_) => FAULT,
    }
}

fn directory(error: &Error) -> Refusal {
    match error {
        Error::Exists | Error::NotDirectory => bad(-2, "path exists"),
        Error::ParentMissing | Error::NotFound => NO_PARENT,
        Error::Denied => DENIED,
        Error::InvalidPath => INVALID_PATH,
        Error::BadToken => INVALID_TOKEN,
        Error::IsDirectory
        | Error::SamePath
        | Error::NotEmpty
        | Error::BadCredentials
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
        | Error::InvalidName(_)
        | Error::NoSuchAccount
        | Error::NoSuchUser
        | Error::TooManyJobs
        | Error::InvalidUri
        | Error::InvalidFlags
        | Error::BadLink
        | Error::NotConfigured
        | Error::NoSuchJob
        | Error::NoSuchCallback => BAD_REQUEST,
        Error::RateLimited { retry_secs } => rate_limited(*retry_secs),
        Error::Full => FULL,
        Error::OverQuota => OVER_QUOTA,
        Error::Unavailable(_) | Error::Upstream(_) => UNAVAILABLE,
        Error::Storage(_) | Error::Damaged(_) => FAULT,
    }
}

fn raw(error: &Error) -> Refusal {
    match error {
        Error::IsDirectory | Error::Exists => bad(-2, "path is a directory"),
        Error::ParentMissing | Error::NotDirectory | Error::NotFound => NO_PARENT,
        Error::Denied => DENIED,
        Error::InvalidPath => INVALID_PATH,
        Error::InvalidMtime => INVALID_MTIME,
        Error::InvalidContentType => INVALID_TYPE,
        Error::ChecksumMismatch => INVALID_CHECKSUM,
        Error::BodyCut => BODY_CUT,
        Error::BadToken => INVALID_TOKEN,
        Error::SamePath
        | Error::NotEmpty
        | Error::BadCredentials
        | Error::AlreadyUpdated
        | Error::InvalidExpiry
        | Error::InvalidSubdir
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
        | Error::InvalidName(_)
        | Error::NoSuchAccount
        | Error::NoSuchUser
        | Error::TooManyJobs
        | Error::InvalidUri
        | Error::InvalidFlags
        | Error::BadLink
        | Error::NotConfigured
        | Error::NoSuchJob
        | Error::NoSuchCallback => BAD_REQUEST,
        Error::RateLimited { retry_secs } => rate_limited(*retry_secs),
        Error::Full => FULL,
        Error::OverQuota => OVER_QUOTA,
        Error::Unavailable(_) | Error::Upstream(_) => UNAVAILABLE,
        Error::Storage(_) | Error::Damaged(_) => FAULT,
    }
}

fn multipart_create(error: &Error) -> Refusal {
    match error {
        Error::TooManyUploads => bad(-1, "too many unfinished multipart uploads"),
        Error::InvalidPath => bad(-16, "invalid path"),
        Error::IsDirectory | Error::Exists => bad(-16, "path is a directory"),
        Error::InvalidMtime => bad(-20, "invalid mtime"),
        Error::InvalidContentType => bad(-21, "invalid content type"),
        Error::ParentMissing | Error::NotDirectory | Error::NotFound => {
            bad(-23, "parent directory does not exist")
        }
        Error::Denied => bad(-23, "permission denied"),
        Error::BadToken => INVALID_TOKEN,
        Error::NoSuchUpload
        | Error::UploadAborted
        | Error::UploadClosed
        | Error::NoPieces
        | Error::PieceGap
        | Error::NotFailed
        | Error::InvalidPieceNumber
        | Error::TooManyPieces
        | Error::PieceTooLarge
        | Error::UploadTooLarge
        | Error::SamePath
        | Error::NotEmpty
        | Error::BadCredentials
        | Error::AlreadyUpdated
        | Error::InvalidExpiry
        | Error::InvalidSubdir
        | Error::ChecksumMismatch
        | Error::BodyCut
        | Error::InvalidName(_)
        | Error::NoSuchAccount
        | Error::NoSuchUser
        | Error::TooManyJobs
        | Error::InvalidUri
        | Error::InvalidFlags
        | Error::BadLink
        | Error::NotConfigured
        | Error::NoSuchJob
        | Error::NoSuchCallback => BAD_REQUEST,
        Error::RateLimited { retry_secs } => rate_limited(*retry_secs),
        Error::Full => FULL,
        Error::OverQuota => OVER_QUOTA,
        Error::Unavailable(_) | Error::Upstream(_) => UNAVAILABLE,
        Error::Storage(_) | Error::Damaged(_) => {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, -27, "internal error")
        }
    }
}

fn multipart_piece(error: &Error) -> Refusal {
    match error {
        Error::NoSuchUpload => NO_SUCH_UPLOAD,
        Error::Denied => UPLOAD_DENIED,
        Error::InvalidPieceNumber => bad(-3, "invalid piece number"),
        Error::ChecksumMismatch => bad(-6, "checksum does not match"),
        Error::UploadClosed => UPLOAD_CLOSED,
        Error::TooManyPieces => bad(-10, "too many pieces"),
        Error::PieceTooLarge => PIECE_TOO_LARGE,
        Error::UploadAborted => UPLOAD_ABORTED,
        Error::UploadTooLarge => bad(-25, "multipart upload is too large"),
        Error::BodyCut => {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, -49, "request body ended early")
        }
        Error::BadToken => INVALID_TOKEN,
        Error::NoPieces
        | Error::PieceGap
        | Error::NotFailed
        | Error::TooManyUploads
        | Error::InvalidPath
        | Error::NotFound
        | Error::IsDirectory
        | Error::NotDirectory
        | Error::ParentMissing
        | Error::Exists
        | Error::SamePath
        | Error::NotEmpty
        | Error::BadCredentials
        | Error::AlreadyUpdated
        | Error::InvalidExpiry
        | Error::InvalidSubdir
        | Error::InvalidMtime
        | Error::InvalidContentType
        | Error::InvalidName(_)
        | Error::NoSuchAccount
        | Error::NoSuchUser
        | Error::TooManyJobs
        | Error::InvalidUri
        | Error::InvalidFlags
        | Error::BadLink
        | Error::NotConfigured
        | Error::NoSuchJob
        | Error::NoSuchCallback => BAD_REQUEST,
        Error::RateLimited { retry_secs } => rate_limited(*retry_secs),
        Error::Full => FULL,
        Error::OverQuota => OVER_QUOTA,
        Error::Unavailable(_) | Error::Upstream(_) => UNAVAILABLE,
        Error::Storage(_) | Error::Damaged(_) => FAULT,
    }
}

fn multipart_complete(error: &Error) -> Refusal {
    match error {
        Error::NoSuchUpload => NO_SUCH_UPLOAD,
        Error::Denied => UPLOAD_DENIED,
        Error::NoPieces => bad(-4, "multipart upload has no pieces"),
        Error::PieceGap => bad(-5, "multipart upload has a gap in its pieces"),
        Error::UploadClosed => UPLOAD_CLOSED,
        Error::UploadAborted => UPLOAD_ABORTED,
        Error::BadToken => INVALID_TOKEN,
        Error::NotFailed
        | Error::InvalidPieceNumber
        | Error::TooManyPieces
        | Error::PieceTooLarge
        | Error::UploadTooLarge
        | Error::TooManyUploads
        | Error::InvalidPath
        | Error::NotFound
        | Error::IsDirectory
        | Error::NotDirectory
        | Error::ParentMissing
        | Error::Exists
        | Error::SamePath
        | Error::NotEmpty
        | Error::BadCredentials
        | Error::AlreadyUpdated
        | Error::InvalidExpiry
        | Error::InvalidSubdir
        | Error::InvalidMtime
        | Error::InvalidContentType
        | Error::ChecksumMismatch
        | Error::BodyCut
        | Error::InvalidName(_)
        | Error::NoSuchAccount
        | Error::NoSuchUser
        | Error::TooManyJobs
        | Error::InvalidUri
        | Error::InvalidFlags
        | Error::BadLink
        | Error::NotConfigured
        | Error::NoSuchJob
        | Error::NoSuchCallback => BAD_REQUEST,
        Error::RateLimited { retry_secs } => rate_limited(*retry_secs),
        Error::Full => FULL,
        Error::OverQuota => OVER_QUOTA,
        Error::Unavailable(_) | Error::Upstream(_) => UNAVAILABLE,
        Error::Storage(_) | Error::Damaged(_) => FAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_may_be_asked_again_whatever_was_asked() {
        for call in [
            Call::Login,
            Call::Directory,
            Call::Raw,
            Call::File,
            Call::MultipartCreate,
            Call::MultipartPiece,
            Call::MultipartComplete,
        ] {
            let refusal = of(call, &Error::Unavailable("the catalog".to_owned()).into());
            assert_eq!((refusal.status.as_u16(), refusal.code), (503, -26), "{call:?}");
            assert_eq!(refusal.retry_secs, Some(1));
        }
    }
}
