//! Transfers and callbacks: whose they are when nodes die and come back.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use model::{Caller, JobId, JobState, Secret};
use ops::{FetchSpec, Parents, Stat, event::Letter};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

use super::{Cluster, Node, until};
use crate::harness::{path, put, spec};

/// A server that gives each request its number as content; the first waits until it may end.
struct Remote {
    url: Secret,
    asked: Arc<AtomicUsize>,
    first_may_end: watch::Sender<bool>,
}

impl Remote {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Secret::new(format!("http://{}/f", listener.local_addr().unwrap()));
        let (asked, first_may_end) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
        let (count, may_end) = (asked.clone(), first_may_end.subscribe());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (number, mut may_end) =
                    (count.fetch_add(1, Ordering::SeqCst) + 1, may_end.clone());
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _read = stream.read(&mut head).await.unwrap();
                    let begin = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
                    stream.write_all(begin.as_bytes()).await.unwrap();
                    if number == 1 {
                        may_end.wait_for(|may| *may).await.unwrap();
                    }
                    drop(stream.write_all(format!("try {number}").as_bytes()).await);
                });
            }
        });
        Self { url, asked, first_may_end }
    }

    async fn was_asked(&self, times: usize) {
        until("asked", async || self.asked.load(Ordering::SeqCst) == times).await;
    }
}

async fn queue(node: &Node, caller: &Caller, remote: &Remote) -> JobId {
    let spec = FetchSpec {
        path: path("f"),
        parents: Parents::Required,
        uri: remote.url.clone(),
        credentials: None,
    };
    node.store.fetch(caller, spec).await.unwrap()
}

fn runner(node: &Node) -> tokio::task::JoinHandle<()> {
    let store = node.store.clone();
    tokio::spawn(async move { store.run_jobs().await })
}

async fn job(node: &Node, id: JobId) -> model::Job {
    let jobs = node.store.jobs(None).await.unwrap();
    jobs.into_iter().map(|(_, job)| job).find(|job| job.id == id).unwrap()
}

async fn checksum(node: &Node, caller: &Caller) -> model::Digest {
    let stat = node.store.stat(caller, &path("f")).await.unwrap();
    let Stat::File(file) = stat else { panic!("a directory") };
    file.checksum
}

fn digest(text: &str) -> model::Digest {
    use sha2::Digest as _;
    model::Digest(sha2::Sha256::digest(text).into())
}

#[tokio::test]
async fn a_runner_that_was_taken_for_dead_ends_nothing() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let (caller, remote) = (one.somebody().await, Remote::start().await);
    let id = queue(&one, &caller, &remote).await;
    let first = runner(&one);
    remote.was_asked(1).await;
    let claimed = job(&two, id).await;
    assert_eq!(claimed.lease.map(|lease| lease.holder), Some(one.store.node()));
    let second = runner(&two);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(remote.asked.load(Ordering::SeqCst), 1, "it is the first one's");
    // The first node seems dead; it is only slow.
    cluster.clock.advance_secs(31);
    let done = async || job(&two, id).await.state == JobState::Done;
    until("taken over", done).await;
    assert_eq!((job(&two, id).await.attempts, checksum(&two, &caller).await), (2, digest("try 2")));
    let settled = job(&two, id).await;
    remote.first_may_end.send_replace(true);
    // The first runner is done with it when it takes the next.
    second.abort();
    let next = queue(&one, &caller, &remote).await;
    until("the next", async || job(&one, next).await.state == JobState::Done).await;
    assert_eq!(job(&two, id).await, settled);
    assert_eq!(checksum(&two, &caller).await, digest("try 3"));
    first.abort();
}

#[tokio::test]
async fn nor_does_one_whose_job_was_cancelled_and_begun_anew_elsewhere() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let (caller, remote) = (one.somebody().await, Remote::start().await);
    let id = queue(&one, &caller, &remote).await;
    let first = runner(&one);
    remote.was_asked(1).await;
    two.store.cancel_job(id).await.unwrap();
    two.store.retry_job(id).await.unwrap();
    // The same number of attempts as the first one's. It is in the second node's hands, and not at its end yet.
    let second = runner(&two);
    until("done", async || job(&two, id).await.state == JobState::Done).await;
    let settled = job(&two, id).await;
    assert_eq!((settled.attempts, checksum(&two, &caller).await), (1, digest("try 2")));
    second.abort();
    remote.first_may_end.send_replace(true);
    let next = queue(&one, &caller, &remote).await;
    until("the next", async || job(&one, next).await.state == JobState::Done).await;
    assert_eq!(job(&two, id).await, settled);
    first.abort();
}

