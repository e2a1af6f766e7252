//! The law for engines: what every implementation of [`Blobs`] must keep, as functions that take an engine.
//!
//! What lives here: promises that can be seen through the trait alone. What does not: how an engine stores bytes, and
//! how it finds damage; each engine tests that beside its code. The invariant: a law panics with the reason, and with
//! the seed of the run if chance played a part.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use model::{AccountId, BlobId, Digest, Error, Result, Time};
use sha2::{Digest as _, Sha256};

use crate::{Blob, Blobs, Lying, Stage, Staged};

/// Opens the engine under test: the first call on an empty store, each later one on the same store again, as a new
/// process would, after all that came from the call before was dropped.
pub type Open<'a> = &'a (dyn Fn() -> Arc<dyn Blobs> + Sync);

/// Lengths at and around the sizes that engines work in.
pub const LENGTHS: [usize; 9] =
    [0, 1, 4095, 65_535, 65_536, 65_537, 1024 * 1024 - 1, 1024 * 1024, 3 * 1024 * 1024 + 7];

const ACCOUNT: AccountId = AccountId(7);
const NOW: Time = Time(1_764_000_000_123);

/// Small, repeatable, and good enough to choose lengths and bytes: SplitMix64.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same choices.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// That many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Makes a test of every law. `$fresh` is a function that returns a way to open a new, empty store: an
/// `impl Fn() -> Arc<dyn Blobs> + Sync`, see [`Open`].
#[macro_export]
macro_rules! laws {
    ($fresh:path) => {
        $crate::laws!($fresh: round_trips, ranges_outside_are_refused, what_is_dropped_is_not_there,
            a_seal_nobody_waits_for_is_whole_or_absent, a_removed_blob_reads_until_dropped,
            sealed_blobs_survive_reopening, sealed_between_finds_by_time, streams_do_not_mix,
            a_stage_can_be_read_while_it_is_written, what_lies_there_is_surveyed);
    };
    ($fresh:path: $($law:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            let open = $fresh();
            $crate::suite::$law(&open, $crate::suite::seed()).await;
        })+
    };
}

/// A seed of this run; laws that fail name it.
pub fn seed() -> u64 {
    getrandom::u64().expect("random numbers")
}

/// What was written in frames of any size is read back: whole, and in ranges; length, digest and id tell the truth.
pub async fn round_trips(open: Open<'_>, seed: u64) {
    let blobs = open();
    let mut chance = Chance::new(seed);
    for len in LENGTHS {
        for frame_max in [7 + len / 500, 70_000, 400_000] {
            let content = chance.bytes(len);
            let staged = stage(&*blobs, &content, frame_max, &mut chance).await;
            assert_eq!(staged.len(), len as u64, "seed {seed}");
            assert_eq!(staged.is_empty(), len == 0, "seed {seed}");
            assert_eq!(staged.digest(), sha256(&content), "seed {seed}, {len} bytes");
            let id = done(staged.seal().await, "seal");
            assert_eq!((id.account(), id.staged_ms()), (ACCOUNT, NOW.0));
            let blob = done(blobs.open(id).await, "open");
            reads_as(&*blob, &content, seed).await;
            for _ in 0..20 {
                let at = chance.below(len + 1);
                let n = chance.below(len - at + 1);
                let read = done(blob.read(at as u64, n).await, "read");
                assert!(read == content[at..at + n], "seed {seed}: {n} bytes at {at} of {len}");
            }
        }
    }
}

