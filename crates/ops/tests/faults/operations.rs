//! The table: every operation that changes something, over a directory that is prepared the same way each time.

use std::time::Duration;

use bytes::Bytes;
use model::{Error, Multipart, Result, Time, TreePath, UploadState};
use ops::{Detect, Expose, IfThere, MultipartSpec, Parents, PieceSpec, PutSpec, TypeRule};

use crate::bench::Bench;

/// What is done. Names say what stands there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    PutEmpty,
    PutInline,
    PutBlob,
    BlobOverBlob,
    BlobOverInline,
    InlineOverBlob,
    BlobOverShared,
    Copy,
    CopyOver,
    CopyInline,
    Rename,
    DeleteInline,
    DeleteBlob,
    DeleteShared,
    SetType,
    MakeDir,
    MakeDirs,
    DeleteDir,
    Begin,
    Piece,
    PieceAgain,
    Complete,
    Abort,
    DeleteAndSweep,
}

pub(crate) const OPERATIONS: [Operation; 24] = [
    Operation::PutEmpty,
    Operation::PutInline,
    Operation::PutBlob,
    Operation::BlobOverBlob,
    Operation::BlobOverInline,
    Operation::InlineOverBlob,
    Operation::BlobOverShared,
    Operation::Copy,
    Operation::CopyOver,
    Operation::CopyInline,
    Operation::Rename,
    Operation::DeleteInline,
    Operation::DeleteBlob,
    Operation::DeleteShared,
    Operation::SetType,
    Operation::MakeDir,
    Operation::MakeDirs,
    Operation::DeleteDir,
    Operation::Begin,
    Operation::Piece,
    Operation::PieceAgain,
    Operation::Complete,
    Operation::Abort,
    Operation::DeleteAndSweep,
];

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

/// Bytes that differ with `seed`.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + (i / 251) * 7).to_le_bytes()[0] ^ seed).collect()
}

pub(crate) async fn put(bench: &Bench, at: &str, bytes: &[u8]) -> Result<()> {
    let spec = PutSpec {
        expose: Expose::Complete,
        path: path(at),
        parents: Parents::Created,
        mtime: None,
        checksum: None,
        content_type: TypeRule::Detect(Detect::Auto),
    };
    let mut upload = bench.store.upload(&bench.caller)?;
    for part in bytes.chunks(400_000) {
        upload.write(Bytes::copy_from_slice(part)).await?;
    }
    upload.commit(spec).await.map(|_| ())
}

async fn begin(bench: &Bench, at: &str) -> Result<Multipart> {
    let spec = MultipartSpec {
        path: path(at),
        content_type: TypeRule::Detect(Detect::Auto),
        mtime: 0,
        checksum: None,
        parents: Parents::Required,
    };
    bench.store.create_multipart(&bench.caller, &spec).await
}

async fn piece(bench: &Bench, upload: &Multipart, number: u32, bytes: &[u8]) -> Result<()> {
    let len = Some(bytes.len() as u64);
    let spec = PieceSpec { upload: upload.id, number, checksum: None, len };
    let mut piece = bench.store.upload_piece(&bench.caller, spec).await?;
    piece.write(Bytes::copy_from_slice(bytes)).await?;
    piece.commit().await.map(|_| ())
}

async fn copy(bench: &Bench, from: &str, to: &str) -> Result<()> {
    bench.store.copy(&bench.caller, &path(from), &path(to), Parents::Required).await
}

/// The upload that was begun to a path.
async fn upload(bench: &Bench, at: &str) -> Multipart {
    let at = path(at);
    let uploads = bench.catalog.read(|tx| tx.uploads(None, 10_000)).await.unwrap();
    uploads.into_iter().find(|upload| upload.path == at).unwrap()
}

