//! How fast do nodes write through PostgreSQL, and how much are they in each other's way?
//!
//! Opens a database several times, as so many nodes would, lets writers add files as uploads do (look at the path, put the
//! file and its small content, touch the directory, count), and prints durable files a second, files a group, groups that
//! were run again for a conflict, and journeys a group; then lookups of files by their paths.
//!
//! `cargo run --release -p catalog --example postgres_groups -- URL [NODES [WRITERS [SECONDS [apart]]]]`
//!
//! With `apart` each node has an account of its own. The database is left as it is: give it one of its own.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use catalog::postgres::Options;
use catalog::{Catalog, Place, Postgres, Tx};
use model::{
    AccountId, Content, ContentType, Digest, DirId, Directory, File, FileAttrs, InlineId, Owner,
    Result, TreePath, Usage,
};

const OWNER: Owner = Owner { uid: 1, gid: 1 };
const CONTENT: &[u8] = &[7; 1024];

type Fallible<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn file(id: u64) -> Result<File> {
    let attrs = FileAttrs {
        owner: OWNER,
        size: CONTENT.len() as u64,
        checksum: Digest([7; 32]),
        content_type: ContentType::parse("text/plain")?,
        ctime: 1,
        mtime: 1,
    };
    Ok(File { number: 0, attrs, content: Content::Inline(InlineId(id)) })
}

fn add(tx: &mut dyn Tx, account: AccountId, root: DirId, name: &str) -> Result<()> {
    let path = TreePath::parse(&format!("a/b/{name}"))?;
    let found = tx.resolve(account, root, &path)?;
    let dir = found.map_or(root, |found| found.dir.id);
    let id = tx.fresh_id()?;
    tx.put_inline(account, InlineId(id), Bytes::from_static(CONTENT))?;
    tx.put_file(Place { account, dir, name }, &file(id)?)?;
    tx.touch_directory(account, dir, 9)?;
    let usage = tx.usage(account)?;
    tx.put_usage(account, Usage { files: usage.files + 1, ..usage })
}

async fn tree(catalog: &Catalog, account: AccountId) -> Result<DirId> {
    catalog
        .write(move |tx| {
            let (root, a, b) =
                (DirId(tx.fresh_id()?), DirId(tx.fresh_id()?), DirId(tx.fresh_id()?));
            tx.put_root(account, &Directory::new(root, OWNER, 1))?;
            tx.add_directory(Place { account, dir: root, name: "a" }, Directory::new(a, OWNER, 1))?;
            tx.add_directory(Place { account, dir: a, name: "b" }, Directory::new(b, OWNER, 1))?;
            Ok(root)
        })
        .await
}

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("which database? postgres://…")?;
    let nodes: u32 = args.next().map_or(Ok(1), |n| n.parse())?;
    let writers: u64 = args.next().map_or(Ok(32), |n| n.parse())?;
    let time = Duration::from_secs(args.next().map_or(Ok(5), |n| n.parse())?);
    let apart = args.next().is_some_and(|word| word == "apart");
    let engines: Vec<Catalog> = (0..nodes)
        .map(|_| Ok(Catalog::new(Arc::new(Postgres::open(&url, Options::default())?))))
        .collect::<Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&engines, writers, time, apart))
}

async fn run(engines: &[Catalog], writers: u64, time: Duration, apart: bool) -> Fallible<()> {
    // Another account each time, so that a database can be used again.
    let first = u32::try_from(engines[0].write(|tx| tx.fresh_id()).await?)?;
    let mut homes = Vec::new();
    for (n, engine) in (0_u32..).zip(engines) {
        let account = AccountId(first + if apart { n } else { 0 });
        let root = if apart || n == 0 { tree(engine, account).await? } else { homes[0] };
        homes.push(root);
    }
    let account =
        |n: usize| AccountId(first + if apart { u32::try_from(n).unwrap_or(0) } else { 0 });
    let (before, refused) =
        (engines.iter().map(Catalog::stats).collect::<Vec<_>>(), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let n = usize::try_from(writer)? % engines.len();
        let (engine, account, root) = (engines[n].clone(), account(n), homes[n]);
        let refused = Arc::clone(&refused);
        tasks.push(tokio::spawn(async move {
            let mut added = 0_u64;
            while started.elapsed() < time {
                let name = format!("{writer}-{added}");
                match engine.write(move |tx| add(tx, account, root, &name)).await {
                    Ok(()) => added += 1,
                    Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                }
            }
            added
        }));
    }
    let mut added = 0;
    for task in tasks {
        added += task.await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let sum = |of: fn(&catalog::Stats) -> u64| -> u64 {
        engines.iter().zip(&before).map(|(engine, before)| of(&engine.stats()) - of(before)).sum()
    };
    let (groups, conflicts, journeys) =
        (sum(|s| s.groups), sum(|s| s.conflicts), sum(|s| s.round_trips));
    #[expect(clippy::cast_precision_loss, reason = "figures for humans")]
    let ratio = |a: u64, b: f64| a as f64 / b;
    println!(
        "{} nodes, {writers} writers{}: {:.0} files/s, {:.1} a group, {conflicts} of {groups} groups run again, \
         {:.1} journeys a group, {} refused",
        engines.len(),
        if apart { ", apart" } else { "" },
        ratio(added, seconds),
        ratio(added, ratio(groups, 1.0)),
        ratio(journeys, ratio(groups, 1.0)),
        refused.load(Ordering::Relaxed),
    );
    let homes: Vec<_> = homes.into_iter().enumerate().map(|(n, root)| (account(n), root)).collect();
    look_up(engines, writers, time / 2, &homes).await
}

/// Looks the first file of each writer up by its path, again and again.
async fn look_up(
    engines: &[Catalog],
    readers: u64,
    time: Duration,
    homes: &[(AccountId, DirId)],
) -> Fallible<()> {
    let started = Instant::now();
    let mut tasks = Vec::new();
    for reader in 0..readers {
        let n = usize::try_from(reader)? % engines.len();
        let (engine, (account, root)) = (engines[n].clone(), homes[n]);
        tasks.push(tokio::spawn(async move {
            let mut found = 0_u64;
            while started.elapsed() < time {
                let path = TreePath::parse(&format!("a/b/{reader}-0"))?;
                let file = engine.read(move |r| r.file(account, root, &path)).await?;
                found += u64::from(file.is_some());
            }
            Ok::<_, model::Error>(found)
        }));
    }
    let mut found = 0;
    for task in tasks {
        found += task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for humans")]
    let rate = found as f64 / started.elapsed().as_secs_f64();
    println!("  {rate:.0} lookups of a file by its path a second");
    Ok(())
}
