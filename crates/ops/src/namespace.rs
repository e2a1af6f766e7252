//! Directories and files by name: make, delete, rename, copy, stat, and setting attributes (protocol.md, section 5).
//!
//! The rules are plain functions over a transaction; the methods of [`Store`] only run them.

use catalog::{Place, Tx};
use model::{
    Caller, ContentType, Directory, Error, EventKind, FileAttrs, Node, Result, Time, TreePath,
    limits,
};

use crate::{
    Store,
    event::{self, News},
    put, reference,
    tree::{count, find, find_held, locate, make_chain, may_add, may_change, may_write},
};

/// What happens where the directory that should hold an entry is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parents {
    /// The operation is refused.
    Required,
    /// It is made, and all above it.
    Created,
}

/// What happens where a directory that is to be made is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfThere {
    /// [`Error::Exists`].
    Refused,
    /// Nothing is left to do.
    Fine,
}

/// What is known of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stat {
    /// A directory.
    Directory(Directory),
    /// A file.
    File(FileAttrs),
}

impl Store {
    /// Makes a directory. `true`: it was made; `false`: it was there.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NotDirectory`] (a file stands further up, with [`Parents::Created`]),
    /// [`Error::ParentMissing`], [`Error::Denied`].
    pub async fn make_directory(
        &self,
        caller: &Caller,
        path: &TreePath,
        parents: Parents,
        if_there: IfThere,
    ) -> Result<bool> {
        let (caller, path, now) = (caller.clone(), path.clone(), self.now());
        self.0
            .catalog
            .write(move |tx| make_directory(tx, &caller, &path, parents, if_there, now))
            .await
    }

    /// Deletes an empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::Denied`], [`Error::NotEmpty`].
    pub async fn delete_directory(&self, caller: &Caller, path: &TreePath) -> Result<()> {
        self.delete(caller, path, Some(model::Kind::Directory)).await
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsDirectory`], [`Error::Denied`].
    pub async fn delete_file(&self, caller: &Caller, path: &TreePath) -> Result<()> {
        self.delete(caller, path, Some(model::Kind::File)).await
    }

    /// Deletes a file or an empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::NotEmpty`].
    pub async fn delete_object(&self, caller: &Caller, path: &TreePath) -> Result<()> {
        self.delete(caller, path, None).await
    }

    async fn delete(
        &self,
        caller: &Caller,
        path: &TreePath,
        kind: Option<model::Kind>,
    ) -> Result<()> {
        let (caller, path, now) = (caller.clone(), path.clone(), self.now());
        let done = self.0.catalog.write(move |tx| delete(tx, &caller, &path, kind, now)).await;
        self.0.bell.ring();
        done
    }

    /// Renames or moves a file or an empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::SamePath`], [`Error::Denied`], [`Error::NotEmpty`], [`Error::Exists`],
    /// [`Error::ParentMissing`].
    pub async fn rename(&self, caller: &Caller, from: &TreePath, to: &TreePath) -> Result<()> {
        let (caller, from, to, now) = (caller.clone(), from.clone(), to.clone(), self.now());
        let done = self.0.catalog.write(move |tx| rename(tx, &caller, &from, &to, now)).await;
        self.0.bell.ring();
        done
    }

    /// Copies a file without moving its data; a file under the new name is replaced.
    ///
    /// # Errors
    /// [`Error::NotFound`] (no file under the old name), [`Error::ParentMissing`], [`Error::NotDirectory`],
    /// [`Error::IsDirectory`] (a directory under the new name), [`Error::Denied`].
    pub async fn copy(
        &self,
        caller: &Caller,
        from: &TreePath,
        to: &TreePath,
        parents: Parents,
    ) -> Result<()> {
        let (caller, from, to, now) = (caller.clone(), from.clone(), to.clone(), self.now());
        let done =
            self.0.catalog.write(move |tx| copy(tx, &caller, &from, &to, parents, now)).await;
        self.0.bell.ring();
        done
    }