/// What stands in a directory before any operation.
pub(crate) async fn prepare(bench: &Bench, dir: &str) {
    for (name, seed, len) in
        [("inline", 1, 500), ("other", 2, 900), ("blob", 3, 20_000), ("shared", 4, 9_000)]
    {
        put(bench, &format!("{dir}/{name}"), &noise(seed, len)).await.unwrap();
    }
    copy(bench, &format!("{dir}/shared"), &format!("{dir}/copy")).await.unwrap();
    let there = IfThere::Refused;
    let empty = path(&format!("{dir}/empty"));
    bench.store.make_directory(&bench.caller, &empty, Parents::Required, there).await.unwrap();
    let begun = begin(bench, &format!("{dir}/film")).await.unwrap();
    piece(bench, &begun, 1, &noise(5, 10_000)).await.unwrap();
    piece(bench, &begun, 2, &noise(6, 300)).await.unwrap();
}

impl Operation {
    /// Does it.
    pub(crate) async fn act(self, bench: &Bench, dir: &str) -> Result<()> {
        let (store, caller) = (&bench.store, &bench.caller);
        let at = |name: &str| format!("{dir}/{name}");
        let file = |name: &str| path(&at(name));
        match self {
            Self::PutEmpty => put(bench, &at("new"), &[]).await,
            Self::PutInline => put(bench, &at("new"), &noise(7, 700)).await,
            // More than one batch.
            Self::PutBlob => put(bench, &at("new"), &noise(8, 1_100_000)).await,
            Self::BlobOverBlob => put(bench, &at("blob"), &noise(9, 30_000)).await,
            Self::BlobOverInline => put(bench, &at("inline"), &noise(10, 8_193)).await,
            Self::InlineOverBlob => put(bench, &at("blob"), &noise(11, 8_192)).await,
            Self::BlobOverShared => put(bench, &at("shared"), &noise(12, 9_999)).await,
            Self::Copy => copy(bench, &at("blob"), &at("new")).await,
            Self::CopyOver => copy(bench, &at("inline"), &at("blob")).await,
            Self::CopyInline => copy(bench, &at("inline"), &at("new")).await,
            Self::Rename => store.rename(caller, &file("blob"), &file("empty/moved")).await,
            Self::DeleteInline => store.delete_file(caller, &file("inline")).await,
            Self::DeleteBlob => store.delete_file(caller, &file("blob")).await,
            Self::DeleteShared => store.delete_file(caller, &file("shared")).await,
            Self::SetType => {
                let kind = model::ContentType::parse("image/x-own").unwrap();
                store.set_content_type(caller, &file("blob"), &kind).await
            }
            Self::MakeDir => {
                let made = (Parents::Required, IfThere::Refused);
                store.make_directory(caller, &file("new"), made.0, made.1).await.map(drop)
            }
            Self::MakeDirs => {
                let made = (Parents::Created, IfThere::Fine);
                store.make_directory(caller, &file("a/b/c"), made.0, made.1).await.map(drop)
            }
            Self::DeleteDir => store.delete_directory(caller, &file("empty")).await,
            Self::Begin => begin(bench, &at("another")).await.map(drop),
            Self::Piece => piece(bench, &upload(bench, &at("film")).await, 3, &noise(13, 50)).await,
            Self::PieceAgain => {
                piece(bench, &upload(bench, &at("film")).await, 1, &noise(14, 11_000)).await
            }
            Self::Complete => complete(bench, &at("film")).await,
            Self::Abort => store.abort_multipart(caller, upload(bench, &at("film")).await.id).await,
            Self::DeleteAndSweep => {
                store.delete_file(caller, &file("blob")).await?;
                // Acknowledged: what comes now is the sweeper's, which may fail and try again.
                let _swept = store.sweep_doomed().await;
                let _orphans = store.sweep_orphans(Time(0), bench.now).await;
                Ok(())
            }
        }
    }
}

/// Completes an upload and puts it together. Acknowledged is what `complete_multipart` says.
async fn complete(bench: &Bench, at: &str) -> Result<()> {
    let id = upload(bench, at).await.id;
    bench.store.complete_multipart(&bench.caller, id).await?;
    let joined = async {
        loop {
            let upload = bench.catalog.read(move |tx| tx.upload(id)).await.unwrap().unwrap();
            match upload.state {
                UploadState::Success => return Ok(()),
                UploadState::Failed => return Err(Error::Storage("it FAILED".to_owned())),
                _ if bench.steps.has_failed() => return Ok(()),
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    tokio::select! {
        done = joined => done,
        () = bench.store.join_multiparts() => Ok(()),
    }
}
