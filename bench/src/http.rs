//! A raw HTTP/1.1 client connection with as little between the load and the socket as will do: one request at a time,
//! whole answers in one buffer that is used again. No redirects, no TLS, no pool; what a request says is not known here.

use std::{net::SocketAddr, sync::LazyLock};

use anyhow::{Context, bail, ensure};
use memchr::memmem;
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
    /// The length its head tells, also where no body comes (HEAD, 304).
    pub(crate) length: usize,
    /// Status line and headers, as they came.
    pub(crate) head: &'a [u8],
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
            match head_end(&self.answer) {
                Some(end) => break end,
                None => self.read().await?,
            }
        };
        let status = status(&self.answer)?;
        let framing = framing(&self.answer[..head])?;
        let end = match framing {
            _ if to_head || status == 304 => head,
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
        let length = if let Framing::Length(length) = framing { length } else { body.len() };
        Ok(Answer { status, length, head, body })
    }

    /// Reads a chunked body to its end and leaves its bytes after the head; says where they end.
    async fn unchunk(&mut self, head: usize) -> anyhow::Result<usize> {
        let (mut from, mut to) = (head, head);
        loop {
            let line = loop {
                match memmem::find(&self.answer[from..], b"\r\n") {
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

/// What to show of bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned()
}

/// Where the head of an answer ends, the empty line included.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    static END: LazyLock<memmem::Finder<'static>> =
        LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));
    END.find(bytes).map(|at| at + 4)
}

/// The status code of a head.
pub(crate) fn status(answer: &[u8]) -> anyhow::Result<u16> {
    let digit = |at: usize| answer.get(at).filter(|d| d.is_ascii_digit()).map(|d| d - b'0');
    match (digit(9), digit(10), digit(11)) {
        (Some(a), Some(b), Some(c)) if answer.starts_with(b"HTTP/1.1 ") => {
            Ok(u16::from(a) * 100 + u16::from(b) * 10 + u16::from(c))
        }
        _ => bail!("not an HTTP/1.1 answer: {}", text(answer)),
    }
}

/// The length a head tells; 0 where it tells none because no body may come (304).
pub(crate) fn length(head: &[u8]) -> anyhow::Result<usize> {
    match header(head, "content-length") {
        Some(length) => length.parse().context("content-length"),
        None if status(head)? == 304 => Ok(0),
        None => bail!("an answer without length: {}", text(head)),
    }
}

fn framing(head: &[u8]) -> anyhow::Result<Framing> {
    if header(head, "transfer-encoding").is_some_and(|coding| coding == "chunked") {
        return Ok(Framing::Chunked);
    }
    Ok(Framing::Length(length(head)?))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let mut line_end = memchr::memchr(b'\n', head)?;
    loop {
        let rest = &head[line_end + 1..];
        let (own, value) = rest.split_at_checked(name.len() + 1)?;
        let end = memchr::memchr(b'\n', rest)?;
        if own[name.len()] == b':' && own[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            let value = value.get(..end.checked_sub(own.len())?)?;
            return Some(std::str::from_utf8(value).ok()?.trim());
        }
        line_end += 1 + end;
    }
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
    fn headers_are_found() {
        let head = b"HTTP/1.1 200 OK\r\nA: b\r\nLonger:x \r\nContent-LENGTH: 12\r\nE:\r\n\r\n";
        for (name, value) in
            [("a", Some("b")), ("longer", Some("x")), ("e", Some("")), ("long", None), ("b", None)]
        {
            assert_eq!(header(head, name), value, "{name}");
        }
        assert_eq!(length(head).unwrap(), 12);
        assert_eq!(length(b"HTTP/1.1 304 Not Modified\r\n\r\n").unwrap(), 0);
        assert!(length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert_eq!(head_end(head), Some(head.len()));
        assert_eq!(head_end(&head[..head.len() - 1]), None);
    }

    #[test]
    fn broken_answers_are_errors() {
        assert!(exchange(b"GET / x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").is_err());
        assert!(exchange(b"GET / x", b"SSH-2.0 200 OK\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(exchange(b"GET / x", b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
