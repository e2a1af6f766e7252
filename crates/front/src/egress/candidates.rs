//! Which files a GET may mean (protocol.md, section 9): the account can stand in the host, in the path, or nowhere.
//!
//! Pure: a host and a path in, at most six candidates out, in the order they are tried. Which of them exists is asked of
//! the store in one call.

use std::net::IpAddr;

use ops::{
    AccountRef, Candidate,
    model::{Account, Error, TreePath, limits},
};
use percent_encoding::percent_decode;

/// Reads the path of a request target: percent-decoded once, `+` a plain character.
///
/// # Errors
/// [`Error::InvalidPath`].
pub(super) fn decode(path: &str) -> Result<TreePath, Error> {
    long_path(&percent_decode(path.as_bytes()).collect::<Vec<u8>>())
}

/// Reads a path that may be longer than what a client passes to a call: the account, and the directory a session is
/// confined to, stand in front of it here. A request's head bounds it; a segment is as long as ever.
fn long_path(bytes: &[u8]) -> Result<TreePath, Error> {
    // Within the limit whatever the bytes are: one that is not ASCII counts three times.
    const PIECE_BYTES: usize = limits::PATH_BYTES_MAX / 3;
    let (mut whole, mut piece) = (TreePath::root(), Vec::new());
    for segment in bytes.split(|byte| *byte == b'/') {
        if piece.len() + segment.len() >= PIECE_BYTES {
            whole = whole.join(&TreePath::parse_bytes(&piece)?);
            piece.clear();
        }
        piece.extend_from_slice(segment);
        piece.push(b'/');
    }
    Ok(whole.join(&TreePath::parse_bytes(&piece)?))
}

/// The candidates, first choice first. `host` as the request names it, with or without a port.
pub(super) fn candidates(host: Option<&str>, path: &TreePath) -> Vec<Candidate> {
    let first = path.segments().next().unwrap_or_default();
    let rest = path.as_str().strip_prefix(first).and_then(|rest| long_path(rest.as_bytes()).ok());
    let mut list = Vec::with_capacity(6);
    let mut add = |account: AccountRef, path: &TreePath, account_in_path: bool| {
        if !path.is_root() {
            list.push(Candidate { account, path: path.clone(), account_in_path });
        }
    };
    for account in host.map(accounts_of_host).unwrap_or_default() {
        if first == account
            && let Some(rest) = &rest
        {
            add(AccountRef::Named(account.to_owned()), rest, true);
        }
        add(AccountRef::Named(account.to_owned()), path, false);
    }
    if Account::check_name(first).is_ok()
        && let Some(rest) = &rest
    {
        add(AccountRef::Named(first.to_owned()), rest, true);
    }
    add(AccountRef::Only, path, false);
    list
}

/// The accounts a host may name: its first label as it is, then without a trailing `-l`.
fn accounts_of_host(host: &str) -> Vec<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    let label = name.split('.').next().unwrap_or_default();
    [Some(label), label.strip_suffix("-l")]
        .into_iter()
        .flatten()
        .filter(|name| Account::check_name(name).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `account:path`, `*` for the only account.
    fn listed(host: &str, path: &str) -> Vec<String> {
        candidates(Some(host), &decode(path).unwrap())
            .into_iter()
            .map(|c| match c.account {
                AccountRef::Named(name) => format!("{name}:{}", c.path.as_str()),
                AccountRef::Only => format!("*:{}", c.path.as_str()),
            })
            .collect()
    }

    #[test]
    fn account_in_the_host() {
        let expected = ["acme:a/b", "a:b", "*:a/b"];
        assert_eq!(listed("acme.upload.example.com", "/a/b"), expected);
        assert_eq!(listed("acme:8080", "/a/b"), expected);
        let both = ["acme-l:a/b", "acme:a/b", "a:b", "*:a/b"];
        assert_eq!(listed("acme-l.upload.example.com", "/a/b"), both);
    }

    #[test]
    fn account_in_both() {
        let expected = ["acme:b", "acme:acme/b", "acme:b", "*:acme/b"];
        assert_eq!(listed("acme.example.com", "/acme/b"), expected);
        let expected = ["acme-l:acme/b", "acme:b", "acme:acme/b", "acme:b", "*:acme/b"];
        assert_eq!(listed("acme-l.example.com", "/acme/b"), expected);
    }

    #[test]
    fn account_in_the_path_alone() {
        for host in ["127.0.0.1:8080", "[::1]:80", "[::1]", "10.0.0.1", "-x.example.com", "", ":80"]
        {
            assert_eq!(listed(host, "/acme/b"), ["acme:b", "*:acme/b"], "{host}");
        }
        assert_eq!(listed("10.0.0.1", "/b"), ["*:b"]);
        assert_eq!(listed("10.0.0.1", "/a.txt/b"), ["*:a.txt/b"]);
        assert_eq!(listed("10.0.0.1", "/"), [] as [&str; 0]);
    }

    #[test]
    fn longer_than_a_call_takes() {
        let name = "n".repeat(4096);
        let path = decode(&format!("/acme/{}/{name}", "d/".repeat(2000))).unwrap();
        assert_eq!(path.as_str().len(), 5 + 4000 + 4096);
        let list = candidates(None, &path);
        assert!(
            list.iter().any(|c| c.path.as_str().starts_with("d/") && c.path.name() == Some(&name))
        );
        assert!(decode(&format!("/acme/{name}n")).is_err(), "a segment has its limit");
        let wide = format!("/acme/{}", "%E4%BB%8A".repeat(455));
        assert_eq!(decode(&wide).unwrap().name().unwrap().chars().count(), 455);
    }

    #[test]
    fn decoded_once() {
        assert_eq!(decode("/a+b%20c").unwrap().as_str(), "a+b c");
        assert_eq!(decode("/%252e%252e/x").unwrap().as_str(), "%2e%2e/x");
        assert_eq!(decode("//a%2Fb//").unwrap().as_str(), "a/b");
        assert_eq!(decode("/a%zz%").unwrap().as_str(), "a%zz%");
        assert_eq!(decode("/caf%C3%A9").unwrap(), decode("/café").unwrap());
        for bad in ["/a/%2e%2e/b", "/../b", "/%00", "/%ff", "/%c0%af", "/%ed%a0%80"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_bounded(host in ".{0,60}", path in ".{0,60}") {
            if let Ok(path) = decode(&path) {
                let list = candidates(Some(&host), &path);
                prop_assert!(list.len() <= 6);
                prop_assert!(list.iter().all(|c| !c.path.is_root()));
            }
        }

        /// Every candidate's path is the whole path, or the whole path below the account it names.
        #[test]
        fn candidates_name_nothing_else(
            host in "[a-c]{1,2}(-l)?(\\.[a-c]{1,2}){0,2}(:[0-9]{1,3})?", path in "(/[a-c]{1,2}){1,4}",
        ) {
            let whole = decode(&path).unwrap();
            for candidate in candidates(Some(&host), &whole) {
                let stripped = match &candidate.account {
                    AccountRef::Named(name) => format!("{name}/{}", candidate.path.as_str()),
                    AccountRef::Only => String::new(),
                };
                let label = host.split(['.', ':']).next().unwrap_or_default();
                let of_host = |name: &str| name == label || Some(name) == label.strip_suffix("-l");
                let whole_path = match &candidate.account {
                    AccountRef::Named(name) => candidate.path == whole && of_host(name),
                    AccountRef::Only => candidate.path == whole,
                };
                prop_assert!(stripped == whole.as_str() || whole_path);
                prop_assert_eq!(candidate.account_in_path, candidate.path != whole);
            }
        }
    }
}
