//! Facts to codes: one row a call that can fail for a reason of the tree, beside protocol.md, sections 4 to 6.
//!
//! What lives here: what a [`model::Error`] is called on the wire. What does not: codes of values that cannot be read
//! (they stand with the parameter, in `table`), and how a code is rendered (the method's form, there too). A new fact
//! does not compile until it has a place in [`Codes::of`]; a new column not until every call has decided about it.
#![deny(clippy::wildcard_enum_match_arm)]

use ops::model::Error;

use super::answer::{INTERNAL_ERROR, SERVER_ERROR};

/// An unusable token.
pub(super) const BAD_TOKEN: i32 = -10_001;
/// "Cannot come of this call": should it ever, the answer is an internal error and the log has it.
const X: i32 = INTERNAL_ERROR;
/// An unusable token, as in nearly every row.
const T: i32 = BAD_TOKEN;
/// A fault of ours, as in nearly every row.
const S: i32 = SERVER_ERROR;

/// What a call answers for each fact that calls differ in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes([i32; 15]);

#[rustfmt::skip]
impl Codes {
    //                                       token path miss is a is a no   exis same not  denied   up-  mtime type clos fault
    //                                                  -ing dir  file par. -ts  path empt          dated          ed
    pub(super) const NONE:        Self = Self([    T,   X,   X,   X,   X,   X,   X,   X,   X,       X,   X,   X,   X,   X,   S]);
    pub(super) const LOGOUT:      Self = Self([   -1,   X,   X,   X,   X,   X,   X,   X,   X,      -2,   X,   X,   X,   X,   S]);
    pub(super) const UPDATE:      Self = Self([    T,   X,   X,   X,   X,   X,   X,   X,   X,       X,  -1,   X,   X,   X,   S]);
    pub(super) const KEY_PAIR:    Self = Self([    T,   X,   X,   X,   X,   X,   X,   X,   X, -10_004,   X,   X,   X,   X,   S]);
    pub(super) const MAKE_DIR:    Self = Self([    T,  -8,  -3,   X,  -3,  -3,  -2,   X,   X,      -6,   X,   X,   X,   X,   S]);
    pub(super) const MAKE_DIR2:   Self = Self([    T,  -8,   X,   X,  -2,   X,  -2,   X,   X,      -6,   X,   X,   X,   X,   S]);
    pub(super) const DELETE:      Self = Self([    T,  -1,  -1,  -1,  -1,  -1,   X,   X,  -7,      -6,   X,   X,   X,   X,   S]);
    pub(super) const DELETE_FILE: Self = Self([    T,  -1,  -1,  -1,  -1,  -1,   X,   X,   X,      -1,   X,   X,   X,   X,   S]);
    pub(super) const RENAME:      Self = Self([    T,  -3,  -1,  -1,  -3,  -3,  -2,  -1,  -7,      -6,   X,   X,   X,   X,   S]);
    pub(super) const COPY:        Self = Self([    T,  -2,  -1,  -2,  -2,  -2,  -2,   X,   X,      -1,   X,   X,   X,   X,   S]);
    pub(super) const STAT:        Self = Self([    T,  -1,  -1,   X,  -1,  -1,   X,   X,   X,      -1,   X,   X,   X,   X,   S]);
    pub(super) const SET_MTIME:   Self = Self([    T,  -8,  -1,   X,  -1,  -1,   X,   X,   X,      -1,   X, -27,   X,   X,   S]);
    pub(super) const SET_TYPE:    Self = Self([    T,  -8,  -1,   X,  -3,  -3,   X,   X,   X,      -6,   X,   X, -33,   X,   S]);
    pub(super) const LIST:        Self = Self([    T,  -1,  -1,   X,  -1,  -1,   X,   X,   X,      -1,   X,   X,   X,   X,   S]);
    pub(super) const FETCH:       Self = Self([    T,  -4, -14,  -4,  -4,  -4,  -4,  -4,   X,      -4,   X,   X,   X,   X,   S]);
    pub(super) const VAULT_URL:   Self = Self([    T,  -8,  -1,  -2,  -1,  -1,   X,   X,   X,      -1,   X,   X,   X,   X,  -1]);
    pub(super) const CALLBACK:    Self = Self([    T,   X,   X,   X,   X,   X,   X,   X,   X,      -6,   X,   X,   X,   X,   S]);
    pub(super) const MPART_NEW:   Self = Self([    T, -16, -23, -16, -23, -23, -16,   X,   X,     -23,   X, -20, -21,   X, -27]);
    pub(super) const MPART:       Self = Self([    T,   X,   X,   X,   X,   X,   X,   X,   X,      -2,   X,   X,   X,   X,   S]);
    pub(super) const MPART_DONE:  Self = Self([    T,   X,   X,   X,   X,   X,   X,   X,   X,      -2,   X,   X,   X,  -8,   S]);
    pub(super) const MPART_ABORT: Self = Self([    T,   X,   X,   X,   X,   X,   X,   X,   X,      -2,   X,   X,   X, -18,   S]);
}

