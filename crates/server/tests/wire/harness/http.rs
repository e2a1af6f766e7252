//! A blocking HTTP/1.1 client of one connection, over plain sockets: it sends whatever bytes a test wants to send, and
//! reads answers strictly.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Error, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

/// Begins a request.
pub(crate) fn ask(method: &str, target: &str) -> Ask {
    Ask { method: method.to_owned(), target: target.to_owned(), headers: vec![], body: None }
}

impl Ask {
    /// Adds a header; a second one of the same name stands beside the first.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The token to be shown.
    pub(crate) fn token(self, token: &str) -> Self {
        self.with("X-Agile-Authorization", token)
    }

    /// A body, sent with its length.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A body sent in chunks of `size` bytes.
    pub(crate) fn chunks(self, body: &[u8], size: usize) -> Self {
        let mut framed = Vec::with_capacity(body.len() + 64);
        for chunk in body.chunks(size) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        self.with("Transfer-Encoding", "chunked").body(framed)
    }

    /// Whether it carries a body.
    pub(crate) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The head as it goes over the wire.
    pub(crate) fn head(&self, address: SocketAddr) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.has("Host") {
            bytes.extend_from_slice(format!("Host: {address}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body
            && !self.has("Transfer-Encoding")
            && !self.has("Content-Length")
        {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// All of it as it goes over the wire.
    pub(crate) fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        [self.head(address), self.body.clone().unwrap_or_default()].concat()
    }

    /// Sends it over a new connection. What holds for every answer is checked here.
    pub(crate) fn send(&self, address: SocketAddr) -> Answer {
        Connection::open(address).ask(self)
    }
}

/// A connection to a server.
pub(crate) struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap()
    }

    /// Connects to a server that may be gone.
    pub(crate) fn try_open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address)?, address))
    }

    /// Connects from another address of this machine.
    pub(crate) fn open_from(from: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into(), address)
    }

    fn over(stream: TcpStream, address: SocketAddr) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { address, reader: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Sends a request and reads its answer. A server may answer before the body is through.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Answer {
        self.try_ask(ask).unwrap_or_else(|e| panic!("{} {}: {e}", ask.method, ask.target))
    }

    /// The same where the server may die instead of answering.
    pub(crate) fn try_ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        self.send(&ask.head(self.address))?;
        if let Some(body) = &ask.body {
            let _refused_early = self.send(body);
        }
        let answer = self.answer(&ask.method)?;
        answer.check_invariants();
        Ok(answer)
    }

    /// Sends the head of a request that waits to be asked for its body, and reads what comes first: 100, or a refusal.
    pub(crate) fn expect(&mut self, ask: &Ask) -> Answer {
        self.send_head(&ask.clone().with("Expect", "100-continue"));
        let mut answer = self.answer_head().unwrap();
        if answer.status >= 200 {
            answer.check_invariants();
            if let Some(length) = answer.header("Content-Length") {
                answer.body = self.exactly(length.parse().unwrap());
            }
        }
        answer
    }

    /// Sends the head of a request alone.
    pub(crate) fn send_head(&mut self, ask: &Ask) {
        self.send(&ask.head(self.address)).unwrap();
    }

    /// No more bytes will be sent.
    pub(crate) fn finish_sending(&mut self) {
        self.reader.get_mut().shutdown(Shutdown::Write).unwrap();
    }

    /// Whether the server closes the connection, without another byte.
    pub(crate) fn is_closed_by_server(&mut self) -> bool {
        matches!(self.reader.read(&mut [0]), Ok(0))
    }

    /// So many bytes of a body that is read by hand.
    pub(crate) fn exactly(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// What still comes until the connection ends or is reset.
    pub(crate) fn until_cut(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _reset = self.reader.read_to_end(&mut bytes);
        bytes
    }

    /// One line, without its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(line.to_vec()),
            None => Err(Error::other(format!("a broken line: {line:?}"))),
        }
    }

    /// Reads an interim answer (1xx) or the head of a final one.
    pub(crate) fn answer_head(&mut self) -> io::Result<Answer> {
        let line = String::from_utf8(self.line()?).map_err(Error::other)?;
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let status = words.next().and_then(|w| w.parse().ok());
        let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
            return Err(Error::other(format!("no status line: {line}")));
        };
        let reason = words.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|b| *b == b':');
            let colon = colon.ok_or_else(|| Error::other(format!("no header: {line:?}")))?;
            let name = String::from_utf8(line[..colon].to_vec()).map_err(Error::other)?;
            headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        Ok(Answer { version, status, reason, headers, body: Vec::new(), interim: Vec::new() })
    }

    /// Reads the answer to a request with `method`.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut interim = Vec::new();
        let mut answer = loop {
            let answer = self.answer_head()?;
            if answer.status >= 200 {
                break answer;
            }
            interim.push(answer.status);
        };
        answer.interim = interim;
        if method == "HEAD" || answer.status == 204 || answer.status == 304 {
            return Ok(answer);
        }
        if answer.header("Transfer-Encoding") == Some("chunked") {
            answer.body = self.chunked()?;
        } else if let Some(length) = answer.header("Content-Length") {
            let length = length.parse().map_err(Error::other)?;
            answer.body = vec![0; length];
            self.reader.read_exact(&mut answer.body)?;
        } else {
            self.reader.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The next chunk of a body that is read by hand; the last one is empty.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = String::from_utf8(self.line()?).map_err(Error::other)?;
        let size = usize::from_str_radix(&line, 16).map_err(Error::other)?;
        let mut chunk = vec![0; size];
        self.reader.read_exact(&mut chunk)?;
        if !self.line()?.is_empty() {
            return Err(Error::other("a chunk without its end"));
        }
        Ok(chunk)
    }

    /// Sends one chunk of a body.
    pub(crate) fn send_chunk(&mut self, bytes: &[u8]) {
        let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.send(&framed).unwrap();
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Statuses of interim answers that came before.
    pub(crate) interim: Vec<u16>,
}

impl fmt::Debug for Answer {
    /// As a test's message shows it: short, CORS left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {}", self.interim, self.status, self.reason)?;
        for (name, value) in &self.headers {
            if !name.starts_with("Access-Control-") {
                write!(f, " | {name}: {}", String::from_utf8_lossy(value))?;
            }
        }
        write!(f, " | {:.200}", String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    /// A header that stands at most once; its text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = all.next().map(|(_, value)| std::str::from_utf8(value).unwrap());
        assert!(all.next().is_none(), "{name} stands twice");
        value
    }

    /// A header that must be there.
    pub(crate) fn must(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The code of an answer of the HTTP interface.
    pub(crate) fn code(&self) -> i64 {
        self.must("X-Agile-Status").parse().unwrap()
    }

    /// Status and code.
    pub(crate) fn told(&self) -> (u16, i64) {
        (self.status, self.code())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// What every answer of the server has (protocol.md, sections 2 and 11).
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.header("Access-Control-Allow-Origin"), Some("*"), "{self:?}");
        assert!(self.header("Access-Control-Allow-Credentials").is_none(), "{self:?}");
        assert_eq!(self.header("X-Agile-Status"), self.header("X-Llnw-Status"), "{self:?}");
        assert_eq!(self.version, "HTTP/1.1");
    }
}
