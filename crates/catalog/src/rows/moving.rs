//! A move of the whole catalog: what is said of it (the door), and where rows stand that were changed meanwhile.
//!
//! What lives here: the record of a move, the note of a change, and what an engine that writes asks of both: whether a
//! job may run ([`check`]), and that its group's changes are noted ([`note`]). What does not: how a store is moved
//! (operations), and how the door holds up those that write at the same time (the engines' own).
//!
//! Invariants: as long as the door says that changes are noted, every group that changes a row notes where it stands, in
//! the same transaction. What was noted under a number that is not the door's any more never changes again.

use bytes::Bytes;
use model::{Error, Moving, Result, Stage, Time};
use sha2::{Digest as _, Sha256};

use super::codec::{In, Out, Record, decode, encode};
use super::keys::{self, CHANGE_HASH_BYTES, Family};
use super::overlay::Overlay;
use super::source::{Follow, Place, Scan, Source};
use super::stored;
use super::view::View;
use crate::WriteJob;
use crate::audit::{Change, Row};

impl Record<'_> for Moving {
    const WHAT: &'static str = "move";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.fixed(&self.id.to_be_bytes());
        out.text(&self.place);
        out.varint(self.begun.0);
        out.varint(self.epoch);
        out.byte(match self.stage {
            Stage::Leaving => 1,
            Stage::Closing => 2,
            Stage::Gone => 3,
            Stage::Coming => 4,
            Stage::Arrived => 5,
        });
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            id: u64::from_be_bytes(from.array()?),
            place: from.text()?.to_owned(),
            begun: Time(from.varint()?),
            epoch: from.varint()?,
            stage: match from.byte()? {
                1 => Stage::Leaving,
                2 => Stage::Closing,
                3 => Stage::Gone,
                4 => Stage::Coming,
                5 => Stage::Arrived,
                other => return Err(from.damaged(&format!("has stage {other}"))),
            },
        })
    }
}

/// Where a changed row stands.
struct Noted {
    family: Family,
    key: Vec<u8>,
}

impl Record<'_> for Noted {
    const WHAT: &'static str = "change";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.byte(self.family as u8);
        out.fixed(&self.key);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        let family = Family::ALL.get(usize::from(from.byte()?)).copied();
        let family = family.ok_or_else(|| from.damaged("has no family"))?;
        Ok(Self { family, key: from.remainder().to_vec() })
    }
}

/// What the door says, as it is stored; nothing is said by an empty value.
pub(crate) fn read_door(value: &[u8]) -> Result<Option<Moving>> {
    if value.is_empty() { Ok(None) } else { decode(value).map(Some) }
}

/// The door's value.
pub(crate) fn door_value(moving: Option<&Moving>) -> Vec<u8> {
    moving.map(encode).unwrap_or_default()
}

/// What is said of a move.
pub(crate) fn door(source: &impl Source) -> Result<Option<Moving>> {
    Ok(source.get(Family::Moves, keys::DOOR, read_door)?.flatten())
}

/// Why a closed catalog changes nothing.
pub(crate) fn closed() -> Error {
    Error::Unavailable("the store is being moved elsewhere, or was: it takes no changes".to_owned())
}

/// Whether a job may run on a view.
///
/// # Errors
/// [`Error::Unavailable`]: the catalog is closed.
pub(crate) fn check<S: Source>(job: &dyn WriteJob, view: &View<S>) -> Result<()> {
    if !job.passes() && door(&view.0)?.is_some_and(|moving| moving.is_closed()) {
        return Err(closed());
    }
    Ok(())
}

/// Whether a row belongs to the place where a catalog is, or to a process, and not to the store that it holds.
pub(crate) fn stays(family: Family, key: &[u8]) -> bool {
    match family {
        Family::Moves => true,
        Family::Meta => {
            let own = [keys::FORMAT, keys::LAST_ID, keys::SCRUB, keys::ORPHANS_SWEPT];
            own.contains(&key) || keys::lease_name(key).is_some()
        }
        _ => false,
    }
}

/// Notes what a group changes.
pub(crate) fn note(overlay: &mut Overlay, epoch: u64) {
    let changed = overlay.changes().filter(|(family, key, _)| !stays(*family, key));
    let changed: Vec<Place> = changed.map(|(family, key, _)| (family, key.to_vec())).collect();
    for (family, key) in changed {
        let at = noted_at(epoch, family, &key);
        overlay.put(Family::Moves, at, encode(&Noted { family, key }));
    }
}

