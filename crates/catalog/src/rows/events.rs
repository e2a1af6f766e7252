//! Callbacks and the events that wait for them: the lookups and changes that [`crate::Read`] and [`crate::Tx`] ask for,
//! and the fields of their records.
//!
//! What does not live here: the layout of keys, and who is told what and when (operations).
//!
//! Invariant: a callback's counter counts the events that wait for it.

use model::{
    AccountId, Callback, CallbackId, CallbackState, Digest, Error, Event, EventFile, EventKind,
    Result, Time, UserId,
};

use super::codec::{In, Out, Record, decode};
use super::keys::{self, Family};
use super::record::{Number, read_path};
use super::source::{Group, Source};
use super::tx::misuse;
use super::view::View;

/// All callbacks of an account: few, and looked up by every change, so one record.
#[derive(Debug, PartialEq)]
pub(crate) struct Callbacks(pub(crate) Vec<Callback>);

impl Record<'_> for Callbacks {
    const WHAT: &'static str = "callbacks";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Out) {
        out.varint(self.0.len() as u64);
        for callback in &self.0 {
            out.varint(callback.id.0);
            out.varint(callback.account.0.into());
            out.varint(callback.user.0.into());
            out.text(callback.root.as_str());
            out.text(&callback.uri);
            out.bytes(&callback.sealed_secret);
            out.varint(callback.flags.into());
            out.varint(callback.threshold);
            out.varint(callback.created.0);
            out.byte(match callback.state {
                CallbackState::Active => 1,
                CallbackState::Paused => 2,
                CallbackState::Deleted => 3,
            });
            out.varint(callback.dead);
            out.varint(callback.last_event);
        }
    }

    fn read(version: u8, from: &mut In<'_>) -> Result<Self> {
        let count = from.varint()?;
        (0..count).map(|_| read_callback(version, from)).collect::<Result<_>>().map(Self)
    }
}

fn read_callback(version: u8, from: &mut In<'_>) -> Result<Callback> {
    Ok(Callback {
        id: CallbackId(from.varint()?),
        account: AccountId(from.varint32()?),
        user: UserId(from.varint32()?),
        root: read_path(from)?,
        uri: from.text()?.to_owned(),
        sealed_secret: from.bytes()?.to_vec(),
        flags: from.varint32()?,
        threshold: from.varint()?,
        created: Time(from.varint()?),
        state: match from.byte()? {
            1 => CallbackState::Active,
            2 => CallbackState::Paused,
            3 => CallbackState::Deleted,
            other => return Err(from.damaged(&format!("has state {other}"))),
        },
        dead: from.varint()?,
        last_event: if version > 1 { from.varint()? } else { 0 },
    })
}

impl Record<'_> for Event {
    const WHAT: &'static str = "event";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.id);
        out.byte(self.kind.number());
        out.text(self.path.as_str());
        out.flag(self.old_path.is_some());
        if let Some(old) = &self.old_path {
            out.text(old.as_str());
        }
        out.flag(self.file.is_some());
        if let Some(file) = &self.file {
            out.varint(file.size);
            out.fixed(&file.checksum.0);
        }
        out.varint(self.time.0);
        out.varint(self.attempts.into());
        out.varint(self.next.0);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            id: from.varint()?,
            kind: {
                let number = from.byte()?;
                let kind = EventKind::ALL.get(usize::from(number)).copied();
                kind.ok_or_else(|| from.damaged(&format!("has kind {number}")))?
            },
            path: read_path(from)?,
            old_path: if from.flag()? { Some(read_path(from)?) } else { None },
            file: if from.flag()? {
                Some(EventFile { size: from.varint()?, checksum: Digest(from.array()?) })
            } else {
                None
            },
            time: Time(from.varint()?),
            attempts: from.varint32()?,
            next: Time(from.varint()?),
        })
    }
}

impl<S: Source> View<S> {
    /// An account's callbacks.
    pub(crate) fn find_callbacks(&self, account: AccountId) -> Result<Vec<Callback>> {
        let found: Option<Callbacks> = self.record(Family::Meta, &keys::callbacks(account))?;
        Ok(found.map_or_else(Vec::new, |callbacks| callbacks.0))
    }

    /// Those of all accounts.
    pub(crate) fn list_callbacks(&self) -> Result<Vec<Callback>> {
        let mut all = Vec::new();
        let below = keys::end_of(keys::CALLBACKS);
        self.page(Family::Meta, (keys::CALLBACKS, &below), usize::MAX, &mut |_, value| {
            all.extend(decode::<Callbacks>(value)?.0);
            Ok(())
        })?;
        Ok(all)
    }

    /// A page of the events that wait for a callback.
    pub(crate) fn list_events(
        &self,
        account: AccountId,
        callback: CallbackId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let Some(first) = after.checked_add(1) else { return Ok(events) };
        let from = keys::event(account, callback, first);
        let below = keys::end_of(&keys::events(account, callback));
        self.page(Family::Events, (&from, &below), limit, &mut |_, value| {
            events.push(decode(value)?);
            Ok(())
        })?;
        Ok(events)
    }

    /// How many events wait for a callback.
    pub(crate) fn count_events(&self, callback: CallbackId) -> Result<u64> {
        let count = self.number(Family::Meta, &keys::waiting_events(callback))?;
        Ok(count.map_or(0, |count| count.0))
    }
}

impl<S: Group> View<S> {
    /// Sets an account's callbacks.
    pub(crate) fn store_callbacks(&mut self, account: AccountId, callbacks: &[Callback]) {
        let key = keys::callbacks(account);
        if callbacks.is_empty() {
            self.remove(Family::Meta, key);
        } else {
            self.put(Family::Meta, key, &Callbacks(callbacks.to_vec()));
        }
    }

    /// Adds an event, or replaces it.
    pub(crate) fn store_event(
        &mut self,
        account: AccountId,
        callback: CallbackId,
        event: &Event,
    ) -> Result<()> {
        let key = keys::event(account, callback, event.id);
        if self.record::<Event>(Family::Events, &key)?.is_none() {
            self.set_event_count(callback, self.count_events(callback)? + 1);
        }
        self.put(Family::Events, key, event);
        Ok(())
    }

    /// Removes an event that is there.
    pub(crate) fn drop_event(
        &mut self,
        account: AccountId,
        callback: CallbackId,
        id: u64,
    ) -> Result<()> {
        let key = keys::event(account, callback, id);
        if self.record::<Event>(Family::Events, &key)?.is_none() {
            return Err(misuse(format!("event {id} of callback {} is not there", callback.0)));
        }
        let wrong =
            || Error::Damaged(format!("callback {} counts fewer events than wait", callback.0));
        let count = self.count_events(callback)?.checked_sub(1).ok_or_else(wrong)?;
        self.set_event_count(callback, count);
        self.remove(Family::Events, key);
        Ok(())
    }

    fn set_event_count(&mut self, callback: CallbackId, count: u64) {
        let key = keys::waiting_events(callback);
        match count {
            0 => self.remove(Family::Meta, key),
            _ => self.put(Family::Meta, key, &Number(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::codec::encode;

    #[test]
    fn callbacks_of_the_first_layout_move_up() {
        let old = [1, 1, 5, 1, 2, 0, 1, b'u', 1, b's', 0, 3, 4, 1, 6];
        let Callbacks(list) = decode(&old).unwrap();
        assert_eq!((list[0].id, list[0].dead, list[0].last_event), (CallbackId(5), 6, 0));
        assert_eq!(decode::<Callbacks>(&encode(&Callbacks(list.clone()))), Ok(Callbacks(list)));
    }
}
