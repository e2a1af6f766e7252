//! Where should a small file's bytes go: into the catalog's record store, or into a file of their own?
//!
//! Prints, for each size, durable puts a second and the time of the slowest of a hundred (p99) with a number of
//! concurrent writers, once with the content inline (one transaction), and once with the content in a file (write, fsync,
//! rename, fsync of the directory) and then the same transaction without it. Then the same for reading back.
//!
//! `cargo run --release -p catalog --example inline_threshold -- [DIRECTORY [SECONDS [WRITERS [SIZES]]]]`
//!
//! What it decides is `model::limits::INLINE_BYTES_MAX`.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use catalog::embedded::Options;
use catalog::{Catalog, Embedded, Place, Tx};
use model::{
    AccountId, BlobId, Content, ContentType, Digest, DirId, Directory, Extent, File, FileAttrs,
    InlineId, Owner, Result, TreePath, Usage,
};
// As in the server.
use native as _;

const ACCOUNT: AccountId = AccountId(1);
const ROOT: DirId = DirId(1);
const DIRECTORIES: u64 = 64;
const OWNER: Owner = Owner { uid: 1, gid: 1 };

type Fallible<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Runs of each kind, taken in turns; the best counts: other work on the machine only ever slows a run down.
const ROUNDS: usize = 3;

/// What one run measured.
#[derive(Default)]
struct Run {
    per_second: f64,
    p99: Duration,
}

#[derive(Clone)]
struct Bench {
    catalog: Catalog,
    files: Arc<PathBuf>,
    size: usize,
    inline: bool,
}

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));
    let time = Duration::from_secs(args.next().map_or(Ok(5), |s| s.parse())?);
    let writers: u64 = args.next().map_or(Ok(32), |s| s.parse())?;
    let sizes = args.next().unwrap_or_else(|| "1,2,4,8,16,32".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!(
        "{writers} writers, {} s a run, best of {ROUNDS}; durable puts, then reads back",
        time.as_secs()
    );
    println!(
        "| size | inline puts/s | MB/s | p99 ms | file puts/s | MB/s | p99 ms | inline gets/s | file gets/s |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for kib in sizes.split(',') {
        let size = kib.parse::<usize>()? * 1024;
        let mut best: [(Run, Run); 2] = Default::default();
        for _ in 0..ROUNDS {
            for (best, inline) in best.iter_mut().zip([true, false]) {
                let storage = tempfile::tempdir_in(&dir)?;
                let (puts, gets) =
                    runtime.block_on(measure(storage.path(), size, inline, writers, time))?;
                best.0.keep_better(puts);
                best.1.keep_better(gets);
            }
        }
        let puts = best.iter().map(|(puts, _)| puts.cells(size)).collect::<Fallible<Vec<_>>>()?;
        let [(_, inline), (_, file)] = best;
        println!(
            "| {kib} KiB | {} | {} | {:.0} | {:.0} |",
            puts[0], puts[1], inline.per_second, file.per_second
        );
    }
    Ok(())
}

impl Run {
    fn keep_better(&mut self, other: Run) {
        if other.per_second > self.per_second {
            *self = other;
        }
    }

    fn cells(&self, size: usize) -> Fallible<String> {
        let megabytes = self.per_second * f64::from(u32::try_from(size)?) / 1e6;
        Ok(format!("{:.0} | {megabytes:.1} | {:.1}", self.per_second, self.p99.as_secs_f64() * 1e3))
    }
}

async fn measure(
    storage: &Path,
    size: usize,
    inline: bool,
    writers: u64,
    time: Duration,
) -> Fallible<(Run, Run)> {
    let files = Arc::new(storage.join("files"));
    for dir in 0..256 {
        fs::create_dir_all(files.join(format!("{dir:02x}")))?;
    }
    let engine = Embedded::open(storage.join("catalog"), Options::default())?;
    let catalog = Catalog::new(Arc::new(engine));
    catalog.write(prepare).await?;
    let bench = Bench { catalog, files, size, inline };
    let (puts, written) = run(writers, time, {
        let bench = bench.clone();
        move |writer, n| bench.clone().put(writer, n)
    })
    .await?;
    let (gets, _) = run(writers, time.min(Duration::from_secs(2)), move |writer, n| {
        let n = n % written.get(usize::try_from(writer).unwrap_or(0)).copied().unwrap_or(1).max(1);
        bench.clone().get(writer, n)
    })
    .await?;
    Ok((puts, gets))
}

