//! Another server, from which files are pulled: it does to each request what a test says, byte for byte.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::PATIENCE;

/// A server on loopback. It ends with the test's process.
pub(crate) struct Remote {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Remote {
    /// Hands the n-th request, from 0, with its head to `answer`, which writes what it likes; then the connection is closed.
    pub(crate) fn start(
        answer: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, answer) = (heads.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, seen, answer) = (stream.unwrap(), seen.clone(), answer.clone());
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") {
                        if !matches!(stream.read(&mut byte), Ok(1)) {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let n = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(head.clone());
                        seen.len() - 1
                    };
                    answer(n, &head, &mut stream);
                });
            }
        });
        Self { port, heads }
    }

    /// A server that has this content, whole, under every path.
    pub(crate) fn with(content: &'static [u8]) -> Self {
        Self::start(move |_, _, stream| whole(stream, "", content))
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The heads of the requests that came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// A configuration under which it may be asked, with more lines of `[pull]`.
    pub(crate) fn config(&self, more: &str) -> String {
        let port = self.port;
        format!(
            "[pull]\nfirst_delay_seconds = 0\n{more}\n\
             [[pull.allow]]\nhost = \"127.0.0.1\"\nport = {port}\nprivate = true\n"
        )
    }
}

/// Answers with 200 and a content. What cannot be written any more is not.
pub(crate) fn whole(stream: &mut TcpStream, headers: &str, content: &[u8]) {
    let length = content.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(content));
}

/// Answers with 200 and the length of a content, but sends only `part` of it.
pub(crate) fn part(stream: &mut TcpStream, headers: &str, length: usize, part: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(part)).unwrap();
}

/// Answers with another status, and nothing else.
pub(crate) fn status(stream: &mut TcpStream, status: u16, headers: &str) {
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
}

/// Waits until the other side has closed the connection.
pub(crate) fn until_closed(stream: &mut TcpStream) {
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
}
