//! Whose turn it is among the pieces of an upload that arrive at the same time: lower numbers first.
//!
//! What lives here: how many pieces of one upload are taken over at once, and in which order. What does not: pieces of
//! different uploads, which know nothing of each other. The reason: the checksum of the whole goes through the pieces one
//! after the other, on one core. While all pieces come equally fast it has nothing to do, and everything when they have
//! all come; when they come one after the other it keeps up with them, and needs a core of its own for it.
//!
//! Nobody waits for a piece that only its network holds up: a turn ends when the bytes that are here are taken over. And
//! nobody waits long: see [`WAIT_MAX`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use model::UploadId;
use tokio::{sync::oneshot, time::timeout};

/// For how long bytes wait for their turn; then they are taken over without. It keeps the connection of a piece alive
/// while pieces before it take everything the server has.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Of all uploads.
pub(crate) struct Turns {
    at_once: usize,
    gates: Mutex<HashMap<UploadId, Weak<Gate>>>,
}

/// Of one upload.
pub(super) struct Gate {
    at_once: usize,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    running: usize,
    /// By number of the piece, and who of those with the same number came first.
    waiting: BTreeMap<(u32, u64), oneshot::Sender<Turn>>,
    came: u64,
}

/// A turn; ends when it is dropped.
pub(super) struct Turn(Arc<Gate>);

impl Default for Turns {
    /// As many at once as there are cores beside the one for the checksum of the whole.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { at_once: cores.saturating_sub(1).max(1), gates: Mutex::default() }
    }
}

impl Turns {
    /// The turns of an upload. They are forgotten when nobody has them.
    pub(super) fn of(&self, id: UploadId) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(&id).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Gate { at_once: self.at_once, line: Mutex::default() });
        gates.insert(id, Arc::downgrade(&gate));
        gate
    }
}

impl Gate {
    /// Waits for a turn, but not for long. May be dropped.
    pub(super) async fn turn(self: &Arc<Self>, piece: u32) -> Option<Turn> {
        let (key, mine) = {
            let mut line = self.line();
            if line.running < self.at_once {
                line.running += 1;
                return Some(Turn(Arc::clone(self)));
            }
            let (sender, mine) = oneshot::channel();
            let key = (piece, line.came);
            line.came += 1;
            line.waiting.insert(key, sender);
            (key, mine)
        };
        if let Ok(turn) = timeout(WAIT_MAX, mine).await {
            return turn.ok();
        }
        self.line().waiting.remove(&key);
        None
    }

    /// Whether somebody waits for a turn.
    pub(super) fn is_awaited(&self) -> bool {
        !self.line().waiting.is_empty()
    }

    /// Whether somebody waits for a turn who goes before this piece.
    pub(super) fn is_before(&self, piece: u32) -> bool {
        self.line().waiting.first_key_value().is_some_and(|((first, _), _)| *first < piece)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = self.0.line();
        match line.waiting.pop_first() {
            None => line.running -= 1,
            Some((_, next)) => {
                drop(line);
                // One that stopped waiting gives it back, and it is passed on.
                drop(next.send(Turn(Arc::clone(&self.0))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt as _, future::join3};

    use super::*;

    fn one_at_a_time() -> Turns {
        Turns { at_once: 1, gates: Mutex::default() }
    }

    #[tokio::test]
    async fn lower_numbers_come_first() {
        let turns = one_at_a_time();
        let gate = turns.of(UploadId([1; 16]));
        let first = gate.turn(5).await.unwrap();
        let order = Mutex::new(Vec::new());
        let take = async |piece| {
            let turn = gate.turn(piece).await;
            order.lock().unwrap().push((piece, turn.is_some()));
        };
        let mut all = pin!(join3(take(9), take(2), take(7)));
        assert!(all.as_mut().now_or_never().is_none(), "one has the turn");
        drop(first);
        all.await;
        assert_eq!(*order.lock().unwrap(), [(2, true), (7, true), (9, true)]);
        assert_eq!(gate.line().running, 0);
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nobody_a_turn() {
        let turns = one_at_a_time();
        let gate = turns.of(UploadId([1; 16]));
        let first = gate.turn(1).await.unwrap();
        {
            let mut gone = pin!(gate.turn(2));
            assert!(gone.as_mut().now_or_never().is_none());
        }
        let mut waits = pin!(gate.turn(3));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        let turn = waits.now_or_never().flatten();
        assert!(turn.is_some());
        drop(turn);
        assert!(gate.line().waiting.is_empty() && gate.line().running == 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let turns = one_at_a_time();
        let gate = turns.of(UploadId([1; 16]));
        let _first = gate.turn(1).await.unwrap();
        assert!(gate.turn(2).await.is_none());
        assert!(gate.line().waiting.is_empty());
    }

    #[tokio::test]
    async fn uploads_do_not_wait_for_each_other_and_are_forgotten() {
        let turns = one_at_a_time();
        let (one, other) = (turns.of(UploadId([1; 16])), turns.of(UploadId([2; 16])));
        let turn = one.turn(1).await;
        assert!(turn.is_some() && other.turn(1).await.is_some());
        assert!(Arc::ptr_eq(&one, &turns.of(UploadId([1; 16]))));
        drop((one, other, turn));
        drop(turns.of(UploadId([3; 16])));
        assert_eq!(turns.gates.lock().unwrap().len(), 1);
    }
}