/// A range that is not inside the blob is refused, however large its numbers.
pub async fn ranges_outside_are_refused(open: Open<'_>, seed: u64) {
    let blobs = open();
    let id = sealed(&*blobs, &Chance::new(seed).bytes(70_000), NOW).await;
    let blob = done(blobs.open(id).await, "open");
    for (at, n) in [
        (0, 70_001),
        (70_000, 1),
        (70_001, 0),
        (u64::MAX, 1),
        (u64::MAX - 5, 70_000),
        (1, usize::MAX),
    ] {
        let read = blob.read(at, n).await;
        assert!(matches!(read, Err(Error::Damaged(_))), "{n} bytes at {at}: {read:?}");
    }
    assert_eq!(done(blob.read(70_000, 0).await, "nothing at the end"), Bytes::new());
    let unknown = BlobId::new(ACCOUNT, NOW.0, [1; 6]);
    let missing = blobs.open(unknown).await.map(|_| ());
    assert!(matches!(missing, Err(Error::Damaged(_))), "a blob that never was: {missing:?}");
}

/// A stage that is dropped, wherever it stands, never gets a name, and disturbs no other.
pub async fn what_is_dropped_is_not_there(open: Open<'_>, seed: u64) {
    let blobs = open();
    let mut chance = Chance::new(seed);
    let content = chance.bytes(5 * 1024 * 1024);
    for polls in 0..12 {
        let mut begun = done(blobs.stage(ACCOUNT, NOW).await, "stage");
        let written = chance.below(content.len());
        write(&mut *begun, &content[..written], 300_000, &mut chance).await;
        give_up_after(polls, async move { begun.finish().await.map(|_| ()) }).await;

        let mut begun = done(blobs.stage(ACCOUNT, NOW).await, "stage");
        give_up_after(polls, async {
            write(&mut *begun, &content, 300_000, &mut Chance::new(seed)).await;
        })
        .await;
        drop(begun);
        drop(stage(&*blobs, &content[..written], 300_000, &mut chance).await);
    }
    let id = sealed(&*blobs, &content, NOW).await;
    assert_eq!(listed(&*blobs, Time(0), NOW.plus_secs(1)).await, [id], "seed {seed}");
    reads_as(&*done(blobs.open(id).await, "open"), &content, seed).await;
}

