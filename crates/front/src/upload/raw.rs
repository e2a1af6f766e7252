//! `POST /post/raw` (protocol.md, section 7): the body is the file.
//!
//! Everything that can refuse the upload is checked before the body is asked for: a refused client sends no body.

use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use http_body_util::BodyExt;
use ops::{PutSpec, Stored, model::Caller};

use super::{answer::Done, authorize, codes::Fault, coding, headers, spec};
use crate::{
    Front,
    request::{Request, RequestBody},
};

/// Longer than this is no file.
const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// Stores a file.
pub(super) async fn post(front: &Front, request: Request) -> Result<Done, Fault> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let caller = authorize(front, parts.uri.path(), headers).await?;
    headers::once_each(headers)?;
    let coding = headers::coding(headers, headers::ENCODING)?;
    let spec = spec::put(headers, coding, "post-")?;
    check_body(headers, &body)?;
    front.store.check_put(&caller, &spec).await?;
    let stored = store(front, &caller, body, spec).await?;
    Ok(vec![
        (HeaderName::from_static("x-agile-path"), coding::encode(&stored.path, coding)),
        (HeaderName::from_static("x-agile-size"), stored.size.to_string()),
        (headers::CHECKSUM, stored.checksum.to_hex()),
    ])
}

/// Whether there is a body, and one that can be a file.
pub(super) fn check_body(headers: &HeaderMap, body: &RequestBody) -> Result<(), Fault> {
    check_there(headers, body)?;
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let essence = kind.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(Fault::FormBody);
    }
    Ok(())
}

/// Whether there is a body, and none that is too long.
pub(super) fn check_there(headers: &HeaderMap, body: &RequestBody) -> Result<(), Fault> {
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        return Err(Fault::NoBody);
    }
    if http_body::Body::size_hint(body).lower() > FILE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    Ok(())
}

/// Streams a body into the store. Whatever fails, dropping the upload discards what came.
async fn store(
    front: &Front,
    caller: &Caller,
    mut body: RequestBody,
    spec: PutSpec,
) -> Result<Stored, Fault> {
    let mut upload = front.store.upload(caller);
    upload.expose(&spec, http_body::Body::size_hint(&body).exact());
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            upload.write(bytes).await?;
        }
    }
    Ok(upload.commit(spec).await?)
}
