//! Pieces of uploads as they arrive: in whatever order and however cut, the whole is what was sent, and its checksum does not
//! read them again where it could follow them.

use std::{fs, path::Path, sync::Arc, task::Poll, time::Duration};

use blobs::{
    Blobs,
    faulty::Faulty,
    suite::{Chance, seed},
};
use bytes::Bytes;
use model::{Caller, ContentType, Digest, UploadId, UploadState};
use ops::{Limits, MultipartSpec, Parents, PieceSpec, PieceUpload, Stat, TypeRule};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::harness::{Bench, path};

/// A store, an upload in it, and who puts it together once that has begun.
struct Sending {
    bench: Bench,
    caller: Caller,
    id: UploadId,
    joiner: Option<JoinHandle<()>>,
}

impl Sending {
    async fn begin(name: &str) -> Self {
        Self::begin_in(Bench::new(), name).await
    }

    async fn begin_in(bench: Bench, name: &str) -> Self {
        bench.add_user("anna", |_| ()).await;
        let caller = bench.store.caller_named("anna").await.unwrap();
        let spec = MultipartSpec {
            path: path(name),
            // Told by the content it would be read for that.
            content_type: TypeRule::Given(ContentType::parse("video/mp4").unwrap()),
            mtime: 0,
            checksum: None,
            parents: Parents::Required,
        };
        let id = bench.store.create_multipart(&caller, &spec).await.unwrap().id;
        Self { bench, caller, id, joiner: None }
    }

    /// Over a store whose stages cannot be read as they are written.
    async fn begin_unfollowed(name: &str) -> Self {
        let wrap = |blobs| {
            Arc::new(Faulty::new(blobs, Arc::new(|_| Poll::Ready(Ok(()))))) as Arc<dyn Blobs>
        };
        Self::begin_in(Bench::over(Limits::default(), wrap), name).await
    }

    fn join(&mut self) {
        let store = self.bench.store.clone();
        self.joiner = Some(tokio::spawn(async move { store.join_multiparts().await }));
    }

    async fn open(&self, number: u32) -> PieceUpload {
        let spec = PieceSpec { upload: self.id, number, checksum: None, len: None };
        self.bench.store.upload_piece(&self.caller, spec).await.unwrap()
    }

    /// Sends a piece in frames of all sizes.
    async fn send(&self, number: u32, bytes: &[u8], chance: &mut Chance) {
        let mut piece = self.open(number).await;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (frame, later) = rest.split_at(1 + chance.below(rest.len().min(300_000)));
            piece.write(Bytes::copy_from_slice(frame)).await.unwrap();
            rest = later;
            if chance.below(4) == 0 {
                piece.pause();
            }
            if chance.below(8) == 0 {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        }
        let (size, checksum) = piece.commit().await.unwrap();
        assert_eq!((size, checksum), (bytes.len() as u64, sha256(bytes)));
    }