/// A seal whose caller went away ends by itself: the blob is whole, and the sweeper finds it, or there is none.
pub async fn a_seal_nobody_waits_for_is_whole_or_absent(open: Open<'_>, seed: u64) {
    let blobs = open();
    let mut chance = Chance::new(seed);
    let content = chance.bytes(2 * 1024 * 1024 + 3);
    for polls in 0..6 {
        let staged = stage(&*blobs, &content, 400_000, &mut chance).await;
        give_up_after(polls, staged.seal()).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for id in listed(&*blobs, Time(0), NOW.plus_secs(1)).await {
        reads_as(&*done(blobs.open(id).await, "open"), &content, seed).await;
        done(blobs.remove(id).await, "remove");
    }
    assert_eq!(listed(&*blobs, Time(0), NOW.plus_secs(1)).await, []);
}

/// Removal takes the name at once and the bytes when the last reader is gone; removing twice is a success.
pub async fn a_removed_blob_reads_until_dropped(open: Open<'_>, seed: u64) {
    let blobs = open();
    let content = Chance::new(seed).bytes(300_000);
    let id = sealed(&*blobs, &content, NOW).await;
    let other = sealed(&*blobs, &content, NOW).await;
    let reader = done(blobs.open(id).await, "open");
    done(blobs.remove(id).await, "remove");
    reads_as(&*reader, &content, seed).await;
    let again = blobs.open(id).await.map(|_| ());
    assert!(matches!(again, Err(Error::Damaged(_))), "opened after its removal: {again:?}");
    done(blobs.remove(id).await, "remove again");
    reads_as(&*done(blobs.open(other).await, "open"), &content, seed).await;
}

/// What was sealed is there, unchanged, for the next process; what was not is not.
pub async fn sealed_blobs_survive_reopening(open: Open<'_>, seed: u64) {
    let mut chance = Chance::new(seed);
    let mut kept = Vec::new();
    for _ in 0..3 {
        let blobs = open();
        for _ in 0..4 {
            let len = chance.below(200_000);
            let content = chance.bytes(len);
            kept.push((sealed(&*blobs, &content, NOW).await, content));
        }
        drop(stage(&*blobs, &kept[0].1, 1000, &mut chance).await);
        for (id, content) in &kept {
            reads_as(&*done(blobs.open(*id).await, "open"), content, seed).await;
        }
        let mut ids: Vec<_> = kept.iter().map(|(id, _)| *id).collect();
        ids.sort();
        assert_eq!(listed(&*blobs, Time(0), NOW.plus_secs(1)).await, ids, "seed {seed}");
    }
}

/// The sweeper's walk tells blobs apart by the time they were staged, and knows of no other.
pub async fn sealed_between_finds_by_time(open: Open<'_>, seed: u64) {
    let blobs = open();
    let mut ids = Vec::new();
    for second in 0..5 {
        ids.push(sealed(&*blobs, &Chance::new(seed).bytes(9), NOW.plus_secs(second)).await);
    }
    for second in 0..6 {
        let before = NOW.plus_secs(second);
        let count = usize::try_from(second).expect("small");
        assert_eq!(listed(&*blobs, Time(0), before).await, ids[..count], "before +{second} s");
    }
    done(blobs.remove(ids[0]).await, "remove");
    assert_eq!(listed(&*blobs, Time(0), NOW.plus_secs(9)).await, ids[1..]);
}

/// Many streams at once end as themselves.
pub async fn streams_do_not_mix(open: Open<'_>, seed: u64) {
    let blobs = open();
    let streams = (0..8).map(|n| {
        let (blobs, mut chance) = (Arc::clone(&blobs), Chance::new(seed ^ n));
        async move {
            let len = chance.below(4 * 1024 * 1024);
            let content = chance.bytes(len);
            let staged = stage(&*blobs, &content, 100_000, &mut chance).await;
            assert_eq!(staged.digest(), sha256(&content), "seed {seed}");
            (done(staged.seal().await, "seal"), content)
        }
    });
    for (id, content) in futures_util::future::join_all(streams).await {
        reads_as(&*done(blobs.open(id).await, "open"), &content, seed).await;
    }
}

/// What a stage has taken over can be read at once, wherever it is by then, and stays readable whatever becomes of it.
pub async fn a_stage_can_be_read_while_it_is_written(open: Open<'_>, seed: u64) {
    let blobs = open();
    let mut chance = Chance::new(seed);
    for (frame_max, keep) in [(1_000, true), (70_000, false), (400_000, true)] {
        let content = chance.bytes(300_000 + frame_max * 10);
        let mut begun = done(blobs.stage(ACCOUNT, NOW).await, "stage");
        let reader = begun.follow().expect("nothing was written yet");
        assert!(done(reader.read(0, 5).await, "read").is_empty());
        let mut taken = 0;
        while taken < content.len() {
            let next = (taken + 1 + chance.below(frame_max)).min(content.len());
            done(begun.write(Bytes::copy_from_slice(&content[taken..next])).await, "write");
            taken = next;
            for at in [0, chance.below(taken), taken - 1] {
                let asked = 1 + chance.below(200_000);
                let read = done(reader.read(at as u64, asked).await, "read");
                assert!(!read.is_empty() && read.len() <= asked, "seed {seed}");
                assert!(at + read.len() <= taken, "seed {seed}: bytes that did not come");
                assert!(read == content[at..at + read.len()], "seed {seed}: at {at} of {taken}");
            }
            assert!(done(reader.read(taken as u64, 5).await, "read").is_empty());
        }
        assert!(begun.follow().is_none(), "seed {seed}: too late");
        if keep {
            let staged = done(begun.finish().await, "finish");
            assert_eq!(staged.digest(), sha256(&content), "seed {seed}");
            done(staged.seal().await, "seal");
        } else {
            drop(begun);
        }
        let mut at = 0;
        while at < content.len() {
            let read = done(reader.read(at as u64, 100_000).await, "read");
            assert!(!read.is_empty() && read == content[at..at + read.len()], "seed {seed}");
            at += read.len();
        }
    }
}

/// Stages and seals `content`.
pub async fn sealed(blobs: &dyn Blobs, content: &[u8], now: Time) -> BlobId {
    let mut begun = done(blobs.stage(ACCOUNT, now).await, "stage");
    done(begun.write(Bytes::copy_from_slice(content)).await, "write");
    let staged = done(begun.finish().await, "finish");
    done(staged.seal().await, "seal")
}

/// What [`Blobs::sealed_between`] visits, sorted; no batch may be empty or longer than 1,000.
pub async fn listed(blobs: &dyn Blobs, since: Time, before: Time) -> Vec<BlobId> {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&ids);
    let visit = Box::new(move |batch: Vec<BlobId>| {
        assert!((1..=1000).contains(&batch.len()), "a batch of {}", batch.len());
        into.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
    });
    done(blobs.sealed_between(since, before, visit).await, "sealed_between");
    let mut ids = std::mem::take(&mut *ids.lock().unwrap_or_else(PoisonError::into_inner));
    ids.sort();
    ids
}

