//! `POST /multipart/create`, `/multipart/piece`, `/multipart/complete` (protocol.md, section 7).
//!
//! What lives here: a multipart upload by headers and one body a piece; what can refuse a piece is checked before its
//! body is asked for. What does not: the other calls of multipart uploads, which JSON-RPC has, and their rules
//! (`ops::multipart`).

use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use ops::{MultipartSpec, PieceSpec, TypeRule};

use super::{answer::Done, authorize, codes::Fault, coding, headers, raw, spec};
use crate::{Front, request::Request};

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
    while let Some(frame) = body.frame().await {
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
