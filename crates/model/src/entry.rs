//! Entries of the tree: directories and files (protocol.md, section 1), and what resolving a path finds.

use crate::{BlobId, ContentType, Digest, Extent, InlineId};

/// Identifies a directory, unique within an account; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirId(pub u64);

/// The two kinds of entry; their numbers are the wire's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `type` 1.
    Directory = 1,
    /// `type` 2.
    File = 2,
}

/// Who created an entry; both are positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id: users of this group may change the entry.
    pub gid: u32,
}

/// A directory's own record.
///
/// A directory numbers the entries it receives, per kind, from 1. A number is an entry's place in listings and its
/// listing cookie: it never changes and is never given again, so a listing can stop anywhere and go on later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory {
    /// Its id.
    pub id: DirId,
    /// Its place in the listing of the directory that holds it; 0 for an account's top directory.
    pub number: u64,
    /// Who created it.
    pub owner: Owner,
    /// Seconds since the epoch.
    pub ctime: u64,
    /// Seconds since the epoch; set by every change of what it holds.
    pub mtime: u64,
    /// Directories in it.
    pub directories: u64,
    /// Files in it.
    pub files: u64,
    /// Number of the last directory it received.
    pub last_directory: u64,
    /// Number of the last file it received.
    pub last_file: u64,
}

impl Directory {
    /// A new, empty directory. `number` is set when it enters the directory that holds it.
    pub fn new(id: DirId, owner: Owner, now_secs: u64) -> Self {
        Self {
            id,
            number: 0,
            owner,
            ctime: now_secs,
            mtime: now_secs,
            directories: 0,
            files: 0,
            last_directory: 0,
            last_file: 0,
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.directories == 0 && self.files == 0
    }
}

/// What listings and `stat` show of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAttrs {
    /// Who created it.
    pub owner: Owner,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub checksum: Digest,
    /// The type it is served with.
    pub content_type: ContentType,
    /// Seconds since the epoch.
    pub ctime: u64,
    /// Seconds since the epoch.
    pub mtime: u64,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// No bytes.
    Empty,
    /// In the catalog.
    Inline(InlineId),
    /// In blobs, one after the other. Their lengths add up to the file's size.
    Blobs(Vec<Extent>),
}

impl Content {
    /// The blobs it refers to.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        match self {
            Content::Blobs(extents) => extents.as_slice(),
            Content::Empty | Content::Inline(_) => &[],
        }
        .iter()
        .map(|e| e.blob)
    }
}

/// A file's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its place in the listing of its directory (see [`Directory`]).
    pub number: u64,
    /// What listings show.
    pub attrs: FileAttrs,
    /// Where its bytes are.
    pub content: Content,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory(Directory),
    /// A file.
    File(File),
}

/// How far a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The deepest directory the path reaches.
    pub dir: Directory,
    /// How many of the path's segments lead to it.
    pub depth: usize,
    /// How many segments the path has. `depth == len`: the path names `dir` itself. `depth + 1 == len`: `dir` is the
    /// directory that holds (or would hold) the last segment.
    pub len: usize,
    /// The file that stands under the segment after `dir`, where there is one. A directory never stands there: it
    /// would have been walked into.
    pub file: Option<File>,
}

impl Resolved {
    /// What the whole path names, if it names anything.
    pub fn node(self) -> Option<Node> {
        if self.depth == self.len {
            Some(Node::Directory(self.dir))
        } else if self.depth + 1 == self.len {
            self.file.map(Node::File)
        } else {
            None
        }
    }

    /// Whether the directory that should hold the last segment is there.
    pub fn has_parent(&self) -> bool {
        self.depth + 1 >= self.len
    }
}
