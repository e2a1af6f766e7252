//! What can be wrong with a store: the kinds of findings, by the names that operators and programs read.
//!
//! What does not live here: how each is found, and how it is mended.

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)+) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)+];

            /// What operators call it.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    /// An index of the catalog cannot be read to its end.
    IndexUnreadable = "index-unreadable",
    /// A record cannot be what was written.
    RecordUnreadable = "record-unreadable",
    /// An account is not found by its name, or a name leads to another.
    AccountName = "account-name",
    /// A user is not found by its name, or a name leads to another.
    UserName = "user-name",
    /// A user, a session, a key pair, an upload, or a tree belongs to an account or user that is not there.
    OwnerMissing = "owner-missing",
    /// A key pair is not found by its access key, or a key leads to another.
    AccessKey = "access-key",
    /// The list of a user's sessions and the sessions disagree.
    SessionOfUser = "session-of-user",
    /// An id is in use that is still to be given.
    LastId = "last-id",
    /// An account has no top directory.
    RootMissing = "root-missing",
    /// A name leads to a directory without a record.
    DirectoryLost = "directory-lost",
    /// Names stand in a directory that has no record.
    NamesAstray = "names-astray",
    /// A directory that no name leads to.
    DirectoryOrphan = "directory-orphan",
    /// A directory that two names lead to.
    DirectoryTwice = "directory-twice",
    /// Directories that lead to each other and not to the top.
    DirectoryCycle = "directory-cycle",
    /// A directory's record has another number than its name.
    DirectoryNumber = "directory-number",
    /// A directory counts other than it holds.
    DirectoryCount = "directory-count",
    /// A directory's last number is smaller than one it gave.
    DirectoryLast = "directory-last",
    /// A name is in no listing.
    Unlisted = "unlisted",
    /// A listing says other than the record does.
    ListingDiffers = "listing-differs",
    /// A listing has a row that was left behind.
    ListingStale = "listing-stale",
    /// A listing has a name that is not there: its record is lost.
    NameLost = "name-lost",
    /// Two names have one number.
    NumberTwice = "number-twice",
    /// An account counts other than its tree holds.
    Usage = "usage",
    /// A file's size, checksum and content do not fit each other.
    FileContent = "file-content",
    /// The small content of a file is missing.
    InlineMissing = "inline-missing",
    /// The small content of a file has another size.
    InlineSize = "inline-size",
    /// Two files have one small content.
    InlineTwice = "inline-twice",
    /// Small content that no file refers to.
    InlineOrphan = "inline-orphan",
    /// Small content has another checksum.
    InlineDamaged = "inline-damaged",
    /// The count of references to a blob is wrong.
    References = "references",
    /// A blob that is referred to is to be removed.
    DoomedInUse = "doomed-in-use",
    /// Two references to a blob disagree about its length.
    ExtentLength = "extent-length",
    /// A blob is missing.
    BlobMissing = "blob-missing",
    /// A blob is not what was written.
    BlobDamaged = "blob-damaged",
    /// A blob that nothing refers to.
    BlobOrphan = "blob-orphan",
    /// A file's content has another checksum than its record.
    FileChecksum = "file-checksum",
    /// A file in the store's directories that is none of ours.
    StrayFile = "stray-file",
    /// An unfinished upload was left behind.
    StageLeft = "stage-left",
    /// The list of a user's uploads and the uploads disagree.
    UploadOfUser = "upload-of-user",
    /// The list of uploads to be put together and their states disagree.
    UploadJoining = "upload-joining",
    /// An account counts other than it has unfinished uploads.
    UploadsUnfinished = "uploads-unfinished",
    /// A user's last number of an upload is smaller than one it gave.
    UploadLast = "upload-last",
    /// An upload counts its pieces wrong.
    UploadCount = "upload-count",
    /// A piece of no upload.
    PieceOrphan = "piece-orphan",
    /// The wrong piece counts under a number.
    PieceNumber = "piece-number",
    /// A piece's size and content do not fit each other.
    PieceContent = "piece-content",
    /// The count of events that wait is wrong.
    EventsWaiting = "events-waiting",
    /// A job that is queued is not, or not rightly, among those that are due.
    JobDue = "job-due",
    /// An account counts other than it has unfinished jobs.
    JobsUnfinished = "jobs-unfinished",
}
