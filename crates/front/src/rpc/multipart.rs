//! Multipart uploads: `createMultipart` to `restartMultipart` (protocol.md, section 6).
//!
//! What lives here: one function a method, and the cookies of the two listings. What does not: sending pieces (the HTTP
//! interface), states and what leads from one to the next (`ops::multipart`).

use ops::{
    Detect, MultipartSpec, Parents, TypeRule,
    model::{
        Caller, ContentType, Error, Multipart, UploadId,
        multipart::{PIECE_STATE_NAMES, UPLOAD_STATE_NAMES},
    },
};

use super::{Call, Failure, Outcome, answer::INTERNAL_ERROR, json::Json, rows::owner};

/// There is no map of that name.
pub(super) const NO_MAP: i32 = -19;

pub(super) async fn create(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let given = call.args.text("content_type")?.filter(|text| !text.is_empty());
    let content_type = match given {
        Some(text) => TypeRule::Given(ContentType::parse(&text)?),
        None => TypeRule::Detect(Detect::Auto),
    };
    let mtime = call.args.int("mtime")?;
    let spec =
        MultipartSpec { path, content_type, mtime, checksum: None, parents: Parents::Required };
    let upload = call.front.store.create_multipart(caller, &spec).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"mpid":"#).hex(&upload.id.0).raw("}");
    Ok(out)
}

pub(super) async fn status(call: &Call<'_>, caller: &Caller) -> Outcome {
    let upload = call.front.store.multipart(caller, mpid(call)?).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"#);
    path_and_type(&mut out, caller, &upload);
    out.raw(r#","numpieces":"#).number(upload.pieces.into());
    out.raw(r#","created":"#).number(upload.created.secs());
    state(&mut out, &upload);
    out.raw("}");
    Ok(out)
}

pub(super) async fn status_map(call: &Call<'_>, _caller: &Caller) -> Outcome {
    let name = call.args.text("name")?;
    let map: &[(u8, &str)] = match name.as_deref() {
        Some("upload") => &UPLOAD_STATE_NAMES,
        Some("piece") => &PIECE_STATE_NAMES,
        Some(_) | None => return Err(Failure::Code(NO_MAP)),
    };
    let mut out = call.answer();
    out.raw(r#"{"code":0,"map":{"#);
    for (i, (number, name)) in map.iter().enumerate() {
        out.raw(comma(i)).string(&number.to_string()).raw(":").string(name);
    }
    out.raw("}}");
    Ok(out)
}

/// A page that holds anything carries a cookie, the last one too: published scripts go on until an empty page.
pub(super) async fn list(call: &Call<'_>, caller: &Caller) -> Outcome {
    let after = call.args.cookie("cookie")?;
    let size = page_size(call)?;
    let page = call.front.store.multiparts(caller, after, size).await?;
    let mut out = call.answer();
    let cookie = page.last().map_or(0, |last| last.number);
    out.raw(r#"{"code":0,"cookie":"#).number(cookie).raw(r#","multipart":["#);
    for (i, upload) in page.iter().enumerate() {
        out.raw(comma(i)).raw(r#"{"mpid":"#).hex(&upload.id.0).raw(",");
        path_and_type(&mut out, caller, upload);
        out.raw(",");
        owner(&mut out, upload.owner);
        state(&mut out, upload);
        out.raw("}");
    }
    out.raw("]}");
    Ok(out)
}

/// Here a page that is not full is the last one, as in listings of directories.
pub(super) async fn list_pieces(call: &Call<'_>, caller: &Caller) -> Outcome {
    let id = mpid(call)?;
    let after = call.args.cookie("cookie")?;
    let size = page_size(call)?;
    let page = call.front.store.pieces(caller, id, after, size).await?;
    let mut out = call.answer();
    let cookie = page.last().filter(|_| page.len() >= size).map_or(0, |last| last.arrival);
    out.raw(r#"{"code":0,"cookie":"#).number(cookie).raw(r#","pieces":["#);
    for (i, piece) in page.iter().enumerate() {
        out.raw(comma(i)).raw(r#"{"number":"#).number(piece.number.into());
        out.raw(r#","size":"#).number(piece.size);
        out.raw(r#","state":"#).number(piece.state.number().into());
        out.raw(r#","error":"#).code(piece.error).raw("}");
    }
    out.raw("]}");
    Ok(out)
}

pub(super) async fn complete(call: &Call<'_>, caller: &Caller) -> Outcome {
    let pieces = call.front.store.complete_multipart(caller, mpid(call)?).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"numpieces":"#).number(pieces.into()).raw("}");
    Ok(out)
}

pub(super) async fn abort(call: &Call<'_>, caller: &Caller) -> Outcome {
    call.front.store.abort_multipart(caller, mpid(call)?).await?;
    call.done()
}

pub(super) async fn restart(call: &Call<'_>, caller: &Caller) -> Outcome {
    call.front.store.restart_multipart(caller, mpid(call)?).await?;
    call.done()
}

/// What is no id at all is the id of no upload.
fn mpid(call: &Call<'_>) -> Result<UploadId, Failure> {
    let text = call.args.text("mpid")?;
    let id = text.and_then(|text| UploadId::from_hex(&text));
    id.ok_or(Failure::Fact(Error::NoSuchUpload))
}

fn page_size(call: &Call<'_>) -> Result<usize, Failure> {
    usize::try_from(call.args.int("pagesize")?).map_err(|_| Failure::Code(INTERNAL_ERROR))
}

/// `"path":…`, and `"content_type":…` where it is known.
fn path_and_type(out: &mut Json, caller: &Caller, upload: &Multipart) {
    out.raw(r#""path":"#).string(&upload.path.absolute(&caller.account_name));
    if let Some(content_type) = &upload.content_type {
        out.raw(r#","content_type":"#).string(content_type.as_str());
    }
}

/// `,"mtime":…,"state":…,"error":…`
fn state(out: &mut Json, upload: &Multipart) {
    let mtime = if upload.mtime == 0 { upload.created.secs() } else { upload.mtime };
    out.raw(r#","mtime":"#).number(mtime);
    out.raw(r#","state":"#).number(upload.state.number().into());
    out.raw(r#","error":"#).code(upload.error);
}

fn comma(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}
