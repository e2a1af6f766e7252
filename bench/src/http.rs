//! A raw HTTP/1.1 client connection with as little between the load and the socket as will do: one request at a time,
//! whole answers in one buffer that is used again. No redirects, no TLS, no pool; what a request says is not known here.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longest answer taken, in bytes: what is larger is a fault of the server or of the work.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// An answer, as it lies in the connection's buffer.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// The status code.
    pub(crate) status: u16,
    head: &'a [u8],
    /// The body; empty for HEAD.
    pub(crate) body: &'a [u8],
}

/// How the end of a body is told.
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a whole request and takes its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.send(request).await?;
        self.answer(request.starts_with(b"HEAD ")).await
    }

    /// Sends a part of a request.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await.context("sending a request")
    }

    /// Takes the answer to what was sent.
    pub(crate) async fn answer(&mut self, to_head: bool) -> anyhow::Result<Answer<'_>> {
        self.answer.clear();
        let head = loop {
            match find(&self.answer, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read().await?,
            }
        };
        let status = status(&self.answer)?;
        let framing = framing(&self.answer[..head])?;
        let end = match framing {
            _ if to_head => head,
            Framing::Length(length) => {
                let end = head + length;
                self.answer.reserve(end.saturating_sub(self.answer.len()));
                while self.answer.len() < end {
                    self.read().await?;
                }
                end
            }
            Framing::Chunked => self.unchunk(head).await?,
        };
        ensure!(self.answer.len() == end, "bytes after the end of an answer");
        let (head, body) = self.answer.split_at(head);
        Ok(Answer { status, head, body })
    }

    /// Reads a chunked body to its end and leaves its bytes after the head; says where they end.
    async fn unchunk(&mut self, head: usize) -> anyhow::Result<usize> {
        let (mut from, mut to) = (head, head);
        loop {
            let line = loop {
                match find(&self.answer[from..], b"\r\n") {
                    Some(length) => break from + length,
                    None => self.read().await?,
                }
            };
            let size = std::str::from_utf8(&self.answer[from..line])?;
            let size = usize::from_str_radix(size.trim(), 16).context("size of a chunk")?;
            from = line + 2;
            while self.answer.len() < from + size + 2 {
                self.read().await?;
            }
            self.answer.copy_within(from..from + size, to);
            (from, to) = (from + size + 2, to + size);
            if size == 0 {
                ensure!(self.answer.len() == from, "bytes after the last chunk");
                self.answer.truncate(to);
                return Ok(to);
            }
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        ensure!(self.answer.len() < ANSWER_BYTES_MAX, "an answer without end");
        self.answer.reserve(4096);
        match self.stream.read_buf(&mut self.answer).await.context("reading an answer")? {
            0 => bail!("the server closed the connection: {}", text(&self.answer)),
            _ => Ok(()),
        }
    }
}

impl<'a> Answer<'a> {
    /// The first value of a header; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }

    /// What to show of an answer that is wrong.
    pub(crate) fn describe(&self) -> String {
        format!("{}{}", text(self.head), text(self.body))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned()
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

fn status(answer: &[u8]) -> anyhow::Result<u16> {
    let code = answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok());
    match code.and_then(|code| code.parse().ok()) {
        Some(status) if answer.starts_with(b"HTTP/1.1 ") => Ok(status),
        _ => bail!("not an HTTP/1.1 answer: {}", text(answer)),
    }
}

fn framing(head: &[u8]) -> anyhow::Result<Framing> {
    if header(head, "transfer-encoding").is_some_and(|coding| coding == "chunked") {
        return Ok(Framing::Chunked);
    }
    let length = header(head, "content-length").context("an answer without length")?;
    Ok(Framing::Length(length.parse().context("content-length")?))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|b| *b == b'\n').skip(1).find_map(|line| {
        let (own, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        let named = own.eq_ignore_ascii_case(name.as_bytes());
        named.then_some(std::str::from_utf8(value).ok()?.trim())
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn exchange(request: &'static [u8], answer: &'static [u8]) -> anyhow::Result<(u16, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let peer = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; request.len()];
                stream.read_exact(&mut request).await.unwrap();
                for piece in answer.chunks(3) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let mut connection = Connection::open(address).await?;
            let answer = connection.exchange(request).await?;
            let taken = (answer.status, String::from_utf8_lossy(answer.body).into_owned());
            assert!(answer.header("x-a").is_none_or(|value| value == "b"));
            peer.await?;
            Ok(taken)
        })
    }

    #[test]
    fn answers_are_taken_whole() {
        let fixed = b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(exchange(b"GET / x", fixed).unwrap(), (200, "abc".to_owned()));
        let chunked =
            b"HTTP/1.1 400 a b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(exchange(b"GET / x", chunked).unwrap(), (400, "abc".to_owned()));
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(exchange(b"HEAD / x", head).unwrap(), (200, String::new()));
    }

    #[test]
    fn broken_answers_are_errors() {
        assert!(exchange(b"GET / x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").is_err());
        assert!(exchange(b"GET / x", b"SSH-2.0 200 OK\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(exchange(b"GET / x", b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
