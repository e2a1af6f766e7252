//! Listings: `listDir`, `listFile`, `listPath` (protocol.md, section 5, "Listing").
//!
//! What lives here: pages and their cookies. What does not: how a row looks (`rows`), and the scan (`ops::listing`).
//! Rows of one kind are written straight behind the beginning of the answer, so a page is one text from the start.

use ops::{Page, Positions, Which, model::Caller};

use super::{
    Call, Failure, Outcome,
    answer::{INTERNAL_ERROR, Version},
    coerce::pair_cookie_text,
    rows::{KindRows, PathRows},
};

pub(super) async fn list_dir(call: &Call<'_>, caller: &Caller) -> Outcome {
    list_kind(call, caller, Which::Directories).await
}

pub(super) async fn list_file(call: &Call<'_>, caller: &Caller) -> Outcome {
    list_kind(call, caller, Which::Files).await
}

async fn list_kind(call: &Call<'_>, caller: &Caller, which: Which) -> Outcome {
    let path = call.args.path("path")?;
    let size = page_size(call)?;
    let cookie = call.args.cookie("cookie")?;
    let stat = call.args.boolean("stat")?;
    let after = Positions { directories: cookie, files: cookie };
    let mut out = call.answer();
    out.raw(r#"{"code":0,"list":["#);
    let page = Page { which, after, size, details: stat };
    let rows = KindRows { out, stat, comma: "" };
    let (rows, listed) = call.front.store.list(caller, &path, page, rows).await?;
    let (count, last) = match which {
        Which::Files => (listed.counts.files, listed.last.files),
        Which::Directories | Which::Both => (listed.counts.directories, listed.last.directories),
    };
    let mut out = rows.out;
    let next = if is_full(count, size) { last } else { 0 };
    out.raw(r#"],"cookie":"#).number(next).raw("}");
    Ok(out)
}

pub(super) async fn list_path(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let size = page_size(call)?;
    let (directories, files) = call.args.pair_cookie("cookie")?;
    let stat = call.args.boolean("stat")?;
    let page =
        Page { which: Which::Both, after: Positions { directories, files }, size, details: stat };
    let mut out = call.answer();
    out.raw(r#"{"code":0,"#);
    let rows = PathRows::new(out, stat, call.to.version == Version::One);
    let (rows, listed) = call.front.store.list(caller, &path, page, rows).await?;
    let mut out = rows.close();
    out.raw(r#","cookie":"#);
    if is_full(listed.counts.directories, size) || is_full(listed.counts.files, size) {
        out.string(&pair_cookie_text(listed.last.directories, listed.last.files));
    } else {
        out.raw("null");
    }
    out.raw("}");
    Ok(out)
}

fn page_size(call: &Call<'_>) -> Result<usize, Failure> {
    usize::try_from(call.args.int("pageSize")?).map_err(|_| Failure::Code(INTERNAL_ERROR))
}

/// A page that is not full is the last one.
fn is_full(count: u64, page_size: usize) -> bool {
    usize::try_from(count).is_ok_and(|count| count >= page_size)
}
