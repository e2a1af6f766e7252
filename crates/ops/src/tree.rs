//! Steps that several operations share: finding a path for a caller, permission, making directories, counting usage.
//!
//! All are plain functions over a transaction: no clock, no blob, no protocol.

use catalog::{Place, Read, Tx};
use model::{
    AccountId, Caller, DirId, Directory, Error, Node, Owner, Resolved, Result, TreePath, Usage,
};

use crate::namespace::Parents;

/// Walks `path`, given relative to the caller's root.
pub(crate) fn locate<R: Read + ?Sized>(
    tx: &mut R,
    caller: &Caller,
    path: &TreePath,
) -> Result<Resolved> {
    tx.resolve(caller.account, caller.top, &caller.full(path))?
        .ok_or_else(|| Error::Storage("an account has no top directory".to_owned()))
}

/// What `path` names.
pub(crate) fn find<R: Read + ?Sized>(tx: &mut R, caller: &Caller, path: &TreePath) -> Result<Node> {
    locate(tx, caller, path)?.node().ok_or(Error::NotFound)
}

/// An entry with the directory that holds it.
pub(crate) struct Held {
    pub(crate) dir: Directory,
    pub(crate) name: String,
    pub(crate) node: Node,
}

impl Held {
    pub(crate) fn place(&self, account: AccountId) -> Place<'_> {
        Place { account, dir: self.dir.id, name: &self.name }
    }
}

/// What `path` names, with the directory that holds it. The caller's root is held by nothing it may see.
pub(crate) fn find_held<R: Read + ?Sized>(
    tx: &mut R,
    caller: &Caller,
    path: &TreePath,
) -> Result<Held> {
    let (parent, name) = path.split_last().ok_or(Error::Denied)?;
    let above = locate(tx, caller, &parent)?;
    if above.depth < above.len {
        return Err(Error::NotFound);
    }
    let place = Place { account: caller.account, dir: above.dir.id, name };
    let node = tx.node(place)?.ok_or(Error::NotFound)?;
    Ok(Held { dir: above.dir, name: name.to_owned(), node })
}

/// A read-only user changes nothing (section 1).
pub(crate) fn may_write(caller: &Caller) -> Result<()> {
    if caller.read_only { Err(Error::Denied) } else { Ok(()) }
}

/// A user may change an entry of their own group (section 1).
pub(crate) fn may_change(caller: &Caller, owner: Owner) -> Result<()> {
    may_write(caller)?;
    if caller.owner.gid == owner.gid { Ok(()) } else { Err(Error::Denied) }
}

/// A user may add to a directory of their own group, and to the account's top directory, which is nobody's own.
pub(crate) fn may_add(caller: &Caller, dir: &Directory) -> Result<()> {
    if dir.id == caller.top { may_write(caller) } else { may_change(caller, dir.owner) }
}

/// The directory that holds (or will hold) the last segment of the path that led to `at`, made where it is missing and
/// `parents` says so. `owner` owns what is made.
pub(crate) fn parent_directory(
    tx: &mut dyn Tx,
    caller: &Caller,
    at: &Resolved,
    full: &TreePath,
    parents: Parents,
    now_secs: u64,
) -> Result<Directory> {
    if at.has_parent() {
        return Ok(at.dir);
    }
    match parents {
        Parents::Required => Err(Error::ParentMissing),
        Parents::Created if at.file.is_some() => Err(Error::NotDirectory),
        Parents::Created => {
            may_add(caller, &at.dir)?;
            make_chain(tx, caller.account, at, full, at.len - 1, caller.owner, now_secs)
        }
    }
}

/// Makes the directories of `full` from where `at` ends down to `depth` segments; returns the last one.
pub(crate) fn make_chain(
    tx: &mut dyn Tx,
    account: AccountId,
    at: &Resolved,
    full: &TreePath,
    depth: usize,
    owner: Owner,
    now_secs: u64,
) -> Result<Directory> {
    let mut dir = at.dir;
    for (made, name) in full.segments().take(depth).skip(at.depth).enumerate() {
        let id = DirId(tx.fresh_id()?);
        let new = Directory::new(id, owner, now_secs);
        let new = tx.add_directory(Place { account, dir: dir.id, name }, new)?;
        if made == 0 {
            tx.touch_directory(account, dir.id, now_secs)?;
        }
        dir = new;
    }
    let made = u64::try_from(depth.saturating_sub(at.depth)).unwrap_or(0);
    count(tx, account, |u| u.directories += made)?;
    Ok(dir)
}

/// Changes what an account is counted to hold.
pub(crate) fn count(
    tx: &mut dyn Tx,
    account: AccountId,
    change: impl FnOnce(&mut Usage),
) -> Result<()> {
    let mut usage = tx.usage(account)?;
    change(&mut usage);
    tx.put_usage(account, usage)
}
