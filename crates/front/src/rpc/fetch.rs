//! `fetchFileHTTP` (protocol.md, sections 5 and 11): files of the caller's own account, copied; files of other hosts,
//! queued.
//!
//! What lives here: reading `http://{account}/path`, and the order of parameters that older clients use. What does not:
//! the copy (`ops::namespace`), the queue and who may be asked (`ops::fetch`).

use ops::{
    FetchSpec, Parents,
    model::{Caller, Secret, TreePath},
};
use percent_encoding::percent_decode_str;

use super::{Call, Failure, Outcome, coerce, params::LongForm};

/// A URI that names no source.
pub(super) const BAD_URI: i32 = -14;

/// The order of older clients: it is meant when more than four values are given, or when the fourth can be no flags.
pub(super) const LONG_FORM: LongForm = LongForm {
    order: &[
        "token",
        "path",
        "uri",
        "username",
        "password",
        "auth",
        "callbackid",
        "priority",
        "flags",
        "expose_egress",
    ],
    applies: |given| {
        given.len() > 4
            || given.get(3).is_some_and(|fourth| {
                *fourth == "null"
                    || (fourth.starts_with('"') && coerce::fetch_flags(fourth).is_none())
            })
    },
};

pub(super) async fn fetch_file_http(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let uri = call.args.text("uri")?.ok_or(Failure::Code(BAD_URI))?;
    let make_directories = call.args.fetch_flags("flags")?;
    let parents = if make_directories { Parents::Created } else { Parents::Required };
    if let Some(source) = own_file(&uri, &caller.account_name) {
        call.front.store.copy(caller, &source, &path, parents).await?;
    } else {
        let credentials = credentials(call)?;
        let spec = FetchSpec { path, parents, uri: Secret::new(uri), credentials };
        call.front.store.fetch(caller, spec).await?;
    }
    call.done()
}

/// User name and password for the other host. Only basic authentication is spoken: for another kind the password must
/// not go out in a form its owner did not mean.
fn credentials(call: &Call<'_>) -> Result<Option<(String, Secret)>, Failure> {
    let text = |name| call.args.json(name).map(|json| coerce::string(json).unwrap_or_default());
    let (username, password, auth) = (text("username")?, text("password")?, text("auth")?);
    if username.is_empty() && password.is_empty() {
        return Ok(None);
    }
    if !auth.is_empty() && !auth.eq_ignore_ascii_case("basic") {
        return Err(Failure::Code(BAD_URI));
    }
    Ok(Some((username.into_owned(), Secret::new(password))))
}

/// The path in `http://{account}/path`, percent-decoded once; `None` for any other URI. What a URI has to encode must
/// be encoded: a space, a control character, `?` or `#` has no meaning here.
fn own_file(uri: &str, account: &str) -> Option<TreePath> {
    let (scheme, rest) = uri.split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let plain = |b: u8| b > b' ' && b != 0x7f && b != b'?' && b != b'#';
    if !scheme.eq_ignore_ascii_case("http")
        || !host.eq_ignore_ascii_case(account)
        || !path.bytes().all(plain)
        || !escapes_are_whole(path)
    {
        return None;
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    TreePath::parse_bytes(&bytes).ok()
}

/// Whether two hex digits follow each `%`.
fn escapes_are_whole(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files() {
        for (uri, path) in [
            ("http://acme/a.txt", "a.txt"),
            ("HTTP://ACME//dir/a%20b+c.txt", "dir/a b+c.txt"),
            ("http://acme/%E4%BB%8A", "今"),
            ("http://acme/今", "今"),
            ("http://acme/%252e%252e", "%2e%2e"),
            ("http://acme/a%3Fb%23", "a?b#"),
            ("http://acme/", ""),
        ] {
            assert_eq!(own_file(uri, "Acme").unwrap().as_str(), path, "{uri}");
        }
    }

    #[test]
    fn others() {
        for uri in [
            "",
            "acme/a",
            "http:/acme/a",
            "http://acme",
            "https://acme/a",
            "file:///a",
            "http://other/a",
            "http://acme:80/a",
            "http://u@acme/a",
            "http://127.0.0.1/a",
            "http://[::ffff:7f00:1]/a",
            "http://2130706433/a",
            "http:///a",
            " http://acme/a",
            "http://acme/a b",
            "http://acme/a\n",
            "http://acme/a?b",
            "http://acme/a#b",
            "http://acme/%",
            "http://acme/%2",
            "http://acme/%zz",
            "http://acme/%2e%2e/a",
            "http://acme/%ff",
            "http://acme/%00",
        ] {
            assert_eq!(own_file(uri, "acme"), None, "{uri}");
        }
    }

    #[test]
    fn the_long_form_is_recognized() {
        let is_long = LONG_FORM.applies;
        for short in ["0", "1", "true", "2", "{}", "[]", "\"1\"", "\"FF_CREATE_DESTDIR\""] {
            assert!(!is_long(&["t", "p", "u", short]), "{short}");
        }
        for long in ["null", "\"\"", "\"user\"", "\"FF_OTHER\""] {
            assert!(is_long(&["t", "p", "u", long]), "{long}");
        }
        assert!(!is_long(&["t", "p", "u"]));
        assert!(is_long(&["t", "p", "u", "0", "0"]));
    }
}