    /// What is known of an entry.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn stat(&self, caller: &Caller, path: &TreePath) -> Result<Stat> {
        let (caller, path) = (caller.clone(), path.clone());
        self.0
            .catalog
            .read(move |tx| {
                Ok(match find(tx, &caller, &path)? {
                    Node::Directory(dir) => Stat::Directory(dir),
                    Node::File(file) => Stat::File(file.attrs),
                })
            })
            .await
    }

    /// Sets an entry's modification time, in seconds since the epoch.
    ///
    /// # Errors
    /// [`Error::InvalidMtime`], [`Error::NotFound`], [`Error::Denied`].
    pub async fn set_mtime(&self, caller: &Caller, path: &TreePath, mtime: u64) -> Result<()> {
        if mtime > limits::MTIME_MAX {
            return Err(Error::InvalidMtime);
        }
        let (caller, path) = (caller.clone(), path.clone());
        self.0.catalog.write(move |tx| set_mtime(tx, &caller, &path, mtime)).await
    }

    /// Sets the type a file is served with. On a directory it has no effect.
    ///
    /// # Errors
    /// [`Error::ParentMissing`], [`Error::NotFound`], [`Error::Denied`].
    pub async fn set_content_type(
        &self,
        caller: &Caller,
        path: &TreePath,
        content_type: &ContentType,
    ) -> Result<()> {
        let (caller, path, content_type) = (caller.clone(), path.clone(), content_type.clone());
        self.0.catalog.write(move |tx| set_content_type(tx, &caller, &path, &content_type)).await
    }
}

fn make_directory(
    tx: &mut dyn Tx,
    caller: &Caller,
    path: &TreePath,
    parents: Parents,
    if_there: IfThere,
    now: Time,
) -> Result<bool> {
    may_write(caller)?;
    let full = caller.full(path);
    let at = locate(tx, caller, path)?;
    if at.depth == at.len {
        return match if_there {
            IfThere::Refused => Err(Error::Exists),
            IfThere::Fine => Ok(false),
        };
    }
    let is_last = at.depth + 1 == at.len;
    match (parents, &at.file) {
        (_, Some(_)) if is_last => return Err(Error::Exists),
        (Parents::Created, Some(_)) => return Err(Error::NotDirectory),
        (Parents::Required, _) if !is_last => return Err(Error::ParentMissing),
        _ => {}
    }
    may_add(caller, &at.dir)?;
    make_chain(tx, caller.account, &at, &full, at.len, caller.owner, now.secs())?;
    Ok(true)
}

fn delete(
    tx: &mut dyn Tx,
    caller: &Caller,
    path: &TreePath,
    kind: Option<model::Kind>,
    now: Time,
) -> Result<()> {
    use model::Kind;

    may_write(caller)?;
    if path.is_root() {
        // The root is a directory that nobody may delete; a call for files finds no file there.
        return Err(if kind == Some(Kind::File) { Error::IsDirectory } else { Error::Denied });
    }
    let held = find_held(tx, caller, path)?;
    match &held.node {
        Node::Directory(_) if kind == Some(Kind::File) => return Err(Error::IsDirectory),
        Node::File(_) if kind == Some(Kind::Directory) => return Err(Error::NotDirectory),
        Node::Directory(dir) => {
            may_change(caller, dir.owner)?;
            if !dir.is_empty() {
                return Err(Error::NotEmpty);
            }
            tx.remove_directory(held.place(caller.account))?;
            count(tx, caller.account, |u| u.directories = u.directories.saturating_sub(1))?;
        }
        Node::File(file) => {
            may_change(caller, file.attrs.owner)?;
            tx.remove_file(held.place(caller.account))?;
            reference::release(tx, caller.account, &file.content, now)?;
            count(tx, caller.account, |u| {
                u.files = u.files.saturating_sub(1);
                u.bytes = u.bytes.saturating_sub(file.attrs.size);
            })?;
        }
    }
    let (path, attrs) = (caller.full(path), attrs_of(&held.node));
    let news = News { kind: EventKind::Delete, path: &path, old_path: None, attrs };
    event::tell(tx, caller.account, &news, now)?;
    tx.touch_directory(caller.account, held.dir.id, now.secs())
}

