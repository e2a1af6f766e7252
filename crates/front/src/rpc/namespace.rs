//! Directories and files by name: `makeDir` to `setContentType` (protocol.md, section 5).
//!
//! What lives here: one function a method, from its parameters to an operation to its answer. What does not: codes
//! (`codes`, and the parameters' own in `table`) and semantics (`ops::namespace`).

use ops::{
    IfThere, Parents, Stat,
    model::{Caller, ContentType, Error},
};

use super::{
    Call, Outcome,
    json::Json,
    params::Args,
    rows::{owner, times},
};

pub(super) async fn make_dir(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let store = &call.front.store;
    store.make_directory(caller, &path, Parents::Required, IfThere::Refused).await?;
    call.done()
}

pub(super) async fn make_dir2(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let store = &call.front.store;
    store.make_directory(caller, &path, Parents::Created, IfThere::Fine).await?;
    call.done()
}

pub(super) async fn delete_dir(call: &Call<'_>, caller: &Caller) -> Outcome {
    call.front.store.delete_directory(caller, &call.args.path("path")?).await?;
    call.done()
}

pub(super) async fn delete_file(call: &Call<'_>, caller: &Caller) -> Outcome {
    call.front.store.delete_file(caller, &call.args.path("path")?).await?;
    call.done()
}

pub(super) async fn delete_object(call: &Call<'_>, caller: &Caller) -> Outcome {
    call.front.store.delete_object(caller, &call.args.path("path")?).await?;
    call.done()
}

pub(super) async fn rename(call: &Call<'_>, caller: &Caller) -> Outcome {
    let (old, new) = (call.args.path("oldpath")?, call.args.path("newpath")?);
    call.front.store.rename(caller, &old, &new).await?;
    call.done()
}

pub(super) async fn copy_file(call: &Call<'_>, caller: &Caller) -> Outcome {
    let (path, new) = (call.args.path("path")?, call.args.path("newpath")?);
    call.front.store.copy(caller, &path, &new, Parents::Required).await?;
    call.done()
}

pub(super) async fn stat(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let detail = call.args.boolean("detail")?;
    let stat = call.front.store.stat(caller, &path).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"type":"#);
    match stat {
        Stat::Directory(dir) => {
            out.raw("1,");
            times(&mut out, dir.ctime, dir.mtime);
            if detail {
                out.raw(",");
                owner(&mut out, dir.owner);
                out.raw(r#","checksum":"""#);
            }
        }
        Stat::File(file) => {
            out.raw("2,");
            times(&mut out, file.ctime, file.mtime);
            out.raw(r#","size":"#).number(file.size);
            if detail {
                out.raw(",");
                owner(&mut out, file.owner);
                out.raw(r#","checksum":"#).hex(&file.checksum.0);
                out.raw(r#","mimetype":"#).string(file.content_type.as_str());
            }
        }
    }
    out.raw("}");
    Ok(out)
}

/// What `stat` answers when it fails.
pub(super) fn stat_failed(_args: &Args<'_>, out: &mut Json, code: i32) {
    out.raw(r#"{"uid":0,"code":"#).code(code).raw(r#","gid":0,"checksum":""}"#);
}

pub(super) async fn set_mtime(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    call.front.store.set_mtime(caller, &path, call.args.int("mtime")?).await?;
    call.done()
}

pub(super) async fn set_content_type(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let text = call.args.text("content_type")?.ok_or(Error::InvalidContentType)?;
    let content_type = ContentType::parse(&text)?;
    call.front.store.set_content_type(caller, &path, &content_type).await?;
    call.done()
}
