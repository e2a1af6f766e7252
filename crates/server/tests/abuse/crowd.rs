//! Ten thousand connections (1,000 in CI): what each costs, that good requests are answered beside them, and that nothing of
//! them is left.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use crate::{
    full,
    harness::{PATIENCE, Server, Setup, wait_until},
    proc,
};

/// Memory that a connection may cost while nothing goes over it, in KiB.
const CONNECTION_KIB_MAX: f64 = 32.0;

/// Opens connections from one of this machine's addresses; each sends the same bytes.
fn open(from: Ipv4Addr, to: SocketAddr, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
            socket.connect(&to.into()).unwrap();
            let mut stream: TcpStream = socket.into();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(bytes).unwrap();
            stream
        })
        .collect()
}

#[test]
fn ten_thousand_connections() {
    let count = if full() { 10_000 } else { 1_000 };
    // Both ends, and some to spare.
    if proc::descriptors_allowed() < count as u64 * 2 {
        eprintln!("NOT CHECKED: {count} connections, for want of descriptors");
        return;
    }
    let config = "[limits]\nconnections = 12000\nheader_seconds = 600\n".to_owned();
    let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    let (pid, anna) = (server.pid(), server.login());
    anna.put("/small", b"small");
    let get = b"GET /acme/small HTTP/1.1\r\nHost: x\r\n\r\n";
    let half =
        b"POST /post/raw HTTP/1.1\r\nHost: x\r\nX-Agile-Authorization: 0123456789abcdef\r\nX-Ag";
    let long = [&half[..], b"-Long: ", &[b'x'; 7000]].concat();
    let kinds: [(&str, &[u8]); 4] = [
        ("idle", b""),
        ("idle after a request", get),
        ("half a head", half),
        ("half a head of 7 KB", &long),
    ];
    for (i, (what, bytes)) in kinds.into_iter().enumerate() {
        // What the tests asked last has ended.
        std::thread::sleep(std::time::Duration::from_millis(200));
        let (before, open_before) = (proc::rss_kib(pid), proc::descriptors(pid));
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(i + 1).unwrap());
        let mut held = Vec::new();
        // In groups that the queue of a listening socket holds: what overflows it is connected for the client alone.
        while held.len() < count {
            held.extend(open(from, server.address(), count.min(500), bytes));
            match open_before {
                Some(open) => wait_until("all to be accepted", || {
                    // Some that were counted before may have ended since.
                    proc::descriptors(pid).unwrap() + 8 >= open + held.len()
                }),
                None => std::thread::sleep(std::time::Duration::from_millis(500)),
            }
        }
        if what == "idle after a request" {
            for stream in &mut held {
                let mut answer = [0; 12];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"HTTP/1.1 200");
            }
        }
        assert_eq!(anna.content("/small"), b"small", "a good request beside {count}");
        let kib = proc::rss_kib(pid).saturating_sub(before) as f64 / count as f64;
        println!("{count} connections, {what}: {kib:.1} KiB each ({before} KiB before)");
        assert!(kib < CONNECTION_KIB_MAX, "{what}: {kib:.1} KiB a connection");
        drop(held);
        if let Some(open) = open_before {
            wait_until("descriptors to come back", || proc::descriptors(pid).unwrap() <= open + 4);
        }
        assert_eq!(anna.content("/small"), b"small");
    }
    println!("afterwards: {} KiB, {:?} descriptors", proc::rss_kib(pid), proc::descriptors(pid));
}