fn attrs_of(node: &Node) -> Option<&FileAttrs> {
    match node {
        Node::Directory(_) => None,
        Node::File(file) => Some(&file.attrs),
    }
}

fn rename(
    tx: &mut dyn Tx,
    caller: &Caller,
    from: &TreePath,
    to: &TreePath,
    now: Time,
) -> Result<()> {
    may_write(caller)?;
    let held = find_held(tx, caller, from)?;
    if from == to {
        return Err(Error::SamePath);
    }
    match &held.node {
        Node::Directory(dir) => {
            may_change(caller, dir.owner)?;
            if !dir.is_empty() {
                return Err(Error::NotEmpty);
            }
        }
        Node::File(file) => may_change(caller, file.attrs.owner)?,
    }
    if from.holds(to) {
        return Err(Error::ParentMissing);
    }
    let Some(name) = to.name() else { return Err(Error::Exists) };
    let at = locate(tx, caller, to)?;
    if !at.has_parent() {
        return Err(Error::ParentMissing);
    }
    if at.depth == at.len || at.file.is_some() {
        return Err(Error::Exists);
    }
    may_add(caller, &at.dir)?;
    let new = Place { account: caller.account, dir: at.dir.id, name };
    tx.move_entry(held.place(caller.account), new)?;
    let attrs = attrs_of(&held.node);
    let (path, old) = (caller.full(to), caller.full(from));
    let news = News { kind: EventKind::Rename, path: &path, old_path: Some(&old), attrs };
    event::tell(tx, caller.account, &news, now)?;
    tx.touch_directory(caller.account, held.dir.id, now.secs())?;
    tx.touch_directory(caller.account, at.dir.id, now.secs())
}

fn copy(
    tx: &mut dyn Tx,
    caller: &Caller,
    from: &TreePath,
    to: &TreePath,
    parents: Parents,
    now: Time,
) -> Result<()> {
    may_write(caller)?;
    let Node::File(source) = find(tx, caller, from)? else { return Err(Error::NotFound) };
    let spot = put::may_put(tx, caller, to, parents)?;
    if from == to {
        return Ok(());
    }
    let content = reference::share(tx, caller.account, &source.content)?;
    let attrs =
        FileAttrs { owner: caller.owner, ctime: now.secs(), mtime: now.secs(), ..source.attrs };
    put::place(tx, caller, &spot, EventKind::Copy, attrs, content, now)
}

fn set_mtime(tx: &mut dyn Tx, caller: &Caller, path: &TreePath, mtime: u64) -> Result<()> {
    may_write(caller)?;
    let at = locate(tx, caller, path)?;
    if at.depth == at.len {
        may_change(caller, at.dir.owner)?;
        return tx.touch_directory(caller.account, at.dir.id, mtime);
    }
    change_attrs(tx, caller, path, |attrs| attrs.mtime = mtime)
}

fn set_content_type(
    tx: &mut dyn Tx,
    caller: &Caller,
    path: &TreePath,
    content_type: &ContentType,
) -> Result<()> {
    may_write(caller)?;
    let at = locate(tx, caller, path)?;
    if at.depth == at.len {
        return Ok(());
    }
    if !at.has_parent() {
        return Err(Error::ParentMissing);
    }
    change_attrs(tx, caller, path, |attrs| attrs.content_type = content_type.clone())
}

/// Changes what listings show of a file, for a caller who may.
fn change_attrs(
    tx: &mut dyn Tx,
    caller: &Caller,
    path: &TreePath,
    change: impl FnOnce(&mut FileAttrs),
) -> Result<()> {
    let mut held = find_held(tx, caller, path)?;
    let Node::File(file) = &mut held.node else { return Err(Error::IsDirectory) };
    may_change(caller, file.attrs.owner)?;
    change(&mut file.attrs);
    let file = file.clone();
    tx.put_file(held.place(caller.account), &file)
}
