//! Clients that take their time (promises.md, 13): heads, bodies and answers that do not come to an end, beside clients that
//! mean well; and the same where descriptors are few.
//!
//! Nothing here judges a speed: the figures are printed. What is judged: no good request fails, whoever is slow is cut
//! off, and what was acknowledged is there.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    full,
    harness::{Client, Connection, PATIENCE, Server, Setup, ask, noise, wait_until},
    proc,
};

const GOOD: u64 = 8;

/// Times short enough for a test to see them pass.
const SHORT: &str =
    "[limits]\nheader_seconds = 2\nbody_idle_seconds = 2\nanswer_idle_seconds = 2\n";

/// A connection that is up to no good, and how it goes on.
struct Slow {
    stream: TcpStream,
    /// Another byte of a head from time to time.
    drips: bool,
}

/// Opens connections of every slow kind.
fn slow_ones(address: SocketAddr, token: &str, count: usize) -> Vec<Slow> {
    let head = "POST /post/raw HTTP/1.1\r\nHost: x\r\n";
    let upload = format!("{head}X-Agile-Authorization: {token}\r\nX-Agile-Basename: slow\r\n");
    let kinds = [
        // Idle from the first moment.
        (String::new(), false),
        // Half a head, and another byte of it from time to time.
        (format!("{head}X-Slow: "), true),
        // A body that stops.
        (format!("{upload}Content-Length: 1000000\r\n\r\n{}", "x".repeat(20_000)), false),
        (format!("{upload}Transfer-Encoding: chunked\r\n\r\n5\r\nab"), false),
        // An answer that is not taken.
        ("GET /acme/large HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), false),
        // A good request, and then nothing.
        ("GET /acme/small HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), false),
    ];
    (0..count)
        .map(|i| {
            let (bytes, drips) = &kinds[i % kinds.len()];
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // Where descriptors are few, nobody may be there to read it yet.
            let _sent = stream.write_all(bytes.as_bytes());
            Slow { stream, drips: *drips }
        })
        .collect()
}

/// Whether the server ends the connection in time; what it still sends is taken.
fn is_cut(stream: &mut TcpStream, end: Instant) -> bool {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return e.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// One good client: puts and gets over a connection of its own and over new ones; how long each took, in milliseconds.
fn good_client(anna: &Client, who: u64, requests: u64) -> Vec<f64> {
    let mut own = Connection::open(anna.address);
    let mut took = Vec::new();
    for i in 0..requests {
        let body = noise(who * 1000 + i, if i % 4 == 0 { 100_000 } else { 1000 });
        let name = format!("good-{who}-{i}");
        let begun = Instant::now();
        let put = anna.raw("/", &name).body(body.clone());
        let answer = if i % 2 == 0 { own.ask(&put) } else { anna.send(&put) };
        assert_eq!(answer.told(), (200, 0), "{name}: {answer:?}");
        let get = ask("GET", &format!("/acme/{name}"));
        let got = if i % 2 == 0 { own.ask(&get) } else { anna.send(&get) };
        assert!(got.status == 200 && got.body == body, "{name}: {got:?}");
        took.push(begun.elapsed().as_secs_f64() * 500.0);
    }
    took
}

/// All good clients at once; prints how long their requests took.
fn good_ones(anna: &Client, requests: u64, when: &str) {
    let mut took: Vec<f64> = thread::scope(|scope| {
        let all: Vec<_> =
            (0..GOOD).map(|who| scope.spawn(move || good_client(anna, who, requests))).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!("{when}: {} requests, p50 {:.1} ms, p99 {:.1} ms", took.len() * 2, at(50), at(99));
}

/// Whether all that good clients were told is stored is there.
fn check_acknowledged(anna: &Client, requests: u64) {
    for who in 0..GOOD {
        for i in 0..requests {
            let body = noise(who * 1000 + i, if i % 4 == 0 { 100_000 } else { 1000 });
            assert!(anna.content(&format!("/good-{who}-{i}")) == body, "good-{who}-{i}");
        }
    }
}

fn prepare(setup: Setup) -> (Server, Client) {
    let server = Server::start_with(setup);
    // For as long as the test takes.
    let anna = server.login();
    anna.put("/large", &noise(1, 64 << 20));
    anna.put("/small", b"small");
    (server, anna)
}

#[test]
fn slow_clients_are_cut_and_nobody_waits_for_them() {
    let count = 2_000;
    let (server, anna) = prepare(Setup { config: Some(SHORT.to_owned()), ..Setup::default() });
    let requests = if full() { 200 } else { 15 };
    good_ones(&anna, requests, "alone");
    let before = proc::descriptors(server.pid());
    let mut slow = slow_ones(server.address(), &anna.token, count);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let drips: Vec<TcpStream> = slow
            .iter()
            .filter(|slow| slow.drips)
            .map(|slow| slow.stream.try_clone().unwrap())
            .collect();
        scope.spawn(|| {
            let mut drips = drips;
            while !over.load(Ordering::Relaxed) {
                drips.retain_mut(|stream| stream.write_all(b"x").is_ok());
                thread::sleep(Duration::from_millis(100));
            }
        });
        good_ones(&anna, requests, &format!("beside {count} slow connections"));
        let begun = Instant::now();
        let end = begun + PATIENCE;
        let cut = slow.iter_mut().filter_map(|slow| is_cut(&mut slow.stream, end).then_some(()));
        let cut = cut.count();
        println!("{cut} of {count} cut, the last {:.1} s later", begun.elapsed().as_secs_f64());
        over.store(true, Ordering::Relaxed);
        assert_eq!(cut, count);
    });
    drop(slow);
    if let Some(before) = before {
        wait_until("descriptors to come back", || {
            proc::descriptors(server.pid()).unwrap() <= before + 4
        });
    }
    check_acknowledged(&anna, requests);
    assert_eq!(anna.get("/acme/slow").status, 404, "half a body became a file");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn few_descriptors() {
    let setup =
        Setup { config: Some(SHORT.to_owned()), shell: "ulimit -n 256", ..Setup::default() };
    let (server, anna) = prepare(setup);
    assert_eq!(proc::limit(server.pid(), "Max open files"), "256");
    assert!(server.log().contains("fewer connections than configured"), "{}", server.log());
    let requests = if full() { 100 } else { 10 };
    good_ones(&anna, requests, "256 descriptors, alone");
    // More than the server may hold: those that it does not hold yet wait to be accepted.
    let slow = slow_ones(server.address(), &anna.token, 250);
    let most = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !most.load(Ordering::Relaxed) {
                if let Some(open) = proc::descriptors(server.pid()) {
                    assert!(open < 250, "{open} descriptors of 256");
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        // Good clients that come now wait their turn: ever fewer are before them, and each for a second at most.
        good_ones(&anna, 2, "256 descriptors, beside 250 slow connections");
        most.store(true, Ordering::Relaxed);
    });
    drop(slow);
    good_ones(&anna, requests, "256 descriptors, afterwards");
    check_acknowledged(&anna, requests);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Descriptors run out although connections are bounded (here: they are taken away): accepting rests, and goes on.
#[test]
fn accepting_goes_on_after_it_failed() {
    let (mut server, anna) = prepare(Setup::default());
    let Some(open) = proc::descriptors(server.pid()) else {
        proc::is_root("descriptors that are taken away");
        return;
    };
    let limit = |descriptors: usize| {
        let pid = server.pid().to_string();
        let done = std::process::Command::new("/usr/bin/prlimit")
            .args(["--pid", &pid, &format!("--nofile={descriptors}:20000")])
            .status()
            .unwrap();
        assert!(done.success());
    };
    let mut own = Connection::open(server.address());
    own.ask(&ask("GET", "/acme/small"));
    limit(open.min(10));
    let mut waiting: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET /acme/small HTTP/1.0\r\n\r\n").unwrap();
            stream
        })
        .collect();
    wait_until("a failed accept", || server.log().contains("no connection could be accepted"));
    // It rests between attempts: a second of them is some ten lines.
    thread::sleep(Duration::from_secs(1));
    // Who is in goes on.
    assert_eq!(own.ask(&ask("GET", "/acme/small")).body, b"small");
    limit(20_000);
    for stream in &mut waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("small"), "{answer}");
    }
    assert_eq!(anna.content("/small"), b"small");
    let said = server.log().matches("no connection could be accepted").count();
    assert!(said < 200, "a full log: {said} lines");
    assert!(server.lives());
}
