//! Serving a file: finding it by what a request may mean and may read, and reading its bytes, verified, from wherever
//! they are.

use std::sync::Arc;

use blobs::Blob;
use bytes::Bytes;
use catalog::Read;
use model::{Account, AccountId, Content, Error, File, FileAttrs, Result, Time, TreePath};

use crate::{
    Store,
    link::{self, Admitted, Rate, Shown},
    namespace::file_at,
};

/// The account a request may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountRef {
    /// The one of this name.
    Named(String),
    /// The only one, on a server with one account.
    Only,
}

/// One reading of a request: a file of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Whose.
    pub account: AccountRef,
    /// From the account's top directory.
    pub path: TreePath,
    /// Whether the request's path names the account, too: a published URL always does.
    pub account_in_path: bool,
}

/// How a signed URL wants a file to be sent; without one, as any other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manner {
    /// The name it is to be saved under, where the browser is to save it.
    pub save_as: Option<String>,
    /// How fast it goes out.
    pub rate: Option<Rate>,
}

/// A file that is being served. What was opened stays readable, whatever happens to the name meanwhile.
pub struct Opened {
    attrs: FileAttrs,
    bytes: Source,
    manner: Manner,
}

enum Source {
    /// Only the attributes were asked for.
    Unopened,
    Memory(Bytes),
    /// Each blob with the offset it begins at.
    Blobs(Vec<(u64, Box<dyn Blob>)>),
}

/// How often a file is looked up again when its bytes went away between the lookup and the opening.
const LOOKUPS_MAX: usize = 3;

impl Store {
    /// Opens the first candidate that names a file the request may read. Without `body` only its attributes are looked
    /// up. Each reading of a request is judged by its own account, so that none leads around the privacy of another.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BadLink`], [`Error::BadToken`], [`Error::Denied`] where there is a reading that the
    /// request may not even ask about, what it shows is right for no other, and no other names a file;
    /// [`Error::Damaged`], [`Error::Storage`] when its bytes
    /// cannot be opened.
    pub async fn get(
        &self,
        candidates: Vec<Candidate>,
        shown: Shown,
        body: bool,
    ) -> Result<Opened> {
        // A link that holds when the request begins holds for all of it.
        let (now, asked) = (self.now(), Arc::new((candidates, shown)));
        let mut lookup = 1;
        loop {
            let (store, asked) = (self.clone(), Arc::clone(&asked));
            let look = move |tx: &mut dyn Read| find(&store, tx, &asked.0, &asked.1, now, body);
            let found = self.0.catalog.read(look).await?;
            let Found { file, inline, manner } = found.ok_or(Error::NotFound)?;
            match self.open(file, inline, manner, body).await {
                // The file was replaced or deleted after it was looked up, and the sweeper was quick: look again.
                Err(Error::Damaged(_)) if lookup < LOOKUPS_MAX => lookup += 1,
                result => return result,
            }
        }
    }

    async fn open(
        &self,
        file: File,
        inline: Option<Bytes>,
        manner: Manner,
        body: bool,
    ) -> Result<Opened> {
        let bytes = match file.content {
            _ if !body => Source::Unopened,
            Content::Empty => Source::Memory(Bytes::new()),
            Content::Inline(id) => Source::Memory(
                inline
                    .ok_or_else(|| Error::Damaged(format!("inline content {} is missing", id.0)))?,
            ),
            Content::Blobs(extents) => {
                let mut opened = Vec::with_capacity(extents.len());
                let mut offset = 0;
                for extent in extents {
                    let blob = self.0.blobs.open(extent.blob).await?;
                    if blob.len() != extent.len {
                        let id = extent.blob.to_hex();
                        return Err(Error::Damaged(format!("blob {id} has another length")));
                    }
                    opened.push((offset, blob));
                    offset += extent.len;
                }
                Source::Blobs(opened)
            }
        };
        Ok(Opened { attrs: file.attrs, bytes, manner })
    }
}

impl Opened {
    /// What is known of the file.
    pub fn attrs(&self) -> &FileAttrs {
        &self.attrs
    }

    /// How it is to be sent.
    pub fn manner(&self) -> &Manner {
        &self.manner
    }

    /// The whole content, where it is in memory.
    pub fn inline(&self) -> Option<&Bytes> {
        match &self.bytes {
            Source::Memory(bytes) => Some(bytes),
            Source::Unopened | Source::Blobs(_) => None,
        }
    }

    /// Verified bytes from `offset`, `len` at most: fewer where a blob ends, none only at the end of the file.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Storage`].
    pub async fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        match &self.bytes {
            Source::Unopened => Err(Error::Storage("the content was not opened".to_owned())),
            Source::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(from..from.saturating_add(len).min(bytes.len())))
            }
            Source::Blobs(blobs) => {
                let at = blobs.partition_point(|(begin, _)| *begin <= offset).saturating_sub(1);
                let Some((begin, blob)) = blobs.get(at) else { return Ok(Bytes::new()) };
                let within = offset - begin;
                let left = usize::try_from(blob.len().saturating_sub(within)).unwrap_or(usize::MAX);
                if left == 0 {
                    return Ok(Bytes::new());
                }
                blob.read(within, len.min(left)).await
            }
        }
    }
}

struct Found {
    file: File,
    inline: Option<Bytes>,
    manner: Manner,
}

fn find<R: Read + ?Sized>(
    store: &Store,
    tx: &mut R,
    candidates: &[Candidate],
    shown: &Shown,
    now: Time,
    body: bool,
) -> Result<Option<Found>> {
    let (mut refused, mut proven) = (None, false);
    for candidate in candidates {
        let account = match &candidate.account {
            AccountRef::Named(name) => tx.account_by_name(name)?,
            AccountRef::Only => only_account(tx)?,
        };
        let Some(account) = account else { continue };
        let admitted = match link::admit(store, tx, &account, candidate, shown, now) {
            Ok(admitted) => admitted,
            Err(fault) if fault.is_ours() => return Err(fault),
            Err(refusal) => {
                refused.get_or_insert(refusal);
                continue;
            }
        };
        proven |= admitted != Admitted::Everybody;
        if let Some(file) = file_at(tx, account.id, account.root, &candidate.path)? {
            let inline = if body { inline_of(tx, account.id, &file)? } else { None };
            return Ok(Some(Found { file, inline, manner: manner(admitted, &candidate.path) }));
        }
    }
    // What was shown was right for one reading: that it is wrong for another is no news.
    refused.filter(|_| !proven).map_or(Ok(None), Err)
}

fn manner(admitted: Admitted<'_>, path: &TreePath) -> Manner {
    let Admitted::Link(terms) = admitted else { return Manner::default() };
    let name = path.name().filter(|_| terms.attachment);
    Manner { save_as: name.map(str::to_owned), rate: terms.rate }
}

fn inline_of<R: Read + ?Sized>(
    tx: &mut R,
    account: AccountId,
    file: &File,
) -> Result<Option<Bytes>> {
    match file.content {
        Content::Inline(id) => tx.inline(account, id),
        Content::Empty | Content::Blobs(_) => Ok(None),
    }
}

fn only_account<R: Read + ?Sized>(tx: &mut R) -> Result<Option<Account>> {
    let mut accounts = tx.first_accounts(2)?;
    Ok(if accounts.len() == 1 { accounts.pop() } else { None })
}
