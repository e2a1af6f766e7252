//! The law for engines: what every catalog must do, written as functions that take a catalog.
//!
//! What lives here: the list of laws ([`hold_the_law`]) and what they share. What does not: anything about one engine;
//! what is an engine's own it tests itself.
//!
//! An engine holds the law when `hold_the_law!` passes with a storage of its own: a value with `open(&self) -> Catalog`,
//! which opens the same, at first empty, storage each time, after the handle before was dropped.

pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod jobs;
pub(crate) mod leases;
pub(crate) mod model;
pub(crate) mod moving;
pub(crate) mod paging;
pub(crate) mod pieces;
pub(crate) mod records;
pub(crate) mod remembered;
pub(crate) mod tree;
pub(crate) mod upload_model;
pub(crate) mod uploads;

use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;

use ::model::{
    AccountId, Content, ContentType, Digest, DirId, Directory, File, FileAttrs, InlineId, Kind,
    Node, Owner, Result,
};

use crate::{Catalog, Place, Read, Tx};

/// Opens a law's storage, again each time.
pub(crate) type Open<'a> = &'a dyn Fn() -> Catalog;

/// Makes a test of every law, each with a fresh `$storage`.
macro_rules! hold_the_law {
    ($storage:expr) => {
        crate::suite::hold_the_law!($storage, cases / 8);
    };
    // With which share of proptest's cases: an engine may take its time.
    ($storage:expr, cases / $part:literal) => {
        crate::suite::hold_the_law! { $storage;
            records::accounts, records::users, records::sessions, records::sessions_in_pages,
            records::key_pairs, records::inline_content, records::blob_references,
            records::doomed_blobs, records::used_signatures, records::fresh_ids,
            tree::directories, tree::files, tree::moves_within_a_directory,
            tree::moves_between_directories, tree::names_of_any_kind, tree::resolving,
            tree::misuse_changes_nothing, tree::accounts_do_not_meet,
            paging::pages_follow_numbers, paging::changes_between_pages, paging::numbers_are_never_reused,
            groups::a_failure_leaves_nothing, groups::a_panic_leaves_nothing,
            groups::each_sees_those_before, groups::failures_among_neighbours,
            groups::a_view_merges_what_waits, groups::many_writers_in_one_directory,
            groups::a_snapshot_stands_still, groups::all_is_there_again, groups::dropping_finishes_writes,
            uploads::in_order_of_creation, uploads::listings_while_others_come_and_go,
            uploads::every_change_of_state, uploads::what_belongs_to_the_catalog,
            uploads::neighbours_do_not_meet, uploads::strays_change_nothing,
            uploads::a_failed_operation_leaves_nothing,
            jobs::jobs_by_account_and_time, jobs::random_jobs, jobs::claims, jobs::claims_at_once,
            leases::leases, leases::a_lease_is_taken_once, leases::what_nodes_agree_on,
            moving::changes_are_noted, moving::behind_a_closed_door,
            moving::a_door_that_closes_among_writes,
            pieces::pieces_in_order_of_arrival, pieces::many_pieces_at_once,
            events::callbacks, events::events,
            remembered::reads_are_whole_and_new, remembered::witnesses_end_with_what_they_saw,
            remembered::witnesses_of_all_accounts,
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn random_changes() {
            let fresh = || {
                let storage = $storage;
                Box::new(move || storage.open()) as Box<dyn Fn() -> crate::Catalog>
            };
            crate::suite::model::random_changes((&fresh, $part));
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn random_uploads() {
            let fresh = || {
                let storage = $storage;
                Box::new(move || storage.open()) as Box<dyn Fn() -> crate::Catalog>
            };
            crate::suite::upload_model::random_uploads((&fresh, $part));
        }
    };
    ($storage:expr; $($part:ident :: $law:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let storage = $storage;
                crate::suite::$part::$law(&|| storage.open()).await;
            }
        )*
    };
}
pub(crate) use hold_the_law;

/// The account most laws work in.
pub(crate) const ACCOUNT: AccountId = AccountId(1);
/// Its top directory.
pub(crate) const ROOT: DirId = DirId(1);
/// The largest id an engine has to take: ids count from 1, and a database's integers may have a sign.
pub(crate) const LARGEST: u64 = i64::MAX.cast_unsigned();
/// Who made everything.
pub(crate) const OWNER: Owner = Owner { uid: 1001, gid: 1002 };

/// Opens a storage and adds the top directory.
pub(crate) async fn with_root(open: Open<'_>) -> Catalog {
    let catalog = open();
    catalog.write(|tx| tx.put_root(ACCOUNT, &directory(ROOT.0))).await.unwrap();
    catalog
}

/// A place in [`ACCOUNT`].
pub(crate) fn at(dir: DirId, name: &str) -> Place<'_> {
    Place { account: ACCOUNT, dir, name }
}

/// A new directory.
pub(crate) fn directory(id: u64) -> Directory {
    Directory::new(DirId(id), OWNER, 1_700_000_000 + id)
}

/// A file that differs with its seed; every kind of content comes up.
pub(crate) fn file(seed: u64) -> File {
    let blob = |n: u64| ::model::Extent {
        blob: ::model::BlobId::new(ACCOUNT, n, [7; 6]),
        len: n.wrapping_mul(1 << 33),
    };
    File {
        number: 0,
        attrs: FileAttrs {
            owner: OWNER,
            size: seed,
            checksum: Digest([seed.to_le_bytes()[0]; 32]),
            content_type: ContentType::parse(if seed.is_multiple_of(2) {
                "text/plain"
            } else {
                "video/mp4; a=\"b\""
            })
            .unwrap(),
            ctime: seed / 2,
            mtime: seed + 1,
        },
        content: match seed % 4 {
            0 => Content::Empty,
            1 => Content::Inline(InlineId(seed)),
            2 => Content::Blobs(vec![blob(seed)]),
            _ => Content::Blobs((0..seed % 50).map(blob).collect()),
        },
    }
}

