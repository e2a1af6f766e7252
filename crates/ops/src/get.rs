//! Serving a file: finding it by what a request may mean and may read, and opening it.
//!
//! What does not live here: reading what was opened (`opened`).

use std::sync::Arc;

use blobs::Blob;
use bytes::Bytes;
use catalog::{Read, Witness};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use model::{
    Account, AccountId, Content, Error, Extent, File, FileAttrs, InlineId, Result, Time, TreePath,
};

use crate::{
    Following, Store,
    link::{self, Admitted, Rate, Shown},
    opened::{Opened, Source, laid_out},
    through::Pulled,
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

/// What a request is served from.
pub enum Found {
    /// A file.
    File(Opened),
    /// A file that is arriving, and how it is to be sent.
    Arriving(Following, Manner),
}

/// What a request that shows nothing gets under a name, and whether it still does. May be kept.
pub struct Known {
    account: AccountId,
    attrs: Arc<FileAttrs>,
    content: Content,
    /// Its content, where that was read and is small.
    inline: Option<Bytes>,
    witness: Witness,
}

/// How often a file is looked up again when its bytes went away between the lookup and the opening.
const LOOKUPS_MAX: usize = 3;
/// Blobs of one file that are opened at the same time.
const OPENED_AT_ONCE: usize = 32;

impl Store {
    /// Opens the first candidate that names a file the request may read. Without `body` only its attributes are looked
    /// up. A file that is arriving and may be read meanwhile counts, and goes before the one it will replace; without
    /// `open_end` only if its size is known. Each reading of a request is judged by its own account, so that none leads
    /// around the privacy of another.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BadLink`], [`Error::BadToken`], [`Error::Denied`] where there is a reading that the
    /// request may not even ask about, what it shows is right for no other, and no other names a file;
    /// [`Error::Damaged`], [`Error::Storage`] when its bytes cannot be opened.
    pub async fn get(
        &self,
        candidates: Vec<Candidate>,
        shown: Shown,
        body: bool,
        open_end: bool,
    ) -> Result<Found> {
        // A link that holds when the request begins holds for all of it.
        let asked = Arc::new(Asked { candidates, shown, now: self.now(), at_hand: None });
        // Looked up before the catalog is: an upload that ends in between is found there.
        let mut arriving = None;
        if !self.0.arriving.is_empty() {
            let usable =
                |(_, file, _): &(usize, Following, Manner)| open_end || file.size().is_some();
            arriving = self.arriving(&asked).await?.filter(usable);
        }
        let mut lookup = 1;
        loop {
            let (store, asked) = (self.clone(), Arc::clone(&asked));
            let found = self.0.catalog.read(move |tx| find(&store, tx, &asked, body)).await?;
            if let Some((at, live, manner)) = arriving.take()
                && !found.as_ref().is_ok_and(|found| found.candidate < at)
            {
                return Ok(Found::Arriving(live, manner));
            }
            let Looked { file, inline, manner, .. } = match found {
                Ok(looked) => looked,
                Err(Missed { fact, open }) => {
                    if lookup < LOOKUPS_MAX
                        && let Some((pulled, manner)) = self.pull(open, open_end).await?
                    {
                        match pulled {
                            Pulled::Arriving(file) => return Ok(Found::Arriving(file, manner)),
                            Pulled::Landed => lookup += 1,
                        }
                        continue;
                    }
                    return Err(fact);
                }
            };
            match self.open(file, inline, manner, body).await {
                Ok(opened) => return Ok(Found::File(opened)),
                // The file was replaced or deleted after it was looked up, and the sweeper was quick: look again.
                Err(Error::Damaged(_)) if lookup < LOOKUPS_MAX => lookup += 1,
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Whether a request that shows nothing gets the same now. No file may arrive meanwhile: it might go before.
    pub fn is_current(&self, known: &Known) -> bool {
        self.0.arriving.is_empty() && known.witness.holds()
    }

    /// What a request that shows nothing gets, as [`Store::get`] would find it, here and now; `body`: with its content, if
    /// that is small. What was known `before` spares looking that up if it is the same still. `None`: nothing is there, or it
    /// takes waiting to say what is.
    pub fn get_now(
        &self,
        candidates: Vec<Candidate>,
        body: bool,
        before: Option<&Known>,
    ) -> Option<Known> {
        if !self.0.arriving.is_empty() {
            return None;
        }
        let at_hand = before.and_then(Known::at_hand);
        let asked = Asked { candidates, shown: Shown::default(), now: self.now(), at_hand };
        let store = self.clone();
        let look = move |tx: &mut dyn Read| {
            let found = find(&store, tx, &asked, body)?;
            Ok(found.ok().zip(tx.witness()))
        };
        let (Looked { account, file, inline, .. }, witness) =
            self.0.catalog.witnessed_now(look)?.ok().flatten()?;
        let File { attrs, content, .. } = file;
        Some(Known { account, attrs: Arc::new(attrs), content, inline, witness })
    }

    /// The large file that is known, opened here and now; `None`: that takes waiting, its bytes are gone, or it is none.
    pub fn open_now(&self, known: &Known) -> Option<Opened> {
        let Content::Blobs(extents) = &known.content else { return None };
        let open = |extent: &Extent| self.0.blobs.open(extent.blob).now_or_never()?.ok();
        let blobs: Vec<_> = extents.iter().map(open).collect::<Option<_>>()?;
        let blobs = laid_out(extents, blobs).ok()?;
        let (attrs, manner) = (Arc::clone(&known.attrs), Manner::default());
        Some(Opened { attrs, bytes: Source::Blobs(blobs), manner })
    }

    /// Has the first reading pulled that a remote answers for. Others are not asked about: a request is one request to one
    /// remote at most, however many readings it has.
    async fn pull(
        &self,
        readings: Vec<(Account, TreePath, Manner)>,
        open_end: bool,
    ) -> Result<Option<(Pulled, Manner)>> {
        for (account, path, manner) in readings {
            match self.pull_through(&account, &path, open_end).await {
                Ok(Some(pulled)) => return Ok(Some((pulled, manner))),
                Err(Error::NotFound) => return Ok(None),
                Ok(None) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    /// The first candidate that is arriving and that the request may read, with its place among them.
    async fn arriving(&self, asked: &Arc<Asked>) -> Result<Option<(usize, Following, Manner)>> {
        let (store, wanted) = (self.clone(), Arc::clone(asked));
        let may = move |tx: &mut dyn Read| {
            let may = |candidate| match reading(&store, tx, &wanted, candidate, false)? {
                Reading::Open(account, admitted) => {
                    Ok(Some((account.id, manner(admitted, &candidate.path))))
                }
                Reading::Nobodys | Reading::Refused(_) => Ok(None),
            };
            wanted.candidates.iter().map(may).collect::<Result<Vec<_>>>()
        };
        let admitted = self.0.catalog.read(may).await?;
        for (index, (may, candidate)) in admitted.into_iter().zip(&asked.candidates).enumerate() {
            let Some((account, manner)) = may else { continue };
            if let Some(file) = self.0.arriving.find(account, &candidate.path) {
                return Ok(Some((index, file, manner)));
            }
        }
        Ok(None)
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
            Content::Blobs(extents) => Source::Blobs(self.open_all(&extents).await?),
        };
        Ok(Opened { attrs: Arc::new(file.attrs), bytes, manner })
    }

    /// The blobs of a file, each with the offset it begins at. Several are opened at once: in an object store each takes a
    /// journey, and a file that came in pieces has as many blobs.
    async fn open_all(&self, extents: &[Extent]) -> Result<Vec<(u64, Box<dyn Blob>)>> {
        // Nearly every file is one blob.
        if let [extent] = extents {
            return laid_out(extents, [self.0.blobs.open(extent.blob).await?]);
        }
        let opening: Vec<_> = extents.iter().map(|it| self.0.blobs.open(it.blob)).collect();
        let opening = futures_util::stream::iter(opening).buffered(OPENED_AT_ONCE);
        laid_out(extents, opening.try_collect::<Vec<_>>().await?)
    }
}

impl Known {
    /// What is known of the file.
    pub fn attrs(&self) -> &FileAttrs {
        &self.attrs
    }

    /// The whole content, where that is small and was read.
    pub fn inline(&self) -> Option<&Bytes> {
        self.inline.as_ref()
    }

    /// The whole content, and under which id it is nobody else's.
    fn at_hand(&self) -> Option<AtHand> {
        let Content::Inline(id) = self.content else { return None };
        Some(AtHand { account: self.account, id, bytes: self.inline.clone()? })
    }

    /// Whether its content is never small enough to be here.
    pub fn is_large(&self) -> bool {
        matches!(self.content, Content::Blobs(_))
    }
}

/// What is asked for, by whom, and when the request began.
struct Asked {
    candidates: Vec<Candidate>,
    shown: Shown,
    now: Time,
    /// Content that need not be looked up.
    at_hand: Option<AtHand>,
}

/// Small content that was read before. An id has one content as long as there is a catalog.
struct AtHand {
    account: AccountId,
    id: InlineId,
    bytes: Bytes,
}

/// A file's record, and which candidate it is.
struct Looked {
    candidate: usize,
    account: AccountId,
    file: File,
    inline: Option<Bytes>,
    manner: Manner,
}

/// No reading of a request names a file.
struct Missed {
    /// What the request is told.
    fact: Error,
    /// The readings that it may ask about, where files may come from elsewhere.
    open: Vec<(Account, TreePath, Manner)>,
}

/// The first candidate that names a file the request may read, or the fact that there is none.
fn find<R: Read + ?Sized>(
    store: &Store,
    tx: &mut R,
    asked: &Asked,
    body: bool,
) -> Result<Result<Looked, Missed>> {
    let (mut refused, mut proven, mut open) = (None, false, Vec::new());
    for (index, candidate) in asked.candidates.iter().enumerate() {
        let (account, admitted) = match reading(store, tx, asked, candidate, body)? {
            Reading::Open(account, admitted) => (account, admitted),
            Reading::Refused(fact) => {
                refused.get_or_insert(fact);
                continue;
            }
            Reading::Nobodys => continue,
        };
        proven |= admitted != Admitted::Everybody;
        if let Some(file) = tx.file(account.id, account.root, &candidate.path)? {
            let at_hand = asked.at_hand.as_ref();
            let inline = if body { inline_of(tx, account.id, &file, at_hand)? } else { None };
            let manner = manner(admitted, &candidate.path);
            let account = account.id;
            return Ok(Ok(Looked { candidate: index, account, file, inline, manner }));
        }
        if !store.0.through.is_off() {
            let manner = manner(admitted, &candidate.path);
            open.push((account, candidate.path.clone(), manner));
        }
    }
    // What was shown was right for one reading: that it is wrong for another is no news.
    let fact = refused.filter(|_| !proven).unwrap_or(Error::NotFound);
    Ok(Err(Missed { fact, open }))
}

/// What becomes of one reading of a request.
enum Reading<'a> {
    /// There is no such account.
    Nobodys,
    /// The request may not ask about it.
    Refused(Error),
    /// It may.
    Open(Account, Admitted<'a>),
}

fn reading<'a, R: Read + ?Sized>(
    store: &Store,
    tx: &mut R,
    asked: &'a Asked,
    candidate: &Candidate,
    body: bool,
) -> Result<Reading<'a>> {
    let account = match &candidate.account {
        AccountRef::Named(name) => {
            tx.expect_file(name, &candidate.path, body)?;
            tx.account_by_name(name)?
        }
        AccountRef::Only => only_account(tx)?,
    };
    let Some(account) = account else { return Ok(Reading::Nobodys) };
    match link::admit(store, tx, &account, candidate, &asked.shown, asked.now) {
        Ok(admitted) => Ok(Reading::Open(account, admitted)),
        Err(fault) if fault.is_ours() => Err(fault),
        Err(refusal) => Ok(Reading::Refused(refusal)),
    }
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
    at_hand: Option<&AtHand>,
) -> Result<Option<Bytes>> {
    match file.content {
        Content::Inline(id) => match at_hand {
            Some(it) if (it.account, it.id) == (account, id) => Ok(Some(it.bytes.clone())),
            _ => tx.inline(account, id),
        },
        Content::Empty | Content::Blobs(_) => Ok(None),
    }
}

fn only_account<R: Read + ?Sized>(tx: &mut R) -> Result<Option<Account>> {
    let mut accounts = tx.first_accounts(2)?;
    Ok(if accounts.len() == 1 { accounts.pop() } else { None })
}
