//! Making signed URLs: for the operator, and for callers of `mediaVaultUrl` (protocol.md, sections 5 and 10).

use std::fmt;

use catalog::Read;
use model::{Account, Caller, Error, Node, Result, Secret, TreePath, limits};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{HashKind, Terms, hash};
use crate::{Store, tree};

/// What a published path encodes: all but the unreserved characters of RFC 3986 and the slash, so that nobody on the way
/// has a reason to spell it differently.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The base of the URLs that files are published under: `<base>/<account>/<path>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Reads `https://cdn.example.com`, with a port or a path where there is one. A slash at its end means nothing.
    ///
    /// # Errors
    /// [`Error::InvalidUri`]: not http(s), no host, or with user, query, fragment, or what a URL has to encode.
    pub fn parse(text: &str) -> Result<Self> {
        let base = text.trim_end_matches('/');
        let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        let rest = rest.ok_or(Error::InvalidUri)?;
        let plain = |b: u8| b.is_ascii_graphic() && !b"?#@\\\"<>^`{|}".contains(&b);
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        if host.is_empty() || !rest.bytes().all(plain) {
            return Err(Error::InvalidUri);
        }
        Ok(Self(base.to_owned()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A link to be made.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// The account's name.
    pub account: String,
    /// From the account's top directory. It need not be there yet.
    pub path: TreePath,
    /// The path is a directory, and the link is to hold for everything below it.
    pub below: bool,
    /// How long it holds, in seconds from now.
    pub lasts_secs: u64,
    /// What else it says; `end` and `prefix` are set here.
    pub terms: Terms,
    /// The base of its URL; `None`: the server's.
    pub public_url: Option<PublicUrl>,
}

/// Two links to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// Makes a browser save the file.
    pub download: String,
    /// Lets it show the file.
    pub preview: String,
}

impl Store {
    /// Signs a link under the account's newest secret.
    ///
    /// # Errors
    /// [`Error::InvalidExpiry`], [`Error::NoSuchAccount`], [`Error::NotConfigured`]: no public URL, or no secret.
    pub async fn sign_url(&self, new: NewLink) -> Result<String> {
        let base = new.public_url.clone().or_else(|| self.0.public_url.clone());
        let base = base.ok_or(Error::NotConfigured)?;
        let end = self.end_after(new.lasts_secs)?;
        let name = new.account.clone();
        let account = self.0.catalog.read(move |tx| tx.account_by_name(&name)).await?;
        let account = account.ok_or(Error::NoSuchAccount)?;
        let secret = self.newest_url_secret(&account)?;
        let mut url = published(&base, &account.name, &new.path);
        let mut terms = Terms { end: Some(end), prefix: None, ..new.terms };
        if new.below {
            // By segment: a link to `films` is none to `films2`.
            url.push('/');
            terms.prefix = Some(url.chars().count());
        }
        Ok(signed(&url, &terms, &secret))
    }

    /// Links to a file of the caller's that hold for so long, in seconds; 0: for an hour. The file need not be there yet.
    ///
    /// # Errors
    /// [`Error::InvalidExpiry`], [`Error::IsDirectory`], [`Error::NotConfigured`].
    pub async fn urls_of(&self, caller: &Caller, path: &TreePath, lasts_secs: u64) -> Result<Urls> {
        let lasts = if lasts_secs == 0 { limits::SIGNED_URL_SECONDS_DEFAULT } else { lasts_secs };
        let end = self.end_after(lasts)?;
        let (asking, full) = (caller.clone(), path.clone());
        let account = self.0.catalog.read(move |tx| account_of_link(tx, &asking, &full)).await?;
        let base = self.0.public_url.as_ref().ok_or(Error::NotConfigured)?;
        let secret = self.newest_url_secret(&account)?;
        let url = published(base, &account.name, &caller.full(path));
        let terms = |attachment| Terms {
            end: Some(end),
            attachment,
            hash: HashKind::Sha256,
            ..Terms::default()
        };
        Ok(Urls {
            download: signed(&url, &terms(true), &secret),
            preview: signed(&url, &terms(false), &secret),
        })
    }

    fn end_after(&self, lasts_secs: u64) -> Result<u64> {
        if !(1..=limits::SIGNED_URL_SECONDS_MAX).contains(&lasts_secs) {
            return Err(Error::InvalidExpiry);
        }
        Ok(self.now().secs() + lasts_secs)
    }

    fn newest_url_secret(&self, account: &Account) -> Result<Secret> {
        self.url_secrets(account)?.into_iter().next().ok_or(Error::NotConfigured)
    }
}

/// The caller's account, where `path` can be a file's.
fn account_of_link<R: Read + ?Sized>(
    tx: &mut R,
    caller: &Caller,
    path: &TreePath,
) -> Result<Account> {
    if let Some(Node::Directory(_)) = tree::locate(tx, caller, path)?.node() {
        return Err(Error::IsDirectory);
    }
    tx.account(caller.account)?.ok_or(Error::BadToken)
}

/// Where a file is published.
fn published(base: &PublicUrl, account: &str, path: &TreePath) -> String {
    format!("{base}{}", utf8_percent_encode(&path.absolute(account), PATH))
}

fn signed(url: &str, terms: &Terms, secret: &Secret) -> String {
    let text = text(terms);
    let hash = hash::of(terms, secret, url, &text);
    let mut all = format!("{url}?{text}&h=");
    hash.iter().for_each(|byte| all.push_str(&format!("{byte:02x}")));
    all
}

/// Terms as a query writes them; values are of characters that a query need not encode.
fn text(terms: &Terms) -> String {
    let mut list = Vec::new();
    let mut add = |name: &str, value: String| list.push(format!("{name}={value}"));
    let Terms { start, end, network, prefix, referers, rate, attachment, hash } = terms;
    if let Some(start) = start {
        add("s", start.to_string());
    }
    if let Some(end) = end {
        add("e", end.to_string());
    }
    if let Some(network) = network {
        add("ip", network.to_string());
    }
    if let Some(prefix) = prefix {
        add("p", prefix.to_string());
    }
    if !referers.is_empty() {
        add("r", referers.join(","));
    }
    if let Some(rate) = rate {
        add("ri", rate.free_kb.to_string());
        add("rs", rate.kb_per_sec.to_string());
    }
    if *attachment {
        add("dl", "1".to_owned());
    }
    if *hash == HashKind::Sha256 {
        add("va", "2".to_owned());
    }
    list.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Network, Rate};

    #[test]
    fn bases() {
        for (text, base) in [
            ("https://cdn.example.com", "https://cdn.example.com"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://[::1]:443/a/b//", "https://[::1]:443/a/b"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), base);
        }
        for text in [
            "",
            "cdn.example.com",
            "ftp://h",
            "https://",
            "https:///a",
            "https://h?x",
            "https://h#x",
            "https://u@h",
            "https://h/a b",
            "https://h/é",
            "HTTPS://h",
            "https://:80",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_encoded() {
        let base = PublicUrl::parse("https://h").unwrap();
        let path = TreePath::parse("a b/今+%&?#(1)~.x").unwrap();
        assert_eq!(
            published(&base, "acme", &path),
            "https://h/acme/a%20b/%E4%BB%8A%2B%25%26%3F%23%281%29~.x"
        );
        assert_eq!(published(&base, "acme", &TreePath::root()), "https://h/acme");
    }

    #[test]
    fn terms_as_text() {
        assert_eq!(text(&Terms::default()), "");
        let all = Terms {
            start: Some(1),
            end: Some(2),
            network: Network::parse("10.0.0.0/8"),
            prefix: Some(3),
            referers: vec!["a.com".to_owned(), "b.org".to_owned()],
            rate: Rate::limited(4, 5),
            attachment: true,
            hash: HashKind::Sha256,
        };
        assert_eq!(text(&all), "s=1&e=2&ip=10.0.0.0/8&p=3&r=a.com,b.org&ri=4&rs=5&dl=1&va=2");
    }
}
