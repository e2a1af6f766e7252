//! Callbacks and the events they are told of: what happened to the files of an account.

use crate::{AccountId, Digest, Kind, Time, TreePath, UserId};

/// Identifies a callback; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallbackId(pub u64);

/// Whether a callback is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackState {
    /// It is told of what happens.
    Active,
    /// It is told later: events wait until it goes on, or until they are too old.
    Paused,
    /// It is told nothing more; what waits for it is being removed.
    Deleted,
}

/// Where the events of an account go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Its id.
    pub id: CallbackId,
    /// Whose events.
    pub account: AccountId,
    /// Who registered it.
    pub user: UserId,
    /// What that user could see: it is told of nothing outside.
    pub root: TreePath,
    /// Where events are posted to.
    pub uri: String,
    /// The secret that signs them, as stored: encrypted.
    pub sealed_secret: Vec<u8>,
    /// Which events, as a sum of [`EventKind::flag`]; 0: all.
    pub flags: u32,
    /// Files of fewer bytes are passed over in silence.
    pub threshold: u64,
    /// When it was registered.
    pub created: Time,
    /// Whether it is told.
    pub state: CallbackState,
    /// Events that were given up: too old, or too many.
    pub dead: u64,
    /// The id of the last event that was to be told; 0: none was.
    pub last_event: u64,
}

impl Callback {
    /// Whether it is to be told of an event.
    pub fn wants(&self, event: &Event) -> bool {
        let kind = self.flags == 0 || self.flags & event.kind.flag() != 0;
        let size = event.file.as_ref().is_none_or(|file| file.size >= self.threshold);
        let inside = |path: &TreePath| self.root.holds(path);
        self.state != CallbackState::Deleted
            && kind
            && size
            && inside(&event.path)
            && event.old_path.as_ref().is_none_or(inside)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A file was uploaded.
    Upload,
    /// A multipart upload became a file.
    Multipart,
    /// A file was copied.
    Copy,
    /// A file was fetched from another server.
    Pull,
    /// A file or directory was renamed or moved.
    Rename,
    /// A file or directory was deleted.
    Delete,
}

impl EventKind {
    /// All of them; each at the place that its flag says.
    pub const ALL: [EventKind; 6] = [
        EventKind::Upload,
        EventKind::Multipart,
        EventKind::Copy,
        EventKind::Pull,
        EventKind::Rename,
        EventKind::Delete,
    ];

    /// Its place in a sum of flags.
    pub fn flag(self) -> u32 {
        1 << self.number()
    }

    /// Its number in records.
    pub fn number(self) -> u8 {
        match self {
            EventKind::Upload => 0,
            EventKind::Multipart => 1,
            EventKind::Copy => 2,
            EventKind::Pull => 3,
            EventKind::Rename => 4,
            EventKind::Delete => 5,
        }
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Upload => "upload",
            EventKind::Multipart => "multipart",
            EventKind::Copy => "copy",
            EventKind::Pull => "pull",
            EventKind::Rename => "rename",
            EventKind::Delete => "delete",
        }
    }
}

/// What an event says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFile {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub checksum: Digest,
}

/// Something that happened, waiting to be told to one callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique on the server; later events have larger ones.
    pub id: u64,
    /// What happened.
    pub kind: EventKind,
    /// To what, from the account's top directory; the new path of a rename.
    pub path: TreePath,
    /// The path before a rename.
    pub old_path: Option<TreePath>,
    /// The file, unless it is a directory.
    pub file: Option<EventFile>,
    /// When.
    pub time: Time,
    /// How often it was tried to tell it.
    pub attempts: u32,
    /// Not to be tried again before.
    pub next: Time,
}

impl Event {
    /// What it happened to.
    pub fn entry_kind(&self) -> Kind {
        if self.file.is_some() { Kind::File } else { Kind::Directory }
    }

    /// The paths whose order it stands in.
    pub fn paths(&self) -> impl Iterator<Item = &TreePath> {
        std::iter::once(&self.path).chain(&self.old_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    fn callback(root: &str, flags: u32, threshold: u64) -> Callback {
        Callback {
            id: CallbackId(1),
            account: AccountId(1),
            user: UserId(1),
            root: path(root),
            uri: String::new(),
            sealed_secret: Vec::new(),
            flags,
            threshold,
            created: Time(0),
            state: CallbackState::Active,
            dead: 0,
            last_event: 0,
        }
    }

    fn event(kind: EventKind, at: &str, old: Option<&str>, size: Option<u64>) -> Event {
        Event {
            id: 1,
            kind,
            path: path(at),
            old_path: old.map(path),
            file: size.map(|size| EventFile { size, checksum: Digest::EMPTY }),
            time: Time(0),
            attempts: 0,
            next: Time(0),
        }
    }

    #[test]
    fn kinds_stand_at_their_flags() {
        for (i, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.flag(), 1 << i);
        }
    }

    #[test]
    fn what_a_callback_wants() {
        use EventKind::{Delete, Rename, Upload};

        let small = event(Upload, "a/b", None, Some(9));
        assert!(callback("", 0, 0).wants(&small));
        assert!(callback("", 0, 9).wants(&small) && !callback("", 0, 10).wants(&small));
        assert!(callback("", 33, 0).wants(&small) && !callback("", 32, 0).wants(&small));
        assert!(callback("a", 0, 0).wants(&small) && !callback("b", 0, 0).wants(&small));
        assert!(!callback("a", 0, 0).wants(&event(Upload, "ab/c", None, Some(9))));
        assert!(
            callback("", 32, 5).wants(&event(Delete, "d", None, None)),
            "directories have no size"
        );
        let moved = event(Rename, "a/x", Some("c/x"), Some(9));
        assert!(!callback("a", 0, 0).wants(&moved), "it came from where the user cannot look");
        let deleted = Callback { state: CallbackState::Deleted, ..callback("", 0, 0) };
        let paused = Callback { state: CallbackState::Paused, ..callback("", 0, 0) };
        assert!(!deleted.wants(&small) && paused.wants(&small));
    }
}
