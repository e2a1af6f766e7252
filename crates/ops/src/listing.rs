//! Listing a directory: pages of entries in the order in which the directory received them (protocol.md, section 5).
//!
//! Rows go to the caller as they are scanned, so that a page is one scan and is rendered once.

use model::{Caller, Directory, Error, FileAttrs, Result, TreePath};

use crate::{Store, tree::locate};

/// Which entries are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Files alone.
    Files,
    /// Directories alone.
    Directories,
    /// Both, each bounded by the page size.
    Both,
}

/// A place in a listing: numbers of entries, 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions {
    /// Among the directories.
    pub directories: u64,
    /// Among the files.
    pub files: u64,
}

/// A page that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Which entries.
    pub which: Which,
    /// After which place.
    pub after: Positions,
    /// Rows of each kind, at most.
    pub size: usize,
    /// Whether directories are wanted with their records.
    pub details: bool,
}

/// Takes rows as they are scanned, on a thread that may block: directories first, then files.
pub trait Rows: Send + 'static {
    /// So many rows will come, about: room can be made for them.
    fn expect(&mut self, _rows: usize) {}
    /// A directory; `details` where they were asked for.
    fn directory(&mut self, name: &str, details: Option<&Directory>);
    /// A file.
    fn file(&mut self, name: &str, attrs: &FileAttrs);
}

/// What a page held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listed {
    /// Where the page ended: the number of the last row of each kind, or where it began when there was none.
    pub last: Positions,
    /// How many rows of each kind it held.
    pub counts: Positions,
}

impl Store {
    /// Hands a page of the entries of a directory to `rows`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotDirectory`].
    pub async fn list<R: Rows>(
        &self,
        caller: &Caller,
        path: &TreePath,
        page: Page,
        mut rows: R,
    ) -> Result<(R, Listed)> {
        let (caller, path) = (caller.clone(), path.clone());
        let Page { which, after, size, details } = page;
        let scan = move |tx: &mut dyn catalog::Read| {
            let at = locate(tx, &caller, &path)?;
            if at.depth < at.len {
                let is_file = at.has_parent() && at.file.is_some();
                return Err(if is_file { Error::NotDirectory } else { Error::NotFound });
            }
            let (account, dir) = (caller.account, at.dir.id);
            let mut listed = Listed { last: after, counts: Positions::default() };
            rows.expect(expected(&at.dir, page));
            if which != Which::Files {
                tx.list_directories(
                    account,
                    dir,
                    after.directories,
                    size,
                    details,
                    &mut |number, name, record| {
                        listed.last.directories = number;
                        listed.counts.directories += 1;
                        rows.directory(name, record);
                    },
                )?;
            }
            if which != Which::Directories {
                tx.list_files(account, dir, after.files, size, &mut |number, name, attrs| {
                    listed.last.files = number;
                    listed.counts.files += 1;
                    rows.file(name, attrs);
                })?;
            }
            Ok((rows, listed))
        };
        if size <= SHORT_PAGE {
            self.0.catalog.read_once(scan).await
        } else {
            self.0.catalog.scan(scan).await
        }
    }
}

/// Pages up to this many rows are read like any lookup; longer ones on a thread that may block.
const SHORT_PAGE: usize = 200;

/// How many rows a page will have, at most and from what is known before the scan.
fn expected(dir: &Directory, page: Page) -> usize {
    let of = |count: u64, after: u64| {
        // A cookie is a number, not a count: where entries were removed, more may follow than this says.
        usize::try_from(count.saturating_sub(after)).map_or(page.size, |left| left.min(page.size))
    };
    let directories = of(dir.directories, page.after.directories);
    let files = of(dir.files, page.after.files);
    match page.which {
        Which::Directories => directories,
        Which::Files => files,
        Which::Both => directories.saturating_add(files),
    }
}
