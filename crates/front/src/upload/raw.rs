//! `POST /post/raw` (protocol.md, section 7): the body is the file.
//!
//! Everything that can refuse the upload is checked before the body is asked for: a refused client sends no body.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING},
};
use http_body_util::BodyExt;
use ops::{PutSpec, Stored, Upload};

use super::{answer::Done, authorize, codes::Fault, coding, headers, spec};
use crate::{
    Front,
    request::{Request, RequestBody},
};

/// Stores a file.
pub(super) async fn post(front: &Front, request: Request) -> Result<Done, Fault> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let caller = authorize(front, parts.uri.path(), headers).await?;
    headers::once_each(headers)?;
    let coding = headers::coding(headers, headers::ENCODING)?;
    let spec = spec::put(headers, coding, "post-")?;
    let bytes_max = front.settings.upload_bytes_max;
    check_body(headers, &body, bytes_max)?;
    let len = http_body::Body::size_hint(&body).exact();
    let upload = front.store.open_put(&caller, &spec, len, headers.contains_key(EXPECT)).await?;
    let stored = store(upload, body, spec, bytes_max).await?;
    Ok(vec![
        (HeaderName::from_static("x-agile-path"), coding::encode(&stored.path, coding)),
        (HeaderName::from_static("x-agile-size"), stored.size.to_string()),
        (headers::CHECKSUM, stored.checksum.to_hex()),
    ])
}

/// Whether there is a body, and one that can be a file of at most `bytes_max` bytes.
pub(super) fn check_body(
    headers: &HeaderMap,
    body: &RequestBody,
    bytes_max: u64,
) -> Result<(), Fault> {
    check_there(headers, body, bytes_max)?;
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let essence = kind.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(Fault::FormBody);
    }
    Ok(())
}

/// Whether there is a body, and none that is said to be longer than `bytes_max` bytes.
pub(super) fn check_there(
    headers: &HeaderMap,
    body: &RequestBody,
    bytes_max: u64,
) -> Result<(), Fault> {
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        return Err(Fault::NoBody);
    }
    if http_body::Body::size_hint(body).lower() > bytes_max {
        return Err(Fault::TooLong);
    }
    Ok(())
}

/// Streams a body into the store. Whatever fails, dropping the upload discards what came.
async fn store(
    mut upload: Upload,
    mut body: RequestBody,
    spec: PutSpec,
    bytes_max: u64,
) -> Result<Stored, Fault> {
    upload.expose(&spec, http_body::Body::size_hint(&body).exact());
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            take(&mut upload, bytes, bytes_max).await?;
        }
    }
    Ok(upload.commit(spec).await?)
}

/// Gives an upload its next bytes, unless they make it longer than `bytes_max`.
pub(super) async fn take(upload: &mut Upload, bytes: Bytes, bytes_max: u64) -> Result<(), Fault> {
    if upload.size() + bytes.len() as u64 > bytes_max {
        return Err(Fault::TooLong);
    }
    Ok(upload.write(bytes).await?)
}
