//! Two catalogs row by row: what the copy lacks, and whether it lacks nothing.
//!
//! What lives here: the walk through both side by side, each in a snapshot of its own on a thread of its own. What does not:
//! what is done about differences (`mod`, `pass`). Rows that belong to a place and not to the store are passed over.

use catalog::{
    Catalog,
    audit::{Audit, Index, Row},
};
use model::{Error, Result};
use tokio::sync::mpsc;

use crate::backup::{ROWS_AT_ONCE, ROWS_BYTES, readable};

/// Batches of rows that wait.
const WAITING: usize = 4;

/// What one catalog has and the other has not, or not so.
pub(super) enum Difference {
    /// It is to be put.
    Put(Row),
    /// Nothing is to stand there.
    Remove(Row),
}

impl Difference {
    /// The row that says where.
    pub(super) fn row(&self) -> &Row {
        match self {
            Difference::Put(row) | Difference::Remove(row) => row,
        }
    }

    /// About how many bytes it brings.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Difference::Put(Row::Inline(_, _, content)) => content.len(),
            Difference::Put(_) | Difference::Remove(_) => 0,
        }
    }
}

/// What is done with differences, within the snapshot of the first catalog; the second is the number of equal rows so far.
pub(super) type Visit<'v> = dyn FnMut(&dyn Audit, Vec<Difference>, u64) -> Result<()> + Send + 'v;

/// Compares `theirs` with `ours`, and hands what differs to `visit`. Returns how many rows are equal.
pub(super) async fn compare(
    ours: &Catalog,
    theirs: &Catalog,
    mut visit: impl FnMut(&dyn Audit, Vec<Difference>, u64) -> Result<()> + Send + 'static,
) -> Result<u64> {
    let (rows, coming) = mpsc::channel(WAITING);
    let sending = theirs.audit(move |audit| send_all(audit, &rows));
    let walking = ours.audit(move |audit| {
        let theirs = Theirs { coming, rows: Vec::new().into_iter() };
        walk(audit, theirs, &mut visit)
    });
    let (sent, walked) = tokio::join!(sending, walking);
    // Whoever failed first made the other fail.
    match (sent, walked) {
        (Ok(()), walked) => walked,
        (Err(Error::Unavailable(_)), Err(why)) => Err(why),
        (Err(why), _) => Err(why),
    }
}

/// Rows on their way from one thread to the other; `None`: the next index begins.
type Batch = Option<Vec<Row>>;

fn send_all(audit: &dyn Audit, rows: &mpsc::Sender<Batch>) -> Result<()> {
    let send = |batch| {
        let gone = |_| Error::Unavailable("the comparison was given up".to_owned());
        rows.blocking_send(batch).map_err(gone)
    };
    for index in Index::ALL {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for row in audit.rows(index, None) {
            let row = readable(row?)?;
            if let Row::Inline(_, _, content) = &row {
                bytes += content.len();
            }
            batch.push(row);
            if batch.len() == ROWS_AT_ONCE || bytes >= ROWS_BYTES {
                send(Some(std::mem::take(&mut batch)))?;
                bytes = 0;
            }
        }
        send(Some(batch))?;
        send(None)?;
    }
    Ok(())
}

struct Theirs {
    coming: mpsc::Receiver<Batch>,
    rows: std::vec::IntoIter<Row>,
}

impl Theirs {
    /// The next row of the index that is being walked through; `None`, once, at its end.
    fn next(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.rows.find(|row| !row.stays()) {
                return Ok(Some(row));
            }
            let cut = || Error::Unavailable("the other catalog is not read any more".to_owned());
            match self.coming.blocking_recv().ok_or_else(cut)? {
                Some(rows) => self.rows = rows.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

fn walk(audit: &dyn Audit, mut theirs: Theirs, visit: &mut Visit<'_>) -> Result<u64> {
    let (mut equal, mut found, mut bytes) = (0, Vec::new(), 0);
    for index in Index::ALL {
        let rows = audit.rows(index, None);
        let mut ours = rows.filter(|row| !row.as_ref().is_ok_and(Row::stays));
        let (mut our, mut their) = (next(&mut ours)?, theirs.next()?);
        loop {
            let order = match (&our, &their) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(our), Some(their)) => our.place().cmp(&their.place()),
            };
            let difference = match order {
                std::cmp::Ordering::Less => our.take().map(Difference::Put),
                std::cmp::Ordering::Greater => their.take().map(Difference::Remove),
                std::cmp::Ordering::Equal if our == their => {
                    equal += 1;
                    (our, their) = (None, None);
                    None
                }
                std::cmp::Ordering::Equal => {
                    their = None;
                    our.take().map(Difference::Put)
                }
            };
            if order.is_le() {
                our = next(&mut ours)?;
            }
            if order.is_ge() {
                their = theirs.next()?;
            }
            bytes += difference.as_ref().map_or(0, Difference::bytes);
            found.extend(difference);
            if found.len() == ROWS_AT_ONCE || bytes >= ROWS_BYTES {
                visit(audit, std::mem::take(&mut found), equal)?;
                bytes = 0;
            }
        }
    }
    visit(audit, found, equal)?;
    Ok(equal)
}

fn next(rows: &mut dyn Iterator<Item = Result<Row>>) -> Result<Option<Row>> {
    rows.next().map(|row| readable(row?)).transpose()
}
