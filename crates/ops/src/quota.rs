//! What an account may still take in: its quota in bytes and in files, beside what it holds.
//!
//! Plain functions over a transaction. A file counts when it is in its place, whatever its copies share on disk; pieces
//! of unfinished multipart uploads and bytes on their way in do not count, but are refused as soon as what they become
//! could not be put in its place. Whatever does not make an account larger is never refused: not even when the operator
//! has set the quota below what it holds.

use catalog::Read;
use model::{AccountId, Caller, Error, Quota, Result, TreePath, Usage};

use crate::{Store, tree::locate};

/// How large a file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room(Option<u64>);

impl Room {
    /// No bound.
    pub const ANY: Self = Self(None);

    /// Whether so many bytes fit.
    ///
    /// # Errors
    /// [`Error::OverQuota`].
    pub(crate) fn takes(self, size: u64) -> Result<()> {
        if self.0.is_some_and(|max| size > max) { Err(Error::OverQuota) } else { Ok(()) }
    }

    /// What is left beside bytes that belong to the same file.
    pub(crate) fn beside(self, bytes: u64) -> Self {
        Self(self.0.map(|max| max.saturating_sub(bytes)))
    }
}

/// The fewest bytes of which nobody knows how many they are: with no room left, they are refused before they come.
pub(crate) fn at_least(len: Option<u64>) -> u64 {
    len.unwrap_or(1)
}

/// How large a file may be that replaces one of so many bytes as `replaced` finds, or is new. Not looked for where there is
/// no quota.
///
/// # Errors
/// [`Error::OverQuota`]: it would be one file too many.
pub(crate) fn room<R: Read + ?Sized>(
    tx: &mut R,
    account: AccountId,
    replaced: impl FnOnce(&mut R) -> Result<Option<u64>>,
) -> Result<Room> {
    let quota = tx.account(account)?.map_or_else(Quota::default, |account| account.quota);
    if quota == Quota::default() {
        return Ok(Room::ANY);
    }
    let replaced = replaced(tx)?;
    left(quota, tx.usage(account)?, replaced)
}

fn left(quota: Quota, usage: Usage, replaced: Option<u64>) -> Result<Room> {
    if replaced.is_none() && quota.files.is_some_and(|max| usage.files >= max) {
        return Err(Error::OverQuota);
    }
    let old = replaced.unwrap_or(0);
    let others = usage.bytes.saturating_sub(old);
    Ok(Room(quota.bytes.map(|max| max.saturating_sub(others).max(old))))
}

impl Store {
    /// How large a file may be at a path, as far as the quota goes; nothing else is checked.
    ///
    /// # Errors
    /// [`Error::OverQuota`]: it would be one file too many.
    pub async fn room(&self, caller: &Caller, path: &TreePath) -> Result<Room> {
        let (caller, path) = (caller.clone(), path.clone());
        self.0
            .catalog
            .read(move |tx| {
                room(tx, caller.account, |tx| {
                    let at = locate(tx, &caller, &path)?;
                    let file = at.file.as_ref().filter(|_| at.has_parent());
                    Ok(file.map(|file| file.attrs.size))
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_of(
        bytes: Option<u64>,
        files: Option<u64>,
        held: (u64, u64),
        replaced: Option<u64>,
    ) -> Result<Room> {
        let usage = Usage { bytes: held.0, files: held.1, directories: 1_000 };
        left(Quota { bytes, files }, usage, replaced)
    }

    #[test]
    fn bytes() {
        let room = |held, replaced| room_of(Some(100), None, (held, 5), replaced).unwrap().0;
        for (held, replaced, left) in [
            (0, None, 100),
            (99, None, 1),
            (100, None, 0),
            (150, None, 0),
            (100, Some(30), 30),
            (90, Some(30), 40),
            (150, Some(60), 60),
            (150, Some(0), 0),
        ] {
            assert_eq!(room(held, replaced), Some(left), "{held} {replaced:?}");
        }
        assert!(Room(Some(3)).takes(3).is_ok());
        assert_eq!(Room(Some(3)).takes(4), Err(Error::OverQuota));
        assert_eq!(Room(Some(3)).beside(2).takes(2), Err(Error::OverQuota));
        assert!(Room(Some(3)).beside(5).takes(0).is_ok());
        assert!(Room::ANY.beside(5).takes(u64::MAX).is_ok());
    }

    #[test]
    fn files() {
        let room = |held, replaced| room_of(None, Some(2), (1_000, held), replaced);
        assert_eq!((room(1, None), room(2, Some(9))), (Ok(Room::ANY), Ok(Room::ANY)));
        assert_eq!((room(2, None), room(3, None)), (Err(Error::OverQuota), Err(Error::OverQuota)));
    }
}
