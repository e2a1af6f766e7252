//! A network that misbehaves: stands between a client and a server, and does to the bytes of HTTP/1.1 what it is told.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// It gets through.
    None,
    /// The connection is reset before the server sees anything.
    Reset,
    /// Nothing is answered, ever.
    Silence,
    /// The answer is 500, and the server sees nothing.
    Fails,
    /// The server does what it was asked; its answer is lost and the connection reset.
    LostAnswer,
    /// The answer is cut off in its body.
    Cut,
    /// A bit of the answer's body is another one.
    Flip,
    /// Some KiB a second come back.
    Slow,
}

/// Decides: the request's first line, and what happens to it.
type Decide = Box<dyn FnMut(&str) -> Mishap + Send>;

/// A proxy. Dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    decide: Arc<Mutex<Decide>>,
    over: Arc<AtomicBool>,
}

impl Proxy {
    /// Before the server at `to`; lets everything through at first.
    ///
    /// # Panics
    /// Without a free port.
    pub fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let decide: Arc<Mutex<Decide>> = Arc::new(Mutex::new(Box::new(|_: &str| Mishap::None)));
        let over = Arc::new(AtomicBool::new(false));
        let (decides, ends) = (Arc::clone(&decide), Arc::clone(&over));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ends.load(Relaxed) {
                    return;
                }
                let (decides, ends) = (Arc::clone(&decides), Arc::clone(&ends));
                thread::spawn(move || drop(connection(&client, to, &decides, &ends)));
            }
        });
        Self { address, decide, over }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on, request by request.
    pub fn decide(&self, decide: impl FnMut(&str) -> Mishap + Send + 'static) {
        *lock(&self.decide) = Box::new(decide);
    }

    /// The same for all requests.
    pub fn all(&self, mishap: Mishap) {
        self.decide(move |_| mishap);
    }

    /// What happens to the next requests that `which` picks by their first line, so many of them; all others get through.
    pub fn next(&self, mishap: Mishap, mut times: usize, which: fn(&str) -> bool) {
        self.decide(move |line| {
            if times == 0 || !which(line) {
                return Mishap::None;
            }
            times -= 1;
            mishap
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

/// Requests of one client, one after the other.
fn connection(
    mut client: &TcpStream,
    to: SocketAddr,
    decide: &Mutex<Decide>,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let server = TcpStream::connect(to)?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    loop {
        let (head, beginning) = head_of(client)?;
        let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default())
            .into_owned();
        let mishap = lock(decide)(&line);
        match mishap {
            Mishap::Reset => return reset(client),
            Mishap::Silence => {
                while !over.load(Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                    if lock(decide)(&line) != Mishap::Silence {
                        return reset(client);
                    }
                }
                return Ok(());
            }
            Mishap::Fails => {
                // Read to its end, so that the answer is seen.
                forward(client, None, &head, &beginning)?;
                client.write_all(
                    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
                )?;
                continue;
            }
            _ => forward(client, Some(&server), &head, &beginning)?,
        }
        let (answer, body) = head_of(&server)?;
        if mishap == Mishap::LostAnswer {
            return reset(client);
        }
        let len = if line.starts_with("HEAD ") { Some(0) } else { length_of(&answer) };
        client.write_all(&answer)?;
        let mut left = len.unwrap_or(u64::MAX);
        let (mut first, mut sent) = (Some(body), 0_u64);
        let mut room = vec![0; 64 * 1024];
        while left > 0 {
            let mut some = match first.take().filter(|body| !body.is_empty()) {
                Some(body) => body,
                None => match (&server).read(&mut room)? {
                    0 => break,
                    n => room[..n].to_vec(),
                },
            };
            if mishap == Mishap::Flip && sent == 0 {
                let at = some.len() / 2;
                some[at] ^= 1;
            }
            if mishap == Mishap::Cut {
                client.write_all(&some[..some.len() / 2])?;
                return client.shutdown(Shutdown::Both);
            }
            if mishap == Mishap::Slow {
                for few in some.chunks(4096) {
                    client.write_all(few)?;
                    thread::sleep(Duration::from_millis(40));
                }
            } else {
                client.write_all(&some)?;
            }
            sent += some.len() as u64;
            left = left.saturating_sub(some.len() as u64);
        }
        if len.is_none() {
            return client.shutdown(Shutdown::Both);
        }
    }
}

/// Sends a request on, to the end of its body; nowhere if there is no server.
fn forward(
    mut client: &TcpStream,
    server: Option<&TcpStream>,
    head: &[u8],
    beginning: &[u8],
) -> std::io::Result<()> {
    let mut to: Box<dyn Write> = match server {
        Some(server) => Box::new(server),
        None => Box::new(std::io::sink()),
    };
    to.write_all(head)?;
    to.write_all(beginning)?;
    let mut left = length_of(head).unwrap_or(0).saturating_sub(beginning.len() as u64);
    let mut room = vec![0; 64 * 1024];
    while left > 0 {
        let n = client.read(&mut room)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&room[..n])?;
        left = left.saturating_sub(n as u64);
    }
    Ok(())
}

/// A head, and what came behind it.
fn head_of(mut stream: &TcpStream) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut read = Vec::new();
    let mut room = [0; 16 * 1024];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = read.split_off(end + 4);
            return Ok((read, body));
        }
        match stream.read(&mut room)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => read.extend_from_slice(&room[..n]),
        }
    }
}

/// The length of the body behind a head; 0 where an answer has none, `None` where only the end tells.
fn length_of(head: &[u8]) -> Option<u64> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3));
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    match length {
        Some(length) => length.trim().parse().ok(),
        None if status == Some("204") || status == Some("304") => Some(0),
        None => None,
    }
}

fn reset(stream: &TcpStream) -> std::io::Result<()> {
    set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(())
}

fn lock(decide: &Mutex<Decide>) -> MutexGuard<'_, Decide> {
    decide.lock().unwrap_or_else(PoisonError::into_inner)
}
