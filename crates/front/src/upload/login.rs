//! `POST /account/login` (protocol.md, section 7): credentials in headers, a token out.

use http::{HeaderMap, HeaderName};
use ops::model::{Error, Secret, TreePath};

use super::{
    answer::Done,
    codes::Fault,
    coding::{self, Coding},
    headers,
};
use crate::{Front, Peer};

/// Logs in. The order of the checks: encoding, expiry, sub-directory as a path, credentials, sub-directory as it is.
pub(super) async fn login(front: &Front, peer: Peer, headers: &HeaderMap) -> Result<Done, Fault> {
    headers::once_each(headers)?;
    let coding = coding(headers)?;
    let expiry = headers::expiry(headers)?;
    let subdir = subdir(headers, coding)?;
    let given = |name| headers::text(headers, name).filter(|text| !text.is_empty());
    let username = given(headers::USERNAME).ok_or(Error::BadCredentials)?;
    let password = Secret::new(given(headers::PASSWORD).ok_or(Error::BadCredentials)?);
    let from = peer.address.map(|address| address.ip());
    let session = front.store.authenticate(from, &username, &password, expiry, &subdir).await?;
    let caller = session.caller;
    let path = caller.root.absolute(&caller.account_name);
    Ok(vec![
        (HeaderName::from_static("x-agile-token"), session.token.expose().to_owned()),
        (HeaderName::from_static("x-agile-uid"), caller.owner.uid.to_string()),
        (HeaderName::from_static("x-agile-gid"), caller.owner.gid.to_string()),
        (HeaderName::from_static("x-agile-path"), coding::encode(&path, coding)),
    ])
}

/// Either header says it; both must be right.
fn coding(headers: &HeaderMap) -> Result<Coding, Fault> {
    let one = headers::coding(headers, headers::ENCODING)?;
    let other = headers::coding(headers, headers::CONTENT_ENCODING)?;
    Ok(if one == Coding::Utf8 { one } else { other })
}

fn subdir(headers: &HeaderMap, coding: Coding) -> Result<TreePath, Fault> {
    let invalid = |_| Fault::Fact(Error::InvalidSubdir);
    let text = headers::name(headers, headers::SUBDIR, coding).map_err(invalid)?;
    TreePath::parse(&text.unwrap_or_default()).map_err(|_| Error::InvalidSubdir.into())
}
