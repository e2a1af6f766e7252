//! What is in a store, read through the engines without the wrappers: a directory's state, and what nobody should find.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use catalog::{Place, Read};
use model::{
    AccountId, BlobId, Content, Digest, DirId, File, Node, PieceContent, PieceState, Result, Time,
    UploadState,
};
use sha2::{Digest as _, Sha256};

use crate::{bench::Bench, operations::path};

/// Names below a directory with what they are, and the uploads that lead there.
pub(crate) type State = BTreeMap<String, String>;

/// Reads all of a directory. Every file's bytes must be those of its checksum.
pub(crate) async fn observe(bench: &Bench, dir: &str) -> State {
    let (account, top, at) = (bench.caller.account, bench.caller.top, path(dir));
    let found = bench.catalog.read(move |tx| {
        let found = tx.resolve(account, top, &at)?.filter(|found| found.depth == found.len);
        let mut entries = Vec::new();
        if let Some(found) = found {
            walk(tx, account, found.dir.id, "", &mut entries)?;
        }
        Ok(entries)
    });
    let mut state = State::new();
    for (name, file) in found.await.unwrap() {
        let text = match file {
            None => "a directory".to_owned(),
            Some(file) => {
                let bytes = content(bench, &file).await;
                let sum = Digest(Sha256::digest(&bytes).into());
                assert_eq!(
                    (file.attrs.size, file.attrs.checksum),
                    (bytes.len() as u64, sum),
                    "{name}"
                );
                format!("{} bytes, {}, {:?}", bytes.len(), sum.to_hex(), file.attrs.content_type)
            }
        };
        state.insert(name, text);
    }
    let prefix = format!("{}/", path(dir).as_str());
    let uploads = bench.catalog.read(|tx| tx.uploads(None, 10_000)).await.unwrap();
    for upload in uploads.into_iter().filter(|u| u.path.as_str().starts_with(&prefix)) {
        let name = format!("upload of {}", upload.path.name().unwrap());
        state.insert(
            name,
            format!("{:?}, {} pieces, {} bytes", upload.state, upload.pieces, upload.bytes),
        );
    }
    state
}

/// All entries below a directory.
fn walk(
    tx: &mut dyn Read,
    account: AccountId,
    dir: DirId,
    prefix: &str,
    into: &mut Vec<(String, Option<File>)>,
) -> Result<()> {
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    tx.list_files(account, dir, 0, 10_000, &mut |_, name, _| files.push(name.to_owned()))?;
    tx.list_directories(account, dir, 0, 10_000, false, &mut |_, name, _| {
        dirs.push(name.to_owned())
    })?;
    let record = tx.directory(account, dir)?.unwrap();
    assert_eq!(
        (record.files, record.directories),
        (files.len() as u64, dirs.len() as u64),
        "{prefix}"
    );
    for name in files.iter().chain(&dirs) {
        let place = Place { account, dir, name };
        let full = format!("{prefix}{name}");
        match tx.node(place)?.unwrap() {
            Node::File(file) => into.push((full, Some(file))),
            Node::Directory(directory) => {
                into.push((full.clone(), None));
                walk(tx, account, directory.id, &format!("{full}/"), into)?;
            }
        }
    }
    Ok(())
}

async fn content(bench: &Bench, file: &File) -> Vec<u8> {
    let account = bench.caller.account;
    match &file.content {
        Content::Empty => Vec::new(),
        Content::Inline(id) => {
            let id = *id;
            let bytes = bench.catalog.read(move |tx| tx.inline(account, id)).await.unwrap();
            bytes.expect("inline content").to_vec()
        }
        Content::Blobs(extents) => {
            let mut bytes = Vec::new();
            for extent in extents {
                let blob = bench.blobs.open(extent.blob).await.expect("a blob that is referred to");
                assert_eq!(blob.len(), extent.len);
                let len = usize::try_from(extent.len).unwrap();
                bytes.extend_from_slice(&blob.read(0, len).await.expect("whole bytes"));
            }
            bytes
        }
    }
}

/// What must not be: blobs nobody refers to, wrong counts, doomed blobs, inline content without a file, wrong usage.
pub(crate) async fn leftovers(bench: &Bench) -> Vec<String> {
    let (account, top) = (bench.caller.account, bench.caller.top);
    let on_disk: Arc<Mutex<BTreeSet<BlobId>>> = Arc::default();
    let list = on_disk.clone();
    let visit = Box::new(move |ids: Vec<BlobId>| list.lock().unwrap().extend(ids));
    bench.blobs.sealed_between(Time(0), Time(u64::MAX), visit).await.unwrap();
    let on_disk = on_disk.lock().unwrap().clone();
    let count = move |tx: &mut dyn Read| {
        let mut left = Vec::new();
        let (mut refs, mut entries) = (BTreeMap::<BlobId, u32>::new(), Vec::new());
        walk(tx, account, top, "", &mut entries)?;
        let files: Vec<&File> = entries.iter().filter_map(|(_, file)| file.as_ref()).collect();
        for blob in files.iter().flat_map(|file| file.content.blobs()) {
            *refs.entry(blob).or_default() += 1;
        }
        for upload in tx.uploads(None, 10_000)? {
            let pieces = tx.pieces(upload.id, 0, 10_000)?;
            let held =
                pieces.iter().filter(|p| matches!(p.state, PieceState::New | PieceState::Join));
            for piece in held.filter(|_| upload.state != UploadState::Success) {
                if let PieceContent::Blob(extent) = piece.content {
                    *refs.entry(extent.blob).or_default() += 1;
                }
            }
        }
        for blob in on_disk.iter().filter(|blob| !refs.contains_key(blob)) {
            left.push(format!("{blob:?} lies on disk, {} references", tx.blob_refs(*blob)?));
        }
        for (blob, count) in &refs {
            if tx.blob_refs(*blob)? != *count || !on_disk.contains(blob) {
                let there = on_disk.contains(blob);
                left.push(format!(
                    "{blob:?}: {count} references, not {}, {there}",
                    tx.blob_refs(*blob)?
                ));
            }
        }
        left.extend(tx.doomed(None, 1000)?.iter().map(|doomed| format!("{doomed:?} is doomed")));
        let usage = tx.usage(account)?;
        let bytes: u64 = files.iter().map(|file| file.attrs.size).sum();
        if (usage.files, usage.bytes) != (files.len() as u64, bytes) {
            left.push(format!("{usage:?}, not {} files, {bytes} bytes", files.len()));
        }
        Ok(left)
    };
    bench.catalog.read(count).await.unwrap()
}
