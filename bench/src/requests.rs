//! The requests that works send in great number, each with what its answer must be: the same one again and again, reads at
//! random, uploads, JSON-RPC calls. How they are sent is in `load`.

use std::{cell::RefCell, io::Write as _};

use anyhow::ensure;
use memchr::memmem;

use crate::{
    api::{self, Session},
    content::{self, Random, Stamped},
    http::{Answer, Connection},
    load::Script,
    server::ACCOUNT,
};

/// The same request, and the same answer.
pub(crate) struct Same {
    /// All of it.
    pub(crate) request: Vec<u8>,
    /// The status of the answer.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// A GET or HEAD request of a file of the account, with more headers (each ended by CR LF).
pub(crate) fn read_request(method: &str, path: &str, more: &str) -> Vec<u8> {
    format!("{method} /{ACCOUNT}{path} HTTP/1.1\r\nHost: bench\r\n{more}\r\n").into_bytes()
}

impl Script for Same {
    fn request(&self, _number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn check(&self, _number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        let well = answer.status == self.status && answer.body == self.body;
        ensure!(well, "another answer: {}", answer.describe());
        Ok(())
    }
}

/// GETs of files with stamped contents.
pub(crate) struct Files4k<'a> {
    /// Uniformly at random; else one after the other, from the first.
    pub(crate) random: bool,
    /// So many files.
    pub(crate) files: u64,
    /// Appends the path of the file with this number.
    pub(crate) path: fn(u64, &mut Vec<u8>),
    /// What is in them.
    pub(crate) contents: &'a Stamped,
}

impl Files4k<'_> {
    fn file(&self, number: u64) -> u64 {
        let number = if self.random { Random::new(number).next() } else { number };
        number % self.files
    }
}

impl Script for Files4k<'_> {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET /");
        out.extend_from_slice(ACCOUNT.as_bytes());
        (self.path)(self.file(number), out);
        out.extend_from_slice(b" HTTP/1.1\r\nHost: bench\r\n\r\n");
    }

    fn check(&self, number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        let well = answer.status == 200 && self.contents.is(self.file(number), answer.body);
        ensure!(well, "another answer: {}", answer.describe());
        Ok(())
    }
}

/// Reads of a long body, whole or in ranges at random offsets.
pub(crate) struct Long {
    /// Where it is.
    pub(crate) path: String,
    /// Its seed.
    pub(crate) seed: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// Bytes of a range; `None`: all of it.
    pub(crate) range: Option<u64>,
}

impl Long {
    fn offset(&self, number: u64) -> u64 {
        self.range.map_or(0, |range| Random::new(number).next() % (self.bytes - range + 1))
    }
}

impl Script for Long {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        api::append(out, format_args!("GET /{ACCOUNT}{} HTTP/1.1\r\nHost: bench\r\n", self.path));
        if let Some(range) = self.range {
            let first = self.offset(number);
            let last = first + range - 1;
            api::append(out, format_args!("Range: bytes={first}-{last}\r\n"));
        }
        out.extend_from_slice(b"\r\n");
    }

    fn streams(&self) -> bool {
        true
    }

    fn check(&self, _number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        let (status, length) = self.range.map_or((200, self.bytes), |range| (206, range));
        let well = answer.status == status && answer.length as u64 == length;
        ensure!(well, "another answer: {}", answer.describe());
        Ok(())
    }

    fn piece(&self, number: u64, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let well = content::long_has(self.seed, self.offset(number) + offset, bytes);
        ensure!(well, "other bytes than were stored, at {offset}");
        Ok(())
    }
}

/// Uploads of files with stamped contents.
pub(crate) struct Uploads<'a> {
    /// Who uploads.
    pub(crate) session: Session,
    /// Appends directory and name of the file with this number.
    pub(crate) place: &'a dyn Fn(u64) -> (String, String),
    /// What is in them.
    pub(crate) contents: &'a Stamped,
}

impl Uploads<'_> {
    /// The file with this number is there, with its checksum; every tenth is read.
    pub(crate) async fn verify(
        &self,
        connection: &mut Connection,
        number: u64,
    ) -> anyhow::Result<()> {
        let (directory, name) = (self.place)(number);
        let path = format!("{directory}/{name}");
        let whole = self.contents.whole(number);
        let checksum = content::checksum(&whole);
        api::verify(connection, &path, whole.len() as u64, &checksum).await?;
        if number.is_multiple_of(10) {
            api::verify_bytes(connection, &path, &whole).await?;
        }
        Ok(())
    }
}

impl Script for Uploads<'_> {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        let (directory, name) = (self.place)(number);
        self.session.upload(&directory, &name, self.contents.length() as u64, out);
        self.contents.begin(number, out);
    }

    fn tail(&self, _number: u64) -> &[u8] {
        self.contents.rest()
    }

    fn check(&self, _number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        api::uploaded(answer, self.contents.length() as u64)
    }
}

/// Appends what has this number.
type Write<'a> = Box<dyn Fn(u64, &mut Vec<u8>) + 'a>;

/// JSON-RPC calls.
pub(crate) struct Calls<'a> {
    call: Write<'a>,
    /// What must stand in the answer.
    expected: memmem::Finder<'static>,
    body: RefCell<Vec<u8>>,
}

impl<'a> Calls<'a> {
    /// Calls of `method` with the parameters that `params` appends, as JSON members.
    pub(crate) fn new(
        method: &'a str,
        expected: &'static str,
        params: impl Fn(u64, &mut Vec<u8>) + 'a,
    ) -> Self {
        let call = move |number: u64, out: &mut Vec<u8>| {
            api::append(
                out,
                format_args!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"#),
            );
            params(number, out);
            out.extend_from_slice(b"}}");
        };
        let expected = memmem::Finder::new(expected);
        Self { call: Box::new(call), expected, body: RefCell::new(Vec::new()) }
    }
}

impl Script for Calls<'_> {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        let mut body = self.body.borrow_mut();
        body.clear();
        (self.call)(number, &mut body);
        let length = body.len();
        // Writing into memory does not fail.
        let _written = write!(
            out,
            "POST /jsonrpc HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n"
        );
        out.extend_from_slice(&body);
    }

    fn check(&self, _number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        let well = answer.status == 200 && self.expected.find(answer.body).is_some();
        ensure!(well, "another answer: {}", answer.describe());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_json() {
        let calls = Calls::new("stat", "", |number, out| {
            api::append(out, format_args!(r#""token":"t","path":"/{number}""#));
        });
        let mut out = Vec::new();
        calls.request(7, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let call: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&call["method"], &call["params"]["path"]), (&"stat".into(), &"/7".into()));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }

    #[test]
    fn ranges_lie_inside() {
        let reads = Long { path: "/x".to_owned(), seed: 0, bytes: 100, range: Some(100) };
        assert_eq!(reads.offset(5), 0);
        let reads = Long { range: Some(10), ..reads };
        assert!((0..1000).all(|number| reads.offset(number) <= 90));
        let mut out = Vec::new();
        reads.request(1, &mut out);
        let first = reads.offset(1);
        let range = format!("Range: bytes={first}-{}\r\n", first + 9);
        assert!(String::from_utf8(out).unwrap().contains(&range));
    }
}
