//! The client's end of an import: one connection to the server, one file after the other.
//!
//! Whoever sends hashes what is sent, and compares it with what the server says that it has stored: the bytes are the same
//! from the source to the catalog. What does not live here: which files there are (`source`).

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
};

use anyhow::{Context, anyhow, bail};
use model::Digest;
use ops::ContentHash;
use serde::{Deserialize, Serialize};

use super::Import;
use crate::admin::{Command, Reach, line};

/// Bytes read and sent at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a courier asks of the server, a line each. A file's bytes follow its line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Ask {
    /// What stands there.
    Look {
        path: String,
    },
    Directory {
        path: String,
    },
    /// Another name for a file that was put.
    Link {
        from: String,
        path: String,
    },
    File {
        path: String,
        size: u64,
        mtime: u64,
        checksum: Option<String>,
    },
}

/// What the server tells, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(super) enum Told {
    /// A file.
    There {
        size: u64,
        mtime: u64,
        checksum: String,
    },
    Nothing,
    Done,
    Stored {
        checksum: String,
    },
    Refused {
        why: String,
    },
}

/// What became of a file.
pub(super) enum Outcome {
    Stored,
    AlreadyThere,
}

/// A file to be stored.
pub(super) struct File<'a> {
    path: &'a str,
    size: u64,
    mtime: u64,
    expected: Option<Digest>,
}

impl<'a> File<'a> {
    pub(super) fn new(path: &'a str, size: u64, mtime: u64, expected: Option<Digest>) -> Self {
        Self { path, size, mtime, expected }
    }
}

/// Begins to read a file, as often as needed.
pub(super) type Open<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read + 'a>>;

/// A connection, made anew where it broke.
pub(super) struct Courier<'a> {
    reach: &'a Reach,
    import: &'a Import,
    stream: Option<BufReader<UnixStream>>,
}

impl<'a> Courier<'a> {
    pub(super) fn new(reach: &'a Reach, import: &'a Import) -> anyhow::Result<Self> {
        let mut courier = Self { reach, import, stream: None };
        courier.connected()?;
        Ok(courier)
    }

    /// Stores a file, unless it is there.
    pub(super) fn file(&mut self, file: &File<'_>, open: Open<'_>) -> anyhow::Result<Outcome> {
        if let Some(stored) = self.look(file)? {
            let same = file.expected.is_none_or(|expected| expected == stored)
                && (!self.import.verify || hash(&mut *open()?, file.size)? == Some(stored));
            if same {
                return Ok(Outcome::AlreadyThere);
            }
        }
        let mut source = open()?;
        self.send(file, &mut *source)?;
        Ok(Outcome::Stored)
    }

    /// The same for a file that can be read only once.
    pub(super) fn stream(
        &mut self,
        file: &File<'_>,
        source: &mut dyn Read,
    ) -> anyhow::Result<Outcome> {
        if let Some(stored) = self.look(file)?.filter(|sum| file.expected.is_none_or(|e| e == *sum))
        {
            if self.import.verify && hash(source, file.size)? != Some(stored) {
                bail!("differs from the file that is there: delete that one, and import again");
            }
            return Ok(Outcome::AlreadyThere);
        }
        self.send(file, source)?;
        Ok(Outcome::Stored)
    }

    pub(super) fn directory(&mut self, path: &str) -> anyhow::Result<()> {
        match self.ask(&Ask::Directory { path: self.target(path) })? {
            Told::Done => Ok(()),
            other => Err(refused(other)),
        }
    }

    pub(super) fn link(&mut self, from: &str, path: &str) -> anyhow::Result<Outcome> {
        match self.ask(&Ask::Link { from: self.target(from), path: self.target(path) })? {
            Told::Done => Ok(Outcome::Stored),
            other => Err(refused(other)),
        }
    }

    /// The checksum of a file that is there with the size and time that this one has.
    fn look(&mut self, file: &File<'_>) -> anyhow::Result<Option<Digest>> {
        match self.ask(&Ask::Look { path: self.target(file.path) })? {
            Told::There { size, mtime, checksum } if (size, mtime) == (file.size, file.mtime) => {
                Ok(Digest::from_hex(checksum.as_bytes()))
            }
            Told::There { .. } | Told::Nothing => Ok(None),
            other => Err(refused(other)),
        }
    }

    fn send(&mut self, file: &File<'_>, source: &mut dyn Read) -> anyhow::Result<()> {
        let ask = Ask::File {
            path: self.target(file.path),
            size: file.size,
            mtime: file.mtime,
            checksum: file.expected.map(Digest::to_hex),
        };
        let sent = self.attempt(|stream| {
            stream.get_mut().write_all(&line(&ask)?)?;
            let (mut hash, mut left) = (ContentHash::new(), file.size);
            let mut chunk = vec![0; CHUNK_BYTES];
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                let n = source.read(&mut chunk[..most])?;
                if n == 0 {
                    // The server waits for more: the connection ends, and with it the file.
                    bail!("became shorter while it was read");
                }
                hash.update(&chunk[..n]);
                stream.get_mut().write_all(&chunk[..n])?;
                left -= n as u64;
            }
            Ok((hash.finish(), read_told(stream)?))
        })?;
        match sent {
            (digest, Told::Stored { checksum }) if checksum == digest.to_hex() => {}
            (_, Told::Stored { .. }) => {
                bail!("was stored with another checksum than it was sent with")
            }
            (_, other) => return Err(refused(other)),
        }
        if source.read(&mut [0])? > 0 {
            bail!("grew while it was read: import again");
        }
        Ok(())
    }

    fn ask(&mut self, ask: &Ask) -> anyhow::Result<Told> {
        self.attempt(|stream| {
            stream.get_mut().write_all(&line(ask)?)?;
            read_told(stream)
        })
    }

    /// Talks over the connection. After an error it is not known what the other end thinks: the next one is new.
    fn attempt<T>(
        &mut self,
        talk: impl FnOnce(&mut BufReader<UnixStream>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let talked = talk(self.connected()?);
        if talked.is_err() {
            self.stream = None;
        }
        talked
    }

    fn connected(&mut self) -> anyhow::Result<&mut BufReader<UnixStream>> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let mut stream = BufReader::new(self.reach.connect().context("the admin socket")?);
                stream
                    .get_mut()
                    .write_all(&line(&Command::Import { user: self.import.user.clone() })?)?;
                match read_told(&mut stream)? {
                    Told::Done => stream,
                    other => return Err(refused(other)),
                }
            }
        };
        Ok(self.stream.insert(stream))
    }

    fn target(&self, path: &str) -> String {
        format!("{}{path}", self.import.to.trim_end_matches('/'))
    }
}

fn read_told(stream: &mut BufReader<UnixStream>) -> anyhow::Result<Told> {
    let mut text = String::new();
    if stream.read_line(&mut text)? == 0 {
        bail!("the server ended");
    }
    serde_json::from_str(&text).context("the server's answer")
}

fn refused(told: Told) -> anyhow::Error {
    match told {
        Told::Refused { why } => anyhow!("{why}"),
        other => anyhow!("the server answered something else: {other:?}"),
    }
}

/// SHA-256 of what comes, if it is so many bytes.
fn hash(source: &mut dyn Read, size: u64) -> io::Result<Option<Digest>> {
    let (mut hash, mut read) = (ContentHash::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok((read == size).then(|| hash.finish())),
            n => {
                hash.update(&chunk[..n]);
                read += n as u64;
            }
        }
    }
}
