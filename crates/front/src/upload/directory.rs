//! `POST /post/directory` (protocol.md, section 7): makes a directory, and says so too when it is there already.

use http::HeaderMap;
use ops::{
    IfThere,
    model::{Error, TreePath},
};

use super::{answer::Done, authorize, codes::Fault, headers, spec};
use crate::Front;

/// Makes a directory.
pub(super) async fn make(front: &Front, headers: &HeaderMap) -> Result<Done, Fault> {
    let caller = authorize(front, "/post/directory", headers).await?;
    headers::once_each(headers)?;
    let coding = headers::coding(headers, headers::ENCODING)?;
    let path = headers::name(headers, headers::DIRECTORY, coding)?.ok_or(Error::InvalidPath)?;
    let path = TreePath::parse(&path)?;
    let parents = spec::parents(headers::recursive(headers, true)?);
    front.store.make_directory(&caller, &path, parents, IfThere::Fine).await?;
    Ok(Done::new())
}
