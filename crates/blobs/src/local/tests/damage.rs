//! Promise 8 at its root: wrong bytes never leave, and damage to one block takes no other with it.

use std::{fs, path::Path};

use model::{AccountId, BlobId, Error, Result};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{NOW, files, frame, path_of, store};
use crate::{
    Blob, Blobs,
    layout::{BLOCK_BYTES, FOOTER_BYTES},
    suite::{Chance, sealed, seed},
};

/// Three whole blocks and a part of one.
const LEN: usize = 3 * BLOCK_BYTES + 1234;
const BLOCKS: usize = 4;

fn is_damaged<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Damaged(_)))
}

fn flip(path: &Path, at: usize, mask: u8) {
    let mut raw = fs::read(path).unwrap();
    raw[at] ^= mask;
    fs::write(path, raw).unwrap();
}

async fn open(blobs: &dyn Blobs, id: BlobId) -> Result<Box<dyn Blob>> {
    blobs.open(id).await
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_where_it_is_and_nowhere_else() {
    let (dir, local) = store();
    let seed = seed();
    let mut chance = Chance::new(seed);
    let content = chance.bytes(LEN);
    let id = sealed(&local, &content, NOW).await;
    let path = path_of(dir.path(), id);
    let whole = fs::metadata(&path).unwrap().len();
    assert_eq!(whole, (LEN + 4 * BLOCKS + FOOTER_BYTES) as u64);
    let footer_at = LEN + 4 * BLOCKS;

    let edges = [0, BLOCK_BYTES - 1, BLOCK_BYTES, LEN - 1, LEN, LEN + 15, footer_at];
    let places: Vec<_> =
        edges.into_iter().chain((0..200).map(|_| chance.below(footer_at + 64))).collect();
    for at in places {
        let mask = 1 << chance.below(8);
        flip(&path, at, mask);
        let opened = open(&local, id).await;
        if at >= footer_at {
            assert!(is_damaged(&opened.map(|_| ())), "seed {seed}: footer byte {}", at - footer_at);
        } else {
            let hit = if at < LEN { at / BLOCK_BYTES } else { (at - LEN) / 4 };
            let blob = opened.unwrap();
            assert!(is_damaged(&blob.read(0, LEN).await), "seed {seed}: whole, byte {at}");
            for block in 0..BLOCKS {
                let begin = block * BLOCK_BYTES;
                let len = BLOCK_BYTES.min(LEN - begin);
                let read = blob.read(begin as u64, len).await;
                if block == hit {
                    let text = read.unwrap_err().to_string();
                    assert!(text.contains(&format!("block {block} ")), "{text}");
                    assert!(text.contains(&id.to_hex()), "{text}");
                    // Not even the half of the block that is as it was.
                    assert!(is_damaged(&blob.read((begin + len - 1) as u64, 1).await));
                } else {
                    assert!(read.unwrap() == content[begin..begin + len], "seed {seed}");
                }
            }
        }
        flip(&path, at, mask);
    }
    assert!(open(&local, id).await.unwrap().read(0, LEN).await.unwrap() == content);
}

#[tokio::test]
async fn a_file_cut_short_or_gone_on_is_damaged() {
    let (dir, local) = store();
    let seed = seed();
    let mut chance = Chance::new(seed);
    let content = chance.bytes(LEN);
    let id = sealed(&local, &content, NOW).await;
    let path = path_of(dir.path(), id);
    let raw = fs::read(&path).unwrap();

    let short = (0..40).map(|_| raw[..chance.below(raw.len())].to_vec());
    let edges = [0, 1, 63, 64, LEN, raw.len() - 64, raw.len() - 1].map(|n| raw[..n].to_vec());
    let long = [vec![0], vec![0; 4096], raw.clone(), raw[raw.len() - 64..].to_vec()]
        .map(|more| [&raw[..], &more].concat());
    // The content cut, with a footer that is right for what it was: found by its length.
    let joined = [&raw[..LEN - 5], &raw[LEN..]].concat();
    for bad in short.chain(edges).chain(long).chain([joined]) {
        fs::write(&path, &bad).unwrap();
        let opened = open(&local, id).await.map(|_| ());
        assert!(is_damaged(&opened), "seed {seed}: {} of {} bytes", bad.len(), raw.len());
    }
    fs::remove_file(&path).unwrap();
    assert!(is_damaged(&open(&local, id).await.map(|_| ())), "deleted");
}

/// As by a failing disk or an operator, while a reader is at work.
#[tokio::test]
async fn a_file_cut_short_under_a_reader_is_damaged() {
    let (dir, local) = store();
    let content = Chance::new(1).bytes(LEN);
    let id = sealed(&local, &content, NOW).await;
    let blob = open(&local, id).await.unwrap();
    fs::OpenOptions::new().write(true).open(path_of(dir.path(), id)).unwrap().set_len(100).unwrap();
    for (at, len) in [(0, 1), (0, LEN), (LEN as u64 - 1, 1)] {
        let read = blob.read(at, len).await;
        assert!(is_damaged(&read), "{read:?}");
    }
}

#[tokio::test]
async fn swapped_files_are_damaged() {
    let (dir, local) = store();
    let (one, two) = (Chance::new(1).bytes(LEN), Chance::new(2).bytes(LEN));
    let (a, b) = (sealed(&local, &one, NOW).await, sealed(&local, &two, NOW).await);
    let (file_a, file_b) = (path_of(dir.path(), a), path_of(dir.path(), b));
    let (raw_a, raw_b) = (fs::read(&file_a).unwrap(), fs::read(&file_b).unwrap());
    fs::write(&file_a, &raw_b).unwrap();
    fs::write(&file_b, &raw_a).unwrap();
    for id in [a, b] {
        assert!(is_damaged(&open(&local, id).await.map(|_| ())));
    }
    // Swapped below the footer, as by a disk that wrote blocks to the wrong place.
    let mixed = [&raw_b[..BLOCK_BYTES], &raw_a[BLOCK_BYTES..]].concat();
    fs::write(&file_a, &mixed).unwrap();
    let blob = open(&local, a).await.unwrap();
    assert!(is_damaged(&blob.read(5, 5).await));
    let rest = blob.read(BLOCK_BYTES as u64, LEN - BLOCK_BYTES).await.unwrap();
    assert!(rest == one[BLOCK_BYTES..]);
}

/// Ranges of blobs of any length, whole and with one byte damaged, against the content in memory.
#[test]
fn ranges_are_the_content_or_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (dir, local) = store();
    let blob = (0..5 * BLOCK_BYTES, any::<u64>(), any::<Option<prop::sample::Index>>());
    let ranges = prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..12);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(150));
    let held = runner.run(&(blob, ranges), |((len, seed, damage), ranges)| {
        runtime.block_on(async {
            let content = Chance::new(seed).bytes(len);
            let id = sealed(&local, &content, NOW).await;
            let blob = open(&local, id).await.unwrap();
            let hit = damage.filter(|_| len > 0).map(|at| at.index(len));
            if let Some(at) = hit {
                flip(&path_of(dir.path(), id), at, 0x80);
            }
            for (a, b) in ranges {
                let (a, b) = (a.index(len + 1), b.index(len + 1));
                let (begin, end) = (a.min(b), a.max(b));
                let read = blob.read(begin as u64, end - begin).await;
                let blocks = begin / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
                if begin < end && hit.is_some_and(|at| blocks.contains(&(at / BLOCK_BYTES))) {
                    prop_assert!(is_damaged(&read));
                } else {
                    prop_assert!(read.unwrap() == content[begin..end]);
                }
            }
            local.remove(id).await.unwrap();
            Ok(())
        })
    });
    held.unwrap();
}

#[tokio::test]
async fn a_flipped_bit_under_a_stage_is_noticed_by_its_readers() {
    let (dir, local) = store();
    let mut stage = local.stage(AccountId(1), NOW).await.unwrap();
    let reader = stage.follow().unwrap();
    stage.write(frame(3 * 1024 * 1024)).await.unwrap();
    // The next batch begins when the one before is written.
    stage.write(frame(1024 * 1024)).await.unwrap();
    let path = files(&dir.path().join("stage")).remove(0);
    flip(&path, 100_000, 4);
    assert!(is_damaged(&reader.read(70_000, 100).await));
    assert_eq!(reader.read(0, 65_536).await.unwrap().len(), 65_536, "the block before is whole");
    drop(stage);
}
