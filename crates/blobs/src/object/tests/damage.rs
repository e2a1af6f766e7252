//! Wrong bytes at the store: found whatever they are, never served.

use model::Error;
use object_store::{ObjectStoreExt as _, path::Path};

use super::*;
use crate::layout::BLOCK_BYTES;

const LEN: usize = 3 * 1024 * 1024 + 12_345;

async fn bytes_of(fixture: &Fixture, path: &Path) -> Vec<u8> {
    fixture.store.get(path).await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn no_bit_flips_unseen() {
    let fixture = Fixture::new();
    let content = content(LEN);
    let id = put(&fixture.engine(), &content).await.unwrap();
    let path = fixture.engine().shared.names.blob(id);
    let good = bytes_of(&fixture, &path).await;
    let trailer = LEN..good.len();
    let spots = (0..LEN).step_by(BLOCK_BYTES / 2 + 7).chain(trailer.step_by(3));
    for at in spots.chain([LEN - 1, LEN, good.len() - 1]) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fixture.store.put(&path, bad.into()).await.unwrap();
        let read = whole(&fixture.engine(), id).await;
        assert!(matches!(read, Err(Error::Damaged(_))), "byte {at}: {:?}", read.map(|_| ()));
        if at < LEN {
            let blob = fixture.engine().open(id).await.unwrap();
            let other = (at / (1 << 20) + 1) % 3 * (1 << 20);
            let read = blob.read(other as u64, 100_000).await.unwrap();
            assert!(
                read == content[other..other + 100_000],
                "damage elsewhere takes nothing along"
            );
        }
    }
}

#[tokio::test]
async fn what_is_cut_grown_swapped_or_gone_is_damaged() {
    let fixture = Fixture::new();
    let (content, other) = (content(LEN), content(70_000));
    let id = put(&fixture.engine(), &content).await.unwrap();
    let of_other = put(&fixture.engine(), &other).await.unwrap();
    let names = fixture.engine().shared.names.clone();
    let path = names.blob(id);
    let good = bytes_of(&fixture, &path).await;
    let swapped = bytes_of(&fixture, &names.blob(of_other)).await;
    let mut grown = good.clone();
    grown.push(0);
    let cuts = [0, 1, 63, 64, LEN, good.len() - 1];
    let bad = cuts.map(|len| good[..len].to_vec()).into_iter().chain([grown, swapped]);
    for bad in bad {
        let len = bad.len();
        fixture.store.put(&path, bad.into()).await.unwrap();
        let read = whole(&fixture.engine(), id).await;
        assert!(matches!(read, Err(Error::Damaged(_))), "{len} bytes: {:?}", read.map(|_| ()));
    }
    fixture.store.delete(&path).await.unwrap();
    let read = whole(&fixture.engine(), id).await;
    assert!(matches!(read, Err(Error::Damaged(_))), "{:?}", read.map(|_| ()));
    assert_eq!(whole(&fixture.engine(), of_other).await.unwrap(), other);
}

#[tokio::test]
async fn the_bytes_come_first_and_as_they_came() {
    let fixture = Fixture::new();
    let content = content(100_000);
    let id = put(&fixture.engine(), &content).await.unwrap();
    let object = bytes_of(&fixture, &fixture.engine().shared.names.blob(id)).await;
    assert!(object[..content.len()] == content);
    assert_eq!(object.len(), content.len() + 2 * 4 + 64, "as the local engine's files");
}

#[tokio::test]
async fn checksums_of_a_very_long_blob_come_by_pages() {
    let fixture = Fixture::new();
    let engine = fixture.engine();
    let content = content(5 * 1024 * 1024 + 77);
    let id = put(&engine, &content).await.unwrap();
    let about = engine.shared.about(id).await.unwrap();
    // As if the tail had held the checksums of the last blocks only.
    let short = about.with_last_sums(7);
    for chunk in 0..=5_u64 {
        let read = engine.shared.chunk(&short, chunk).await.unwrap();
        let begin = usize::try_from(chunk).unwrap() << 20;
        assert!(read == content[begin..(begin + (1 << 20)).min(content.len())], "chunk {chunk}");
    }
}
