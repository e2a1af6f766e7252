//! One look at the catalog: what the parts of a check share, and reading an index from one end to the other.
//!
//! Memory, beside the accounts and users: 24 bytes for each reference to a blob; while an account's tree is checked some
//! 50 bytes for each of its directories and 24 for each of its small files.

use std::collections::BTreeMap;

use catalog::audit::{Audit, Index, Row, Rows};
use model::{Account, AccountId, BlobId, DirId, User, UserId};

use super::{Kind, Report};

/// What the parts of a check share.
pub(super) struct Look<'a> {
    pub(super) audit: &'a dyn Audit,
    pub(super) report: Report,
    pub(super) accounts: BTreeMap<AccountId, Account>,
    pub(super) users: BTreeMap<UserId, User>,
    /// Blobs that files and pieces refer to, with the length each says they have.
    pub(super) references: Vec<(BlobId, u64)>,
    /// The highest id that is in use, of those that are given once.
    pub(super) highest_id: u64,
}

impl<'a> Look<'a> {
    pub(super) fn new(audit: &'a dyn Audit) -> Self {
        Self {
            audit,
            report: Report::default(),
            accounts: BTreeMap::new(),
            users: BTreeMap::new(),
            references: Vec::new(),
            highest_id: 0,
        }
    }

    /// What is stored where `like` would stand. What cannot be read is reported, and is nothing.
    pub(super) fn stored(&mut self, like: &Row) -> Option<Row> {
        match self.audit.stored(like) {
            Ok(Some(Row::Unread(..)) | None) => None,
            Ok(row) => row,
            Err(e) => {
                self.report.incomplete = true;
                self.report.report(Kind::IndexUnreadable, "the catalog".to_owned(), (e, ""));
                None
            }
        }
    }

    /// An id that was given.
    pub(super) fn in_use(&mut self, id: u64) {
        self.highest_id = self.highest_id.max(id);
    }

    /// The name of an account, for messages.
    pub(super) fn account_name(&self, id: AccountId) -> String {
        self.accounts.get(&id).map_or_else(|| format!("(account {})", id.0), |a| a.name.clone())
    }
}

/// The rows of an index, one at a time, with a look at the next.
pub(super) struct Stream<'a> {
    rows: Rows<'a>,
    index: Index,
    head: Option<Row>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(look: &mut Look<'a>, index: Index) -> Self {
        Self::after(look, index, None)
    }

    pub(super) fn after(look: &mut Look<'a>, index: Index, after: Option<&Row>) -> Self {
        let mut stream = Self { rows: look.audit.rows(index, after), index, head: None };
        stream.advance(look);
        stream
    }

    /// Takes the next row if it is one of those meant.
    pub(super) fn take_if(
        &mut self,
        look: &mut Look<'a>,
        is: impl Fn(&Row) -> bool,
    ) -> Option<Row> {
        if !self.head.as_ref().is_some_and(is) {
            return None;
        }
        let row = self.head.take();
        self.advance(look);
        row
    }

    /// Takes the next row.
    pub(super) fn take(&mut self, look: &mut Look<'a>) -> Option<Row> {
        self.take_if(look, |_| true)
    }

    /// The next row.
    pub(super) fn head(&self) -> Option<&Row> {
        self.head.as_ref()
    }

    /// Goes to the next row that can be read, and reports the others.
    fn advance(&mut self, look: &mut Look<'a>) {
        self.head = None;
        for row in self.rows.by_ref() {
            match row {
                Ok(Row::Unread(index, key, why)) => {
                    look.report.incomplete = true;
                    let at = format!("{}, key {key}", index.name());
                    look.report.report(Kind::RecordUnreadable, at, (why, ""));
                }
                Ok(row) => {
                    self.head = Some(row);
                    return;
                }
                Err(e) => {
                    look.report.incomplete = true;
                    let at = self.index.name().to_owned();
                    look.report.report(Kind::IndexUnreadable, at, (e, ""));
                    return;
                }
            }
        }
    }
}

/// The directory that a row of a tree belongs to.
pub(super) fn home(row: &Row) -> Option<(AccountId, DirId)> {
    match row {
        Row::File(account, dir, ..)
        | Row::DirectoryName(account, dir, ..)
        | Row::FileRow(account, dir, ..)
        | Row::DirectoryRow(account, dir, ..) => Some((*account, *dir)),
        Row::Directory(account, record) => Some((*account, record.id)),
        _ => None,
    }
}