impl Codes {
    /// The code for a fact. The second half of the list means the same wherever it can come up.
    pub(super) fn of(&self, fact: &Error) -> i32 {
        let [token, path, missing, is_dir, is_file, no_parent, exists, same, full, denied, ..] =
            self.0;
        let [.., updated, mtime, content_type, closed, ours] = self.0;
        match fact {
            Error::BadToken => token,
            Error::InvalidPath => path,
            Error::NotFound => missing,
            Error::IsDirectory => is_dir,
            Error::NotDirectory => is_file,
            Error::ParentMissing => no_parent,
            Error::Exists => exists,
            Error::SamePath => same,
            Error::NotEmpty => full,
            Error::Denied => denied,
            Error::AlreadyUpdated => updated,
            Error::BadCredentials => BAD_TOKEN,
            Error::InvalidMtime => mtime,
            Error::InvalidContentType => content_type,
            Error::UploadClosed => closed,
            Error::InvalidExpiry => -34,
            Error::InvalidSubdir => -47,
            Error::TooManyUploads => -1,
            Error::NoSuchUpload => -2,
            Error::NoPieces => -4,
            Error::PieceGap => -5,
            Error::UploadAborted => -17,
            Error::NotFailed => -22,
            Error::RateLimited { .. } | Error::TooManyJobs => -56,
            Error::OverQuota => -22,
            Error::InvalidUri => -14,
            Error::InvalidFlags => -13,
            Error::NotConfigured => -60,
            Error::Full
            | Error::Unavailable(_)
            | Error::Upstream(_)
            | Error::Storage(_)
            | Error::Damaged(_) => ours,
            // Facts of bodies and of administration.
            Error::ChecksumMismatch
            | Error::BodyCut
            | Error::InvalidPieceNumber
            | Error::TooManyPieces
            | Error::PieceTooLarge
            | Error::UploadTooLarge
            | Error::InvalidName(_)
            | Error::BadLink
            | Error::NoSuchJob
            | Error::NoSuchCallback
            | Error::NoSuchAccount
            | Error::NoSuchUser => INTERNAL_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_ours_are_server_errors() {
        for ours in [
            Error::Full,
            Error::Unavailable(String::new()),
            Error::Storage(String::new()),
            Error::Damaged(String::new()),
        ] {
            assert!(ours.is_ours());
            assert_eq!(Codes::MAKE_DIR.of(&ours), SERVER_ERROR);
            assert_eq!(Codes::NONE.of(&ours), SERVER_ERROR);
            assert_eq!(Codes::MPART.of(&ours), SERVER_ERROR);
            // Calls that have a code of their own for them.
            assert_eq!(Codes::MPART_NEW.of(&ours), -27);
            assert_eq!(Codes::VAULT_URL.of(&ours), -1);
        }
    }

    #[test]
    fn a_caller_who_may_not() {
        for (codes, denied) in [
            (Codes::MAKE_DIR, -6),
            (Codes::MAKE_DIR2, -6),
            (Codes::DELETE, -6),
            (Codes::DELETE_FILE, -1),
            (Codes::RENAME, -6),
            (Codes::COPY, -1),
            (Codes::SET_MTIME, -1),
            (Codes::SET_TYPE, -6),
            (Codes::FETCH, -4),
            (Codes::KEY_PAIR, -10_004),
            (Codes::LOGOUT, -2),
            (Codes::MPART_NEW, -23),
            (Codes::MPART_DONE, -2),
        ] {
            assert_eq!(codes.of(&Error::Denied), denied);
        }
        assert_eq!(Codes::LOGOUT.of(&Error::BadToken), -1);
        assert_eq!(Codes::STAT.of(&Error::BadToken), BAD_TOKEN);
    }

    #[test]
    fn an_upload_that_takes_no_more() {
        for (codes, closed) in [(Codes::MPART_DONE, -8), (Codes::MPART_ABORT, -18)] {
            assert_eq!(codes.of(&Error::UploadClosed), closed);
            assert_eq!(codes.of(&Error::UploadAborted), -17);
            assert_eq!(codes.of(&Error::NoSuchUpload), -2);
        }
        assert_eq!(Codes::MPART_NEW.of(&Error::InvalidMtime), -20);
        assert_eq!(Codes::SET_MTIME.of(&Error::InvalidMtime), -27);
        assert_eq!(Codes::MPART_NEW.of(&Error::InvalidContentType), -21);
        assert_eq!(Codes::SET_TYPE.of(&Error::InvalidContentType), -33);
    }
}
