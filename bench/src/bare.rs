//! The bare server, a peer: hyper and nothing else. It reads what it is sent, hashes it and answers at once; nothing is
//! stored. What headwater takes beyond it is the price of storing. Runs as a process of its own (`bench bare`).

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::content;

/// Serves on a free port of loopback until it is killed; prints the address as headwater does.
#[expect(clippy::print_stdout, reason = "whoever started the server must learn the port")]
pub(crate) fn serve(echo: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        accept(listener, echo).await
    })
}

/// Serves a listener, for ever.
pub(crate) async fn accept(listener: TcpListener, echo: bool) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request| answer(request, echo));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The headers are headwater's, so that the generator checks the same of both. A body that breaks off ends unanswered.
async fn answer(
    request: Request<Incoming>,
    echo: bool,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut body = request.into_body();
    let mut hash = Sha256::new();
    let (mut size, mut kept) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        hash.update(data);
        size += data.len();
        if echo {
            kept.extend_from_slice(data);
        }
    }
    let mut response = Response::new(Full::new(Bytes::from(kept)));
    let headers = response.headers_mut();
    headers.insert("x-agile-status", 0.into());
    headers.insert("x-agile-size", size.into());
    if let Ok(checksum) = content::hex(&hash.finalize()).parse() {
        headers.insert("x-agile-checksum", checksum);
    }
    Ok(response)
}
