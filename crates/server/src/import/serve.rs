//! The server's end of an import: what a courier asks, done by the operations that uploads are done by.

use anyhow::bail;
use bytes::Bytes;
use model::{Caller, Digest, Error, Result, TreePath};
use ops::{Expose, IfThere, Parents, PutSpec, Stat, Store, TypeRule};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::courier::{Ask, Told};
use crate::admin::line;

/// Longest line, in bytes: a path, every byte of it escaped, and little else.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes taken from the connection at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Serves one courier until it ends. Files are put where `user` would put them, and as theirs.
pub(crate) async fn serve(
    mut stream: BufReader<UnixStream>,
    store: &Store,
    user: &str,
) -> anyhow::Result<()> {
    let caller = match store.caller_named(user).await {
        Ok(caller) => caller,
        Err(e) => return tell(&mut stream, Err(e)).await,
    };
    tell(&mut stream, Ok(Told::Done)).await?;
    loop {
        let mut text = Vec::new();
        if (&mut stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut text).await? == 0 {
            return Ok(());
        }
        let told = match serde_json::from_slice(&text)? {
            Ask::Look { path } => look(store, &caller, &path).await,
            Ask::Directory { path } => directory(store, &caller, &path).await,
            Ask::Link { from, path } => link(store, &caller, &from, &path).await,
            Ask::File { path, size, mtime, checksum } => {
                let spec = spec(&path, mtime, checksum.as_deref());
                let mut left = size;
                let told = match spec {
                    Ok(spec) => file(store, &caller, spec, &mut stream, &mut left).await?,
                    Err(e) => Err(e),
                };
                // Whatever was not taken comes all the same.
                while left > 0 {
                    chunk(&mut stream, &mut left).await?;
                }
                told
            }
        };
        tell(&mut stream, told).await?;
    }
}

async fn tell(stream: &mut BufReader<UnixStream>, told: Result<Told>) -> anyhow::Result<()> {
    let told = told.unwrap_or_else(|e| Told::Refused { why: e.to_string() });
    Ok(stream.write_all(&line(&told)?).await?)
}

async fn look(store: &Store, caller: &Caller, path: &str) -> Result<Told> {
    match store.stat(caller, &TreePath::parse(path)?).await {
        Ok(Stat::File(attrs)) => Ok(Told::There {
            size: attrs.size,
            mtime: attrs.mtime,
            checksum: attrs.checksum.to_hex(),
        }),
        Ok(Stat::Directory(_)) => Err(Error::IsDirectory),
        Err(Error::NotFound) => Ok(Told::Nothing),
        Err(e) => Err(e),
    }
}

async fn directory(store: &Store, caller: &Caller, path: &str) -> Result<Told> {
    let path = TreePath::parse(path)?;
    store.make_directory(caller, &path, Parents::Created, IfThere::Fine).await?;
    Ok(Told::Done)
}

async fn link(store: &Store, caller: &Caller, from: &str, path: &str) -> Result<Told> {
    let (from, path) = (TreePath::parse(from)?, TreePath::parse(path)?);
    store.copy(caller, &from, &path, Parents::Created).await?;
    Ok(Told::Done)
}

fn spec(path: &str, mtime: u64, checksum: Option<&str>) -> Result<PutSpec> {
    let checksum = checksum.map(|hex| Digest::from_hex(hex.as_bytes()));
    Ok(PutSpec {
        path: TreePath::parse(path)?,
        parents: Parents::Created,
        mtime: Some(mtime),
        checksum: checksum.map(|sum| sum.ok_or(Error::ChecksumMismatch)).transpose()?,
        content_type: TypeRule::Detect(ops::Detect::Auto),
        expose: Expose::Complete,
    })
}

/// Stores the `left` bytes that come. The outer error: the connection is of no more use.
async fn file(
    store: &Store,
    caller: &Caller,
    spec: PutSpec,
    stream: &mut BufReader<UnixStream>,
    left: &mut u64,
) -> anyhow::Result<Result<Told>> {
    let room = match store.check_put(caller, &spec, Some(*left)).await {
        Ok(room) => room,
        Err(e) => return Ok(Err(e)),
    };
    let mut upload = store.import(caller);
    upload.bound(room);
    while *left > 0 {
        if let Err(e) = upload.write(chunk(stream, left).await?).await {
            return Ok(Err(e));
        }
    }
    let stored = upload.commit(spec).await;
    Ok(stored.map(|stored| Told::Stored { checksum: stored.checksum.to_hex() }))
}

/// The next bytes of a file.
async fn chunk(stream: &mut BufReader<UnixStream>, left: &mut u64) -> anyhow::Result<Bytes> {
    let there = stream.fill_buf().await?;
    if there.is_empty() {
        bail!("an import ended within a file");
    }
    let most = usize::try_from(*left).unwrap_or(CHUNK_BYTES).min(there.len());
    let bytes = Bytes::copy_from_slice(&there[..most]);
    stream.consume(most);
    *left -= most as u64;
    Ok(bytes)
}