/// Adds a directory below [`ACCOUNT`].
pub(crate) fn mkdir(tx: &mut dyn Tx, parent: DirId, name: &str, id: u64) -> Result<Directory> {
    tx.add_directory(at(parent, name), directory(id))
}

/// The rows of a directory's listing from `after` on: number and name.
pub(crate) fn page(
    read: &mut dyn Read,
    dir: DirId,
    kind: Kind,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, String)>> {
    let mut rows = Vec::new();
    match kind {
        Kind::File => read.list_files(ACCOUNT, dir, after, limit, &mut |n, name, _| {
            rows.push((n, name.to_owned()));
        })?,
        Kind::Directory => {
            read.list_directories(ACCOUNT, dir, after, limit, false, &mut |n, name, record| {
                assert!(record.is_none(), "no details were asked for");
                rows.push((n, name.to_owned()));
            })?;
        }
    }
    Ok(rows)
}

/// Checks that a directory's record, both indices and its listings agree, and returns what it holds: name, node.
pub(crate) fn check_dir(read: &mut dyn Read, dir: DirId) -> Result<Vec<(String, Node)>> {
    let mut held = Vec::new();
    read.list_files(ACCOUNT, dir, 0, usize::MAX, &mut |number, name, attrs| {
        held.push((number, name.to_owned(), Some(attrs.clone()), None));
    })?;
    let files = held.len() as u64;
    read.list_directories(ACCOUNT, dir, 0, usize::MAX, true, &mut |number, name, record| {
        held.push((number, name.to_owned(), None, record.copied()));
    })?;
    let record = read.directory(ACCOUNT, dir)?.expect("the directory is there");
    assert_eq!(
        (record.files, record.directories),
        (files, held.len() as u64 - files),
        "counters of {dir:?}"
    );
    let mut nodes = Vec::new();
    for (number, name, attrs, below) in held {
        let node = read.node(at(dir, &name))?.expect("what is listed is there");
        match &node {
            Node::File(file) => {
                assert_eq!((file.number, Some(&file.attrs)), (number, attrs.as_ref()), "{name:?}");
                assert!(number <= record.last_file, "the last number is the largest");
            }
            Node::Directory(dir) => {
                assert_eq!((dir.number, Some(*dir)), (number, below), "{name:?}");
                assert!(number <= record.last_directory, "the last number is the largest");
            }
        }
        nodes.push((name, node));
    }
    nodes.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(nodes)
}

/// A write that has been handed to the engine and not been waited for. Writes are handed over in the order of calls.
pub(crate) struct Submitted<'a, T> {
    rest: Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>,
    early: Option<Result<T>>,
}

/// Hands a write to the engine.
pub(crate) async fn submit<'a, T: Send + 'a>(
    write: impl Future<Output = Result<T>> + Send + 'a,
) -> Submitted<'a, T> {
    let mut rest: Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>> = Box::pin(write);
    let early = std::future::poll_fn(|cx| {
        Poll::Ready(match rest.as_mut().poll(cx) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        })
    })
    .await;
    Submitted { rest, early }
}

impl<T> Submitted<'_, T> {
    /// The write's result, when it is durable.
    pub(crate) async fn wait(self) -> Result<T> {
        match self.early {
            Some(result) => result,
            None => self.rest.await,
        }
    }
}

/// Keeps an engine busy with one write until it is opened, so that the writes after it pile up.
pub(crate) struct Gate {
    open: SyncSender<()>,
    held: Submitted<'static, ()>,
}

impl Gate {
    /// Returns when the engine is busy with the gate's write.
    pub(crate) async fn close(catalog: &Catalog) -> Self {
        Self::close_with(catalog, false).await
    }

    /// The same where the catalog is closed.
    pub(crate) async fn close_passing(catalog: &Catalog) -> Self {
        Self::close_with(catalog, true).await
    }

    async fn close_with(catalog: &Catalog, passes: bool) -> Self {
        let (open, wait) = sync_channel::<()>(1);
        let (entered, inside): (_, Receiver<()>) = sync_channel(1);
        let catalog = catalog.clone();
        let write = async move {
            let hold = move |_: &mut dyn Tx| {
                // Nobody listens any more when the engine runs the closure again.
                let _ = entered.try_send(());
                let _ = wait.recv();
                Ok(())
            };
            if passes { catalog.write_closed(hold).await } else { catalog.write(hold).await }
        };
        // From a thread without a runtime, which no engine lets do the work itself.
        let handing = std::thread::spawn(move || submit(write).now_or_never());
        let held = handing.join().unwrap().expect("it is not waited for");
        inside.recv().unwrap();
        Self { open, held }
    }

    /// Lets the engine go on after a while, and holds no handle on the catalog until then.
    pub(crate) fn open_soon(self) -> JoinHandle<()> {
        let Self { open, held } = self;
        drop(held);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            open.send(()).unwrap();
        })
    }

    /// Lets the engine go on.
    pub(crate) async fn open(self) {
        self.open.send(()).unwrap();
        self.held.wait().await.unwrap();
    }
}