/// Where a change of a row is noted: keys may be longer than what an index holds, a hash is not.
fn noted_at(epoch: u64, family: Family, key: &[u8]) -> Vec<u8> {
    let hash = Sha256::new().chain_update([family as u8]).chain_update(key).finalize();
    let mut short = [0; CHANGE_HASH_BYTES];
    short.copy_from_slice(&hash[..CHANGE_HASH_BYTES]);
    keys::change(epoch, &short)
}

impl Change {
    /// Where it is noted.
    pub(crate) fn noted_at(&self) -> Vec<u8> {
        noted_at(self.epoch, self.family, &self.key)
    }
}

/// Up to `limit` changes that were noted under numbers up to `up_to`, after `after`.
pub(crate) fn changes(
    source: &impl Source,
    up_to: u64,
    after: Option<&Change>,
    limit: usize,
) -> Result<Vec<Change>> {
    let from = after.map_or_else(|| keys::changes(0), |change| keys::after(change.noted_at()));
    let below = keys::end_of(&keys::changes(up_to));
    let (family, follow) = (Family::Moves, Follow::Nothing);
    let scan = Scan { family, from: &from, below: &below, limit, follow };
    let mut found = Vec::new();
    source.scan(scan, &mut |key, value| {
        let epoch = keys::change_epoch(key).ok_or_else(super::view::bad_key)?;
        let Noted { family, key } = decode(value)?;
        found.push(Change { epoch, family, key });
        Ok(found.len() < limit)
    })?;
    Ok(found)
}

/// Looks up many values at once.
type LookUp<'l> = dyn Fn(&[Place]) -> Result<Vec<Option<Bytes>>> + 'l;

/// The rows at these places; `None`: nothing stands there.
pub(crate) fn rows_at(changes: &[Change], look_up: &LookUp<'_>) -> Result<Vec<Option<Row>>> {
    let places: Vec<Place> = changes.iter().map(|it| (it.family, it.key.clone())).collect();
    let row = |((family, key), value): (&Place, Option<Bytes>)| {
        let index = stored::index(*family).ok_or_else(super::view::bad_key)?;
        Ok(value.map(|value| stored::read(index, key, &value)))
    };
    places.iter().zip(look_up(&places)?).map(row).collect()
}

/// Which of these rows were changed under a number.
pub(crate) fn are_noted(rows: &[Row], epoch: u64, look_up: &LookUp<'_>) -> Result<Vec<bool>> {
    let at = |row: &Row| {
        let (family, key, _) = stored::stored(row).ok_or_else(super::view::bad_key)?;
        Ok((Family::Moves, noted_at(epoch, family, &key)))
    };
    let places = rows.iter().map(at).collect::<Result<Vec<Place>>>()?;
    Ok(look_up(&places)?.into_iter().map(|value| value.is_some()).collect())
}

/// For a source to which lookups are near.
pub(crate) fn one_by_one(source: &impl Source, places: &[Place]) -> Result<Vec<Option<Bytes>>> {
    let get =
        |(family, key): &Place| source.get(*family, key, |value| Ok(Bytes::copy_from_slice(value)));
    places.iter().map(get).collect()
}

#[cfg(test)]
mod tests {
    use model::{Lease, NodeId, Scrub};

    use super::*;

    #[test]
    fn records_come_back() {
        for stage in [Stage::Leaving, Stage::Closing, Stage::Gone, Stage::Coming, Stage::Arrived] {
            let (id, place) = (u64::MAX, "postgres://db/x".to_owned());
            let moving = Moving { id, place, begun: Time(4), epoch: 7, stage };
            assert_eq!(read_door(&door_value(Some(&moving))), Ok(Some(moving)));
        }
        assert_eq!(read_door(&door_value(None)), Ok(None));
        let noted = Noted { family: Family::Names, key: b"x".to_vec() };
        let Noted { family, key } = decode(&encode(&noted)).unwrap();
        assert_eq!((family, key), (Family::Names, b"x".to_vec()));
        assert!(decode::<Noted>(&[1, 99]).is_err());
    }

    #[test]
    fn what_stays_is_told_alike_by_rows_and_keys() {
        let lease = Lease { holder: NodeId(1), until: Time(2) };
        for (row, own) in [
            (Row::Format(1), true),
            (Row::LastId(1), true),
            (Row::Scrub(Scrub::default()), true),
            (Row::OrphansSwept(Time(1)), true),
            (Row::Lease("a".to_owned(), lease), true),
            (Row::KeyCheck(Vec::new()), false),
            (Row::AccountName("s".to_owned(), model::AccountId(1)), false),
            (Row::Joining(model::UploadId([1; 16])), false),
        ] {
            let (family, key, _) = stored::stored(&row).unwrap();
            assert_eq!((row.stays(), stays(family, &key)), (own, own), "{row:?}");
        }
    }
}
