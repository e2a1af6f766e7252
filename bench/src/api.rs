//! The wire contract as the works speak it: logging in, making directories, the head of an upload, JSON-RPC calls, and
//! reading back what was uploaded. No measuring, except how long a call took.

use std::{
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::{
    http::{Answer, Connection},
    server::{ACCOUNT, PASSWORD, USER},
};

/// A user who is logged in; its token survives a restart of the server.
#[derive(Clone)]
pub(crate) struct Session {
    token: String,
}

/// A value of a JSON-RPC call, and how long the call took, from the first byte sent to the last byte received.
pub(crate) struct Called {
    /// The result.
    pub(crate) result: Value,
    /// Parsing it is not in it.
    pub(crate) took: Duration,
    /// Bytes of the answer.
    pub(crate) bytes: usize,
}

impl Session {
    /// Logs in, for a day.
    pub(crate) async fn login(address: SocketAddr) -> anyhow::Result<Self> {
        let mut connection = Connection::open(address).await?;
        let request = format!(
            "POST /account/login HTTP/1.1\r\nHost: bench\r\nX-Agile-Username: {USER}\r\n\
             X-Agile-Password: {PASSWORD}\r\nX-Agile-Expiry: 86400\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = connection.exchange(request.as_bytes()).await?;
        let token = answer.header("x-agile-token");
        let token = token.with_context(|| format!("logging in: {}", answer.describe()))?;
        Ok(Self { token: token.to_owned() })
    }

    /// One whom no server knows, for peers: their requests have the same bytes.
    pub(crate) fn unknown() -> Self {
        Self { token: "00000000-0000-0000-0000-000000000000".to_owned() }
    }

    /// The token, for calls that are put together elsewhere.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Makes a directory.
    pub(crate) async fn make_dir(
        &self,
        connection: &mut Connection,
        path: &str,
    ) -> anyhow::Result<()> {
        let called = self.call(connection, "makeDir2", json!({ "path": path })).await?;
        ensure!(called.result == json!(0), "makeDir2 {path}: {}", called.result);
        Ok(())
    }

    /// Appends the head of an upload of `length` bytes; the body follows.
    pub(crate) fn upload(&self, directory: &str, name: &str, length: u64, out: &mut Vec<u8>) {
        let token = &self.token;
        append(
            out,
            format_args!(
                "POST /post/raw HTTP/1.1\r\nHost: bench\r\nX-Agile-Authorization: {token}\r\n\
                 X-Agile-Directory: {directory}\r\nX-Agile-Basename: {name}\r\n\
                 Content-Length: {length}\r\n\r\n"
            ),
        );
    }

    /// Begins a multipart upload; its id.
    pub(crate) async fn create(
        &self,
        connection: &mut Connection,
        directory: &str,
        name: &str,
    ) -> anyhow::Result<String> {
        let token = &self.token;
        let request = format!(
            "POST /multipart/create HTTP/1.1\r\nHost: bench\r\nX-Agile-Authorization: {token}\r\n\
             X-Agile-Directory: {directory}\r\nX-Agile-Basename: {name}\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = connection.exchange(request.as_bytes()).await?;
        let id = answer.header("x-agile-multipart");
        let id = id.with_context(|| format!("beginning an upload: {}", answer.describe()))?;
        Ok(id.to_owned())
    }

    /// Appends the head of a piece of `length` bytes; the body follows.
    pub(crate) fn piece(&self, id: &str, number: u64, length: u64, out: &mut Vec<u8>) {
        let token = &self.token;
        append(
            out,
            format_args!(
                "POST /multipart/piece HTTP/1.1\r\nHost: bench\r\nX-Agile-Authorization: {token}\r\n\
                 X-Agile-Multipart: {id}\r\nX-Agile-Part: {number}\r\nContent-Length: {length}\r\n\r\n"
            ),
        );
    }

    /// Completes a multipart upload of so many pieces.
    pub(crate) async fn complete(
        &self,
        connection: &mut Connection,
        id: &str,
        pieces: u64,
    ) -> anyhow::Result<()> {
        let token = &self.token;
        let request = format!(
            "POST /multipart/complete HTTP/1.1\r\nHost: bench\r\nX-Agile-Authorization: {token}\r\n\
             X-Agile-Multipart: {id}\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = connection.exchange(request.as_bytes()).await?;
        let well = answer.header("x-agile-status") == Some("0")
            && answer.header("x-agile-parts") == Some(pieces.to_string().as_str());
        ensure!(well, "completing an upload: {}", answer.describe());
        Ok(())
    }

    /// Calls a method; the token is put in.
    pub(crate) async fn call(
        &self,
        connection: &mut Connection,
        method: &str,
        mut params: Value,
    ) -> anyhow::Result<Called> {
        params["token"] = json!(self.token);
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = call.to_string();
        let length = body.len();
        let request = format!(
            "POST /jsonrpc HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let begun = Instant::now();
        let answer = connection.exchange(request.as_bytes()).await?;
        let took = begun.elapsed();
        ensure!(answer.status == 200, "{method}: {}", answer.describe());
        let mut reply: Value = serde_json::from_slice(answer.body).context("a JSON-RPC answer")?;
        match reply.get_mut("result") {
            Some(result) => Ok(Called { result: result.take(), took, bytes: answer.body.len() }),
            None => bail!("{method}: {}", answer.describe()),
        }
    }
}

/// Appends text.
pub(crate) fn append(out: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _written = out.write_fmt(what);
}

/// An upload was stored, whole.
pub(crate) fn uploaded(answer: Answer<'_>, size: u64) -> anyhow::Result<()> {
    let stored = answer.header("x-agile-size").and_then(|size| size.parse().ok());
    let well = answer.status == 200 && answer.header("x-agile-status") == Some("0");
    ensure!(well && stored == Some(size), "an upload of {size} bytes: {}", answer.describe());
    Ok(())
}

/// A file of the account is there, with this size and checksum.
pub(crate) async fn verify(
    connection: &mut Connection,
    path: &str,
    size: u64,
    checksum: &str,
) -> anyhow::Result<()> {
    let request = format!("HEAD /{ACCOUNT}{path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let answer = connection.exchange(request.as_bytes()).await?;
    let well = answer.status == 200
        && answer.header("x-agile-checksum") == Some(checksum)
        && answer.header("content-length") == Some(size.to_string().as_str());
    ensure!(well, "{path}: {size} bytes, checksum {checksum}, but: {}", answer.describe());
    Ok(())
}

/// A file of the account is there, with these bytes.
pub(crate) async fn verify_bytes(
    connection: &mut Connection,
    path: &str,
    bytes: &[u8],
) -> anyhow::Result<()> {
    let request = format!("GET /{ACCOUNT}{path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let answer = connection.exchange(request.as_bytes()).await?;
    ensure!(answer.status == 200, "{path}: {}", answer.describe());
    ensure!(answer.body == bytes, "{path}: other bytes than were uploaded");
    Ok(())
}
