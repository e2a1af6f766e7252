//! The one error type. It names facts; each protocol room turns facts into its own codes (its `codes.rs`, without a
//! wildcard arm, so that a new fact forces a decision there).

/// `Result` with the one error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was not done. The first part is the caller's doing, the last part ([`Error::is_ours`]) ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Section 1: NUL, invalid UTF-8, `.` or `..`, too long.
    #[error("invalid path")]
    InvalidPath,
    /// Nothing has that name.
    #[error("path does not exist")]
    NotFound,
    /// A directory stands where a file is meant.
    #[error("path is a directory")]
    IsDirectory,
    /// A file stands where a directory is meant.
    #[error("path is not a directory")]
    NotDirectory,
    /// The directory that should hold the entry is missing.
    #[error("parent directory does not exist")]
    ParentMissing,
    /// The name is taken.
    #[error("path exists")]
    Exists,
    /// A rename to the same name.
    #[error("old and new path are the same")]
    SamePath,
    /// A directory that holds something.
    #[error("directory is not empty")]
    NotEmpty,
    /// The caller is read-only, of another group, or touches the root.
    #[error("permission denied")]
    Denied,
    /// The token is unknown, expired, logged out, or its user deactivated.
    #[error("invalid token")]
    BadToken,
    /// User name or password wrong or missing.
    #[error("invalid credentials")]
    BadCredentials,
    /// `updateSession` a second time.
    #[error("session was updated before")]
    AlreadyUpdated,
    /// Not in the range the call allows.
    #[error("invalid expiry")]
    InvalidExpiry,
    /// The sub-directory of a login is not an existing directory.
    #[error("invalid sub-directory")]
    InvalidSubdir,
    /// Negative, not an integer, or past the year 9999.
    #[error("invalid mtime")]
    InvalidMtime,
    /// Not `type/subtype` of a registered top-level type.
    #[error("invalid content type")]
    InvalidContentType,
    /// The bytes that came are not those the client's checksum was made of.
    #[error("checksum does not match")]
    ChecksumMismatch,
    /// No upload of the caller's has that id.
    #[error("no such multipart upload")]
    NoSuchUpload,
    /// The upload was given up by its client.
    #[error("multipart upload was aborted")]
    UploadAborted,
    /// The upload was completed, deleted, or has expired.
    #[error("multipart upload takes no more changes")]
    UploadClosed,
    /// An upload without any piece cannot be completed.
    #[error("multipart upload has no pieces")]
    NoPieces,
    /// A number is missing among the pieces.
    #[error("multipart upload has a gap in its pieces")]
    PieceGap,
    /// Only an upload that failed can be restarted.
    #[error("multipart upload did not fail")]
    NotFailed,
    /// Not in 1 to the limit of pieces.
    #[error("invalid piece number")]
    InvalidPieceNumber,
    /// One more piece than an upload may have.
    #[error("too many pieces")]
    TooManyPieces,
    /// A piece longer than a piece may be.
    #[error("piece is too large")]
    PieceTooLarge,
    /// A piece that would make its upload longer than an upload may be.
    #[error("multipart upload is too large")]
    UploadTooLarge,
    /// The account has as many unfinished uploads as it may have.
    #[error("too many unfinished multipart uploads")]
    TooManyUploads,
    /// More requests, or more uploads at once, than the operator allows; worth another try after so many seconds.
    #[error("too many requests")]
    RateLimited {
        /// Seconds after which another try may work.
        retry_secs: u32,
    },
    /// It would take the account over the bytes or files it may hold.
    #[error("account is over its quota")]
    OverQuota,
    /// The account has as many transfers queued and running as it may have.
    #[error("too many transfers queued or running")]
    TooManyJobs,
    /// Not a URI, not one that is spoken here, or one of a host the operator does not allow.
    #[error("invalid or forbidden URI")]
    InvalidUri,
    /// Flags that mean nothing to the call.
    #[error("invalid flags")]
    InvalidFlags,
    /// A signed URL that is forged, changed, outside its time, or used from elsewhere.
    #[error("link is not valid")]
    BadLink,
    /// The operator has not set up what the call needs.
    #[error("not configured")]
    NotConfigured,
    /// No transfer has that id.
    #[error("no such job")]
    NoSuchJob,
    /// No callback has that id.
    #[error("no such callback")]
    NoSuchCallback,
    /// The client went away, or sent less than it said.
    #[error("request body ended early")]
    BodyCut,
    /// A name an operator gave is not usable; says why.
    #[error("{0}")]
    InvalidName(&'static str),
    /// An operator named an account that is not there.
    #[error("no such account")]
    NoSuchAccount,
    /// An operator named a user that is not there.
    #[error("no such user")]
    NoSuchUser,
    /// No space left for data.
    #[error("no space left")]
    Full,
    /// Overload, or a dependency is down: trying again later may work.
    #[error("service temporarily unavailable: {0}")]
    Unavailable(String),
    /// Another server, from which content was to come, did not give it.
    #[error("remote server: {0}")]
    Upstream(String),
    /// A fault of storage.
    #[error("storage fault: {0}")]
    Storage(String),
    /// Stored bytes are not those that were written.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

impl Error {
    /// Whether the fault is the server's: logged as an error where it is handled, never the caller's doing.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Error::Full
                | Error::Unavailable(_)
                | Error::Upstream(_)
                | Error::Storage(_)
                | Error::Damaged(_)
        )
    }
}

impl From<std::io::Error> for Error {
    /// `ENOSPC`, `EDQUOT` and `EFBIG` are [`Error::Full`], everything else is [`Error::Storage`].
    fn from(e: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Error::Full
            }
            _ => Error::Storage(e.to_string()),
        }
    }
}