    /// Completes the upload and waits for its end.
    async fn end(&self) -> UploadState {
        self.bench.store.complete_multipart(&self.caller, self.id).await.unwrap();
        loop {
            let upload = self.bench.store.multipart(&self.caller, self.id).await.unwrap();
            match upload.state {
                UploadState::Complete | UploadState::Join => {}
                state => return state,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn checksum(&self, name: &str) -> Digest {
        match self.bench.store.stat(&self.caller, &path(name)).await.unwrap() {
            Stat::File(file) => file.checksum,
            Stat::Directory(_) => panic!("a directory"),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(joiner) = &self.joiner {
            joiner.abort();
        }
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Spoils the bytes of all blobs.
fn spoil(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoil(&path);
        } else {
            let mut bytes = fs::read(&path).unwrap();
            bytes[1000] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
}

/// Pieces of these lengths, in order. Were a byte read again, the upload would fail.
async fn are_not_read_again(mut sending: Sending, lens: [usize; 5]) {
    let (mut chance, mut whole) = (Chance::new(seed()), Vec::new());
    for (number, len) in (1..).zip(lens) {
        let bytes = chance.bytes(len);
        sending.send(number, &bytes, &mut chance).await;
        whole.extend(bytes);
    }
    spoil(&sending.bench.dir.path().join("blobs"));
    sending.join();
    assert_eq!(sending.end().await, UploadState::Success);
    assert_eq!(sending.checksum("f").await, sha256(&whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_in_order_are_not_read_again() {
    let lens = [2_500_000, 300_000, 5_000, 4_000_000, 70_000];
    are_not_read_again(Sending::begin("f").await, lens).await;
}

/// Where what arrives cannot be read, as over an object store, the hash of the whole goes along from a piece's first byte on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_are_they_where_nothing_can_be_read_as_it_comes() {
    let lens = [2_500_000, 5_000, 4_000_000, 300_000, 70_000];
    are_not_read_again(Sending::begin_unfollowed("f").await, lens).await;
}

/// Nor where each comes while the one before is hashed to its end.
#[tokio::test]
async fn nor_are_pieces_that_follow_each_other_closely() {
    let mut sending = Sending::begin_unfollowed("f").await;
    let mut chance = Chance::new(seed());
    let pieces =
        [3_500_000, 2_500_000, 70_000, 4_000_000, 2_200_000, 5_000].map(|len| chance.bytes(len));
    let mut last: Option<JoinHandle<model::Result<(u64, Digest)>>> = None;
    for (number, bytes) in (1..).zip(&pieces) {
        let mut piece = sending.open(number).await;
        for frame in bytes.chunks(100_000) {
            piece.write(Bytes::copy_from_slice(frame)).await.unwrap();
        }
        let before = last.replace(tokio::spawn(piece.commit()));
        // All on one thread: from here on this piece only waits, for its hash or for the one before.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if let Some(before) = before {
            before.await.unwrap().unwrap();
        }
    }
    last.unwrap().await.unwrap().unwrap();
    spoil(&sending.bench.dir.path().join("blobs"));
    sending.join();
    assert_eq!(sending.end().await, UploadState::Success);
    assert_eq!(sending.checksum("f").await, sha256(&pieces.concat()));
}

/// Several at the same time, some sent again, some given up in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_order_the_whole_is_what_was_sent() {
    for round in 0..12 {
        let mut chance = Chance::new(seed() + round);
        let mut sending = Sending::begin("f").await;
        sending.join();
        let count = 2 + chance.below(6);
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for _ in 0..count {
            let len = [1, 100, 70_000, 1_048_576, 2_000_003][chance.below(5)];
            pieces.push(chance.bytes(len));
        }
        let mut order: Vec<usize> = (0..count).collect();
        if round % 3 > 0 {
            order.sort_by_key(|_| chance.below(1000));
        }
        let lanes = 1 + chance.below(4);
        let mut sent: Vec<Vec<(usize, Chance)>> = (0..lanes).map(|_| Vec::new()).collect();
        for (place, number) in order.into_iter().enumerate() {
            let seed = chance.below(usize::MAX) as u64;
            sent[place % lanes].push((number, Chance::new(seed)));
        }
        let lane = async |mut lane: Vec<(usize, Chance)>| {
            for (number, chance) in &mut lane {
                let at = u32::try_from(*number + 1).unwrap();
                match chance.below(5) {
                    0 => sending.send(at, b"of another file", chance).await,
                    1 => {
                        let mut piece = sending.open(at).await;
                        piece.write(Bytes::from(vec![1; 700_000])).await.unwrap();
                    }
                    _ => {}
                }
                sending.send(at, &pieces[*number], chance).await;
            }
        };
        futures_util::future::join_all(sent.into_iter().map(lane)).await;
        assert_eq!(sending.end().await, UploadState::Success, "round {round}");
        assert_eq!(sending.checksum("f").await, sha256(&pieces.concat()), "round {round}");
    }
}