#[tokio::test]
async fn a_runner_stops_when_it_cannot_keep_its_job() {
    let cluster = Cluster::with_short_leases();
    let [one, two] = cluster.nodes();
    let (caller, remote) = (one.somebody().await, Remote::start().await);
    let id = queue(&one, &caller, &remote).await;
    let first = runner(&one);
    remote.was_asked(1).await;
    let before = job(&two, id).await.lease;
    cluster.clock.advance_secs(1);
    let renewed = async || job(&two, id).await.lease != before;
    until("renewed", renewed).await;
    // Cancelled elsewhere: noticed with the next renewal, long before the remote says more.
    two.store.cancel_job(id).await.unwrap();
    let next = queue(&one, &caller, &remote).await;
    until("the next", async || job(&one, next).await.state == JobState::Done).await;
    assert_eq!(job(&two, id).await.state, JobState::Cancelled);
    first.abort();
}

#[tokio::test]
async fn a_node_that_leaves_queues_its_job_again() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let (caller, remote) = (one.somebody().await, Remote::start().await);
    let id = queue(&one, &caller, &remote).await;
    let first = runner(&one);
    remote.was_asked(1).await;
    one.store.leave().await.unwrap();
    first.abort();
    assert_eq!(job(&two, id).await.state, JobState::Queued);
    let second = runner(&two);
    until("done", async || job(&two, id).await.state == JobState::Done).await;
    second.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runners_do_each_job_once() {
    let cluster = Cluster::new();
    let nodes: [_; 3] = cluster.nodes();
    let (caller, remote) = (nodes[0].somebody().await, Remote::start().await);
    remote.first_may_end.send_replace(true);
    for _ in 0..12 {
        queue(&nodes[0], &caller, &remote).await;
    }
    let runners: Vec<_> = nodes.iter().map(runner).collect();
    let all_done = async || {
        let jobs = nodes[1].store.jobs(None).await.unwrap();
        jobs.iter().all(|(_, job)| job.state == JobState::Done)
    };
    until("done", all_done).await;
    assert_eq!(remote.asked.load(Ordering::SeqCst), 12);
    runners.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_all_nodes_are_told_once_and_in_order() {
    let cluster = Cluster::new();
    let nodes: [_; 3] = cluster.nodes();
    let caller = nodes[0].somebody().await;
    let told: Arc<Mutex<HashMap<String, Vec<u64>>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let list = told.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let list = list.clone();
            tokio::spawn(async move {
                let mut text = String::new();
                while !text.ends_with(";") {
                    let mut some = [0; 4096];
                    let len = stream.read(&mut some).await.unwrap();
                    text.push_str(std::str::from_utf8(&some[..len]).unwrap());
                }
                let body = text.rsplit("\r\n\r\n").next().unwrap().trim_end_matches(';');
                let (name, size) = body.split_once(' ').unwrap();
                let size = size.parse().unwrap();
                list.lock().unwrap().entry(name.to_owned()).or_default().push(size);
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    nodes[2].store.register_callback(&caller, &url, 0, 0).await.unwrap();
    let wording = |delivery: &ops::event::Delivery, _| {
        let (path, file) = (&delivery.event.path, delivery.event.file);
        let body = format!("{path} {};", file.map_or(0, |file| file.size));
        Ok(Letter { headers: Vec::new(), body: Bytes::from(body) })
    };
    let tellers: Vec<_> = nodes
        .iter()
        .map(|node| {
            let store = node.store.clone();
            tokio::spawn(async move { store.tell_callbacks(wording).await })
        })
        .collect();
    for size in 1..=6 {
        for name in ["a", "b", "c"] {
            let node = &nodes[size % 3];
            let at = path(name);
            put(&node.store, &caller, spec(&at, Parents::Required), &vec![0; size]).await.unwrap();
        }
    }
    let all = async || told.lock().unwrap().values().map(Vec::len).sum::<usize>() >= 18;
    until("told", all).await;
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 3);
    assert!(told.values().all(|sizes| *sizes == [1, 2, 3, 4, 5, 6]), "{told:?}");
    tellers.iter().for_each(tokio::task::JoinHandle::abort);
}
