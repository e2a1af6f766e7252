//! The bare server, a peer and a limit: hyper and nothing else, nothing stored. It reads what it is sent and hashes it, or
//! gives it back, or always gives the same answer. What headwater takes beyond it is the price of storing. Runs as a process
//! of its own (`bench bare`).

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue, IF_NONE_MATCH},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::content;

/// What hyper writes itself.
const NOT_REPEATED: [&str; 4] = ["content-length", "date", "connection", "transfer-encoding"];

/// What it does.
#[derive(Debug, Args)]
pub(crate) struct Bare {
    #[arg(value_enum)]
    kind: Kind,
    /// fixed: a file with the headers of the answer, a line each.
    #[arg(long)]
    head: Option<PathBuf>,
    /// fixed: a file with its body.
    #[arg(long)]
    body: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Reads and hashes; answers as headwater answers an upload.
    Hash,
    /// Gives the body back.
    Echo,
    /// Reads, and answers what it was given; to a request with If-None-Match, 304.
    Fixed,
}

/// What it does, with what it takes.
#[derive(Clone)]
pub(crate) enum Mode {
    /// Reads and hashes.
    Hash,
    /// Gives the body back.
    Echo,
    /// Answers this.
    Fixed(Arc<HeaderMap>, Bytes),
}

/// Serves on a free port of loopback until it is killed; prints the address as headwater does.
#[expect(clippy::print_stdout, reason = "whoever started the server must learn the port")]
pub(crate) fn serve(bare: &Bare) -> anyhow::Result<()> {
    let mode = match bare.kind {
        Kind::Hash => Mode::Hash,
        Kind::Echo => Mode::Echo,
        Kind::Fixed => {
            let read = |path: &Option<PathBuf>| {
                fs::read(path.as_ref().context("--head, --body")?).context("what to answer")
            };
            Mode::Fixed(Arc::new(headers(&read(&bare.head)?)?), read(&bare.body)?.into())
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        accept(listener, mode).await
    })
}

/// The headers of a head as it was on the wire, without those that hyper writes itself.
fn headers(head: &[u8]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in head.split(|b| *b == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon])?;
        if !NOT_REPEATED.contains(&name.as_str()) {
            headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())?);
        }
    }
    Ok(headers)
}

/// Serves a listener, for ever.
pub(crate) async fn accept(listener: TcpListener, mode: Mode) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mode = mode.clone();
        let service = service_fn(move |request| answer(request, mode.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A body that breaks off ends unanswered.
async fn answer(
    request: Request<Incoming>,
    mode: Mode,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let conditional = request.headers().contains_key(IF_NONE_MATCH);
    let mut body = request.into_body();
    let mut hash = Context::new(&SHA256);
    let (mut size, mut kept) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        size += data.len();
        match mode {
            Mode::Hash => hash.update(data),
            Mode::Echo => kept.extend_from_slice(data),
            Mode::Fixed(..) => {}
        }
    }
    let mut response = Response::new(Full::default());
    match mode {
        Mode::Hash => {
            // As headwater's, so that the generator checks the same of both.
            let headers = response.headers_mut();
            headers.insert("x-agile-status", 0.into());
            headers.insert("x-agile-size", size.into());
            if let Ok(checksum) = content::hex(hash.finish().as_ref()).parse() {
                headers.insert("x-agile-checksum", checksum);
            }
        }
        Mode::Echo => *response.body_mut() = Full::new(kept.into()),
        Mode::Fixed(headers, body) => {
            headers.as_ref().clone_into(response.headers_mut());
            if conditional {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            } else {
                *response.body_mut() = Full::new(body);
            }
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    #[test]
    fn heads_are_taken_over() {
        let head = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 3\r\nETag: \"a:b\"\r\n\r\n";
        let headers = super::headers(head).unwrap();
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["etag"], "\"a:b\"");
    }
}
