//! Serving a file: finding it without a session, and reading its bytes, verified, from wherever they are.

use blobs::Blob;
use bytes::Bytes;
use catalog::Read;
use model::{Account, AccountId, Content, Error, File, FileAttrs, Result, TreePath};

use crate::{Following, Store, namespace::file_at};

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
}

/// What a request is served from.
pub enum Found {
    /// A file.
    File(Opened),
    /// A file that is arriving.
    Arriving(Following),
}

/// A file that is being served. What was opened stays readable, whatever happens to the name meanwhile.
pub struct Opened {
    attrs: FileAttrs,
    bytes: Source,
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
    /// Opens the first candidate that names a file. Without `body` only its attributes are looked up. A file
    /// that is arriving and may be read meanwhile counts, and goes before the one it will replace; without `open_end`
    /// only if its size is known.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Damaged`], [`Error::Storage`] when its bytes cannot be opened.
    pub async fn get(
        &self,
        candidates: Vec<Candidate>,
        body: bool,
        open_end: bool,
    ) -> Result<Found> {
        // Looked up before the catalog is: an upload that ends in between is found there.
        let mut arriving = None;
        if !self.0.arriving.is_empty() {
            let usable = |(_, file): &(usize, Following)| open_end || file.size().is_some();
            arriving = self.arriving(&candidates).await?.filter(usable);
        }
        let mut lookup = 1;
        loop {
            let wanted = candidates.clone();
            let found = self.0.catalog.read(move |tx| find(tx, &wanted, body)).await?;
            if let Some((at, live)) = arriving.take()
                && found.as_ref().is_none_or(|found| at <= found.candidate)
            {
                return Ok(Found::Arriving(live));
            }
            let Looked { file, inline, .. } = found.ok_or(Error::NotFound)?;
            match self.open(file, inline, body).await {
                // The file was replaced or deleted after it was looked up, and the sweeper was quick: look again.
                Err(Error::Damaged(_)) if lookup < LOOKUPS_MAX => lookup += 1,
                result => return result.map(Found::File),
            }
        }
    }

    /// The first candidate that is arriving, with its place among them.
    async fn arriving(&self, candidates: &[Candidate]) -> Result<Option<(usize, Following)>> {
        let wanted = candidates.to_vec();
        let accounts = self
            .0
            .catalog
            .read(move |tx| wanted.iter().map(|c| account_of(tx, c)).collect::<Result<Vec<_>>>())
            .await?;
        let at = |(index, (account, candidate)): (usize, (Option<Account>, &Candidate))| {
            Some((index, self.0.arriving.find(account?.id, &candidate.path)?))
        };
        Ok(accounts.into_iter().zip(candidates).enumerate().find_map(at))
    }

    async fn open(&self, file: File, inline: Option<Bytes>, body: bool) -> Result<Opened> {
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
        Ok(Opened { attrs: file.attrs, bytes })
    }
}

impl Opened {
    /// What is known of the file.
    pub fn attrs(&self) -> &FileAttrs {
        &self.attrs
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

/// A file's record, and which candidate it is.
struct Looked {
    candidate: usize,
    file: File,
    inline: Option<Bytes>,
}

fn find<R: Read + ?Sized>(
    tx: &mut R,
    candidates: &[Candidate],
    body: bool,
) -> Result<Option<Looked>> {
    for (index, candidate) in candidates.iter().enumerate() {
        let Some(Account { id, root, .. }) = account_of(tx, candidate)? else { continue };
        if let Some(file) = file_at(tx, id, root, &candidate.path)? {
            let inline = if body { inline_of(tx, id, &file)? } else { None };
            return Ok(Some(Looked { candidate: index, file, inline }));
        }
    }
    Ok(None)
}

fn account_of<R: Read + ?Sized>(tx: &mut R, candidate: &Candidate) -> Result<Option<Account>> {
    match &candidate.account {
        AccountRef::Named(name) => tx.account_by_name(name),
        AccountRef::Only => only_account(tx),
    }
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
    let mut accounts = tx.accounts()?;
    Ok(if accounts.len() == 1 { accounts.pop() } else { None })
}
