//! `POST /multipart/create`, `/multipart/piece`, `/multipart/complete` (protocol.md, section 7).
//!
//! What lives here: a multipart upload by headers and one body a piece; what can refuse a piece is checked before its
//! body is asked for. What does not: the other calls of multipart uploads, which JSON-RPC has, and their rules
//! (`ops::multipart`).

use std::{future::Future, pin::pin, task::Poll};

use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use ops::{MultipartSpec, PieceSpec, TypeRule};

use super::{answer::Done, authorize, codes::Fault, coding, headers, raw, spec};
use crate::{Front, request::Request};

/// How often hyper is let go on before the bytes after those that came count as not here.
const LOOKS_MAX: u32 = 3;

/// Begins an upload.
pub(super) async fn create(front: &Front, headers: &HeaderMap) -> Result<Done, Fault> {
    let caller = authorize(front, "/multipart/create", headers).await?;
    headers::once_each(headers)?;
    let coding = headers::coding(headers, headers::ENCODING)?;
    let put = spec::put(headers, coding, "mpart-")?;
    let mtime = put.mtime.unwrap_or(0);
    let given = match &put.content_type {
        TypeRule::Given(given) => given.as_str().to_owned(),
        TypeRule::Detect(_) => "None".to_owned(),
    };
    let (path, parents, content_type) = (put.path, put.parents, put.content_type);
    let spec = MultipartSpec { path, content_type, mtime, checksum: put.checksum, parents };
    let upload = front.store.create_multipart(&caller, &spec).await?;
    let path = upload.path.absolute(&caller.account_name);
    Ok(vec![
        (headers::MULTIPART, upload.id.to_hex()),
        (HeaderName::from_static("x-agile-path"), coding::encode(&path, coding)),
        (HeaderName::from_static("x-agile-meta"), format!("content_type={given} mtime={mtime}")),
    ])
}

/// Takes a piece.
pub(super) async fn piece(front: &Front, request: Request) -> Result<Done, Fault> {
    let (parts, mut body) = request.into_parts();
    let headers = &parts.headers;
    let caller = authorize(front, "/multipart/piece", headers).await?;
    headers::once_each(headers)?;
    let upload = headers::multipart(headers)?;
    let number = headers::part(headers)?;
    let checksum = headers::checksum(headers)?;
    // How long a piece may be is one of the limits of multipart uploads.
    raw::check_body(headers, &body, i64::MAX.cast_unsigned())?;
    let len = http_body::Body::size_hint(&body).exact();
    let spec = PieceSpec { upload, number, checksum, len };
    let mut piece = front.store.upload_piece(&caller, spec).await?;
    loop {
        let here = if piece.is_awaited() { soon(body.frame()).await } else { None };
        let frame = match here {
            Some(frame) => frame,
            None => {
                piece.pause();
                body.frame().await
            }
        };
        let Some(frame) = frame else { break };
        if let Ok(bytes) = frame?.into_data() {
            piece.write(bytes).await?;
        }
    }
    let (size, checksum) = piece.commit().await?;
    Ok(vec![
        (headers::CHECKSUM, checksum.to_hex()),
        (HeaderName::from_static("x-agile-size"), size.to_string()),
    ])
}

/// What comes without waiting for the client: hyper reads from the connection only when its service waits.
async fn soon<T>(coming: impl Future<Output = T>) -> Option<T> {
    let (mut coming, mut looks) = (pin!(coming), 0);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(came) = coming.as_mut().poll(cx) {
            return Poll::Ready(Some(came));
        }
        if looks == LOOKS_MAX {
            return Poll::Ready(None);
        }
        looks += 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Completes an upload; the file appears a little later.
pub(super) async fn complete(front: &Front, headers: &HeaderMap) -> Result<Done, Fault> {
    let caller = authorize(front, "/multipart/complete", headers).await?;
    headers::once_each(headers)?;
    let upload = headers::multipart(headers)?;
    let pieces = front.store.complete_multipart(&caller, upload).await?;
    Ok(vec![
        (HeaderName::from_static("x-agile-parts"), pieces.to_string()),
        (headers::MULTIPART, upload.to_hex()),
    ])
}