/// Writes `content` in frames of up to `frame_max` bytes.
async fn write(stage: &mut dyn Stage, content: &[u8], frame_max: usize, chance: &mut Chance) {
    let mut rest = Bytes::copy_from_slice(content);
    while !rest.is_empty() {
        let frame = rest.split_to((1 + chance.below(frame_max)).min(rest.len()));
        done(stage.write(frame).await, "write");
        if chance.below(20) == 0 {
            done(stage.write(Bytes::new()).await, "write nothing");
        }
    }
}

async fn stage(
    blobs: &dyn Blobs,
    content: &[u8],
    frame_max: usize,
    chance: &mut Chance,
) -> Box<dyn Staged> {
    let mut begun = done(blobs.stage(ACCOUNT, NOW).await, "stage");
    write(&mut *begun, content, frame_max, chance).await;
    done(begun.finish().await, "finish")
}

async fn reads_as(blob: &dyn Blob, content: &[u8], seed: u64) {
    assert_eq!(blob.len(), content.len() as u64, "seed {seed}");
    let read = done(blob.read(0, content.len()).await, "read");
    assert!(read == content, "seed {seed}: {} bytes are not what was written", content.len());
}

/// Polls `work` that many times, with room for other tasks in between, then drops it.
async fn give_up_after(polls: usize, work: impl Future) {
    let mut work = pin!(work);
    for _ in 0..polls {
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn done<T, E: fmt::Display>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(e) => panic!("{what}: {e}"),
    }
}

/// A survey tells of every sealed blob once, and of no blob that was removed.
pub async fn what_lies_there_is_surveyed(open: Open<'_>, seed: u64) {
    let blobs = open();
    let mut chance = Chance::new(seed);
    let mut ids = Vec::new();
    for len in LENGTHS {
        ids.push(sealed(&*blobs, &chance.bytes(len), NOW).await);
    }
    done(blobs.remove_all(ids.drain(..3).collect()).await, "remove");
    done(blobs.remove_all(vec![BlobId([9; 16])]).await, "remove what is not there");
    let found: Arc<Mutex<Vec<Lying>>> = Arc::default();
    let list = found.clone();
    let visit = Box::new(move |some: Vec<Lying>| {
        list.lock().unwrap_or_else(PoisonError::into_inner).extend(some);
    });
    done(blobs.survey(visit).await, "survey");
    let lying = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    let sealed = lying.iter().filter_map(|one| match one {
        Lying::Sealed(id) => Some(*id),
        Lying::Staged(_) | Lying::Stray(_) => None,
    });
    let mut sealed: Vec<BlobId> = sealed.collect();
    sealed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(sealed, ids, "seed {seed}");
}
