//! The law of the pieces of multipart uploads: their order, and which of them counts under a number.
//!
//! What does not live here: the uploads themselves (`uploads`) and long random sequences (`upload_model`).

use ::model::{BlobId, Digest, Extent, Piece, PieceContent, PieceState, Result, UploadId};

use super::uploads::{id, upload};
use super::{ACCOUNT, Gate, Open, submit};
use crate::Read;

/// A piece that differs with its seed; every state and kind of content comes up.
pub(crate) fn piece(number: u32, seed: u64) -> Piece {
    let byte = seed.to_le_bytes()[0];
    let blob = BlobId::new(ACCOUNT, seed, [byte; 6]);
    Piece {
        number,
        arrival: 0,
        size: seed,
        checksum: Digest([byte; 32]),
        content: match seed % 2 {
            0 => PieceContent::Empty,
            _ => PieceContent::Blob(Extent { blob, len: seed }),
        },
        state: PieceState::ALL[usize::from(byte) % PieceState::ALL.len()],
        error: if seed.is_multiple_of(5) { -26 } else { 0 },
    }
}

/// An upload's pieces, read in pages.
pub(crate) fn arrived(read: &mut dyn Read, upload: UploadId, page: usize) -> Result<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    loop {
        let after = pieces.last().map_or(0, |piece| piece.arrival);
        let more = read.pieces(upload, after, page)?;
        assert!(more.len() <= page);
        if more.is_empty() {
            return Ok(pieces);
        }
        pieces.extend(more);
    }
}

/// Pieces are listed in the order of arrival, those replaced included; under a number counts the last that arrived.
pub(crate) async fn pieces_in_order_of_arrival(open: Open<'_>) {
    let catalog = open();
    let numbers = |seed: u64| [2, 1, 2, u32::MAX, 1][usize::try_from(seed % 5).unwrap()];
    let sent = move |seed| Piece { arrival: seed, ..piece(numbers(seed), seed) };
    catalog
        .write(move |tx| {
            tx.put_upload(&upload(1, 1, 1))?;
            for seed in 1..=300 {
                let stored = tx.add_piece(id(1), &piece(numbers(seed), seed))?;
                assert_eq!(stored, sent(seed));
                assert_eq!(tx.piece(id(1), stored.number)?, Some(stored), "the last counts");
                assert_eq!(tx.upload(id(1))?.map(|u| u.received), Some(seed));
            }
            Ok(())
        })
        .await
        .unwrap();
    // What is said of a replaced piece does not make it count again.
    let skipped = Piece { state: PieceState::Skipped, error: 9, ..sent(297) };
    catalog.write(move |tx| tx.put_piece(id(1), &skipped)).await.unwrap();
    drop(catalog);
    let read = move |r: &mut dyn Read| {
        let expected: Vec<_> =
            (1..=300).map(|seed| if seed == 297 { skipped } else { sent(seed) }).collect();
        for page in [7, 100, 300, 1000] {
            assert_eq!(arrived(r, id(1), page)?, expected);
        }
        assert_eq!((r.piece(id(1), 1)?, r.piece(id(1), 2)?), (Some(sent(299)), Some(sent(300))));
        assert_eq!(r.piece(id(1), u32::MAX)?, Some(sent(298)));
        assert_eq!((r.piece(id(1), 0)?, r.piece(id(2), 1)?), (None, None));
        for (upload, after, limit) in [(1, 0, 0), (1, 300, 9), (1, u64::MAX, 9), (2, 0, 9)] {
            assert_eq!(r.pieces(id(upload), after, limit)?, []);
        }
        Ok(())
    };
    open().scan(read).await.unwrap();
}

/// Pieces that wait together get arrivals one after the other, and all are there when the storage is opened again.
pub(crate) async fn many_pieces_at_once(open: Open<'_>) {
    let catalog = open();
    catalog.write(|tx| tx.put_upload(&upload(1, 1, 0))).await.unwrap();
    let gate = Gate::close(&catalog).await;
    let mut waiting = Vec::new();
    for seed in 1..=100 {
        let add = catalog.write(move |tx| tx.add_piece(id(1), &piece(5, seed)));
        waiting.push(submit(add).await);
    }
    gate.open().await;
    for (arrival, write) in (1..).zip(waiting) {
        assert_eq!(write.wait().await, Ok(Piece { arrival, ..piece(5, arrival) }));
    }
    drop(catalog);
    let read = |r: &mut dyn Read| {
        assert_eq!(arrived(r, id(1), 33)?.len(), 100);
        assert_eq!(r.piece(id(1), 5)?.map(|piece| piece.arrival), Some(100));
        Ok(())
    };
    open().scan(read).await.unwrap();
}