/// Runs `work(writer, n)` for n = 0, 1, … in as many tasks as there are writers; also returns how far each came.
async fn run<F, W>(writers: u64, time: Duration, work: W) -> Fallible<(Run, Vec<u64>)>
where
    F: Future<Output = Fallible<()>> + Send,
    W: Fn(u64, u64) -> F + Clone + Send + 'static,
{
    let start = Instant::now();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let work = work.clone();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            for n in 0.. {
                let begin = Instant::now();
                if begin.duration_since(start) >= time {
                    break;
                }
                work(writer, n).await?;
                times.push(begin.elapsed());
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(times)
        }));
    }
    let (mut all, mut counts) = (Vec::new(), Vec::new());
    for task in tasks {
        let times = task.await??;
        counts.push(times.len() as u64);
        all.extend(times);
    }
    let seconds = start.elapsed().as_secs_f64();
    all.sort();
    let p99 = all.get(all.len() * 99 / 100).copied().unwrap_or_default();
    Ok((Run { per_second: f64::from(u32::try_from(all.len())?) / seconds, p99 }, counts))
}

fn prepare(tx: &mut dyn Tx) -> Result<()> {
    tx.put_root(ACCOUNT, &Directory::new(ROOT, OWNER, 1))?;
    for n in 0..DIRECTORIES {
        let name = format!("dir{n}");
        let place = Place { account: ACCOUNT, dir: ROOT, name: &name };
        tx.add_directory(place, Directory::new(DirId(100 + n), OWNER, 1))?;
    }
    Ok(())
}

fn path_of(writer: u64, n: u64) -> Fallible<TreePath> {
    Ok(TreePath::parse(&format!("dir{}/file-{writer}-{n}.bin", (n * 7 + writer) % DIRECTORIES))?)
}

impl Bench {
    /// Bytes that do not compress.
    fn content(&self, writer: u64, n: u64) -> Bytes {
        let mut state = (writer << 32 | n) ^ 0x9e37_79b9_7f4a_7c15;
        let mut bytes = Vec::with_capacity(self.size);
        while bytes.len() < self.size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.into()
    }

    fn file_path(&self, writer: u64, n: u64) -> PathBuf {
        self.files.join(format!("{:02x}/{writer}-{n}", (n * 31 + writer) % 256))
    }

    async fn put(self, writer: u64, n: u64) -> Fallible<()> {
        let content = self.content(writer, n);
        let path = path_of(writer, n)?;
        if !self.inline {
            let (to, bytes) = (self.file_path(writer, n), content.clone());
            tokio::task::spawn_blocking(move || write_durably(&to, &bytes)).await??;
        }
        let inline = self.inline;
        self.catalog.write(move |tx| put_record(tx, &path, inline, &content)).await?;
        Ok(())
    }

    async fn get(self, writer: u64, n: u64) -> Fallible<()> {
        let path = path_of(writer, n)?;
        let bytes = self.catalog.read(move |read| {
            let file = read.resolve(ACCOUNT, ROOT, &path)?.and_then(|found| found.file);
            match file.map(|file| file.content) {
                Some(Content::Inline(id)) => read.inline(ACCOUNT, id),
                _ => Ok(None),
            }
        });
        let len = match bytes.await? {
            Some(bytes) => bytes.len(),
            None => {
                let from = self.file_path(writer, n);
                tokio::task::spawn_blocking(move || fs::read(from)).await??.len()
            }
        };
        if len == self.size { Ok(()) } else { Err(format!("{len} bytes came back").into()) }
    }
}

/// What an upload puts into the catalog.
fn put_record(tx: &mut dyn Tx, path: &TreePath, inline: bool, content: &Bytes) -> Result<()> {
    let size = content.len() as u64;
    let found = tx.resolve(ACCOUNT, ROOT, path)?.ok_or(model::Error::NotFound)?;
    let id = tx.fresh_id()?;
    let content = if inline {
        tx.put_inline(ACCOUNT, InlineId(id), content.clone())?;
        Content::Inline(InlineId(id))
    } else {
        let blob = BlobId::new(ACCOUNT, id, [0; 6]);
        tx.put_blob_refs(blob, 1)?;
        Content::Blobs(vec![Extent { blob, len: size }])
    };
    let attrs = FileAttrs {
        owner: OWNER,
        size,
        checksum: Digest([id.to_le_bytes()[0]; 32]),
        content_type: ContentType::octet_stream(),
        ctime: 1,
        mtime: 1,
    };
    let place =
        Place { account: ACCOUNT, dir: found.dir.id, name: path.name().unwrap_or_default() };
    tx.put_file(place, &File { number: 0, attrs, content })?;
    tx.touch_directory(ACCOUNT, found.dir.id, id)?;
    let usage = tx.usage(ACCOUNT)?;
    tx.put_usage(ACCOUNT, Usage { files: usage.files + 1, bytes: usage.bytes + size, ..usage })
}

/// Bytes and name are on disk when this returns: what the blob store does for each blob.
#[allow(
    clippy::disallowed_methods,
    reason = "this program compares with exactly these system calls"
)]
fn write_durably(to: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let stage = to.with_extension("stage");
    let mut file = fs::File::create(&stage)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&stage, to)?;
    let dir = to.parent().unwrap_or(Path::new("."));
    fs::File::open(dir)?.sync_data()
}
