//! Signed URLs ("MediaVault", protocol.md, section 10): who may read a file of a private account, and what a link that
//! was signed asks for.
//!
//! What lives here: what a request shows beside its path, and the decision. `hash` says what is hashed, `network` what an
//! address term means, `sign` makes links, `secrets` keeps the accounts' secrets. What does not: reading a query string
//! (the room), serving the file (`get`).
//!
//! **Spelling.** A link is verified over the path as the request spells it, percent-encoding untouched: a proxy that
//! re-encodes breaks it. The hashed text stands in a request line, so it can hold no NUL, and the padding that would
//! extend a hash of MD5 or SHA-256 always has one: nobody lengthens a link without the secret.

mod hash;
mod network;
mod secrets;
mod sign;

use std::net::IpAddr;

use catalog::Read;
use model::{Account, Error, Result, Secret, Time, limits};
use subtle::Choice;

pub use hash::HashKind;
pub use network::Network;
pub use secrets::{NewUrlSecret, SecretId};
pub use sign::{NewLink, PublicUrl, Urls};

use crate::{Store, get::Candidate, session};

/// What the terms of a link say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// `s`: from when on it holds, in seconds since the epoch.
    pub start: Option<u64>,
    /// `e`: the last second in which it holds.
    pub end: Option<u64>,
    /// `ip`: where it may be used.
    pub network: Option<Network>,
    /// `p`: only so many characters of the URL are hashed.
    pub prefix: Option<usize>,
    /// `r`: on whose pages it may stand, as [`referer_domain`] reads them. None: on any.
    pub referers: Vec<String>,
    /// `ri` and `rs`: how fast the answer goes out.
    pub rate: Option<Rate>,
    /// `dl=1`: the browser is to save the file.
    pub attachment: bool,
    /// `va`: what it is hashed with.
    pub hash: HashKind,
}

/// How fast an answer goes out. A kB is 1,000 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// kB that go out as fast as they can.
    pub free_kb: u64,
    /// kB a second after that; not 0.
    pub kb_per_sec: u64,
}

impl Rate {
    /// A rate within the contract's limits: larger values count as the largest. `None`: nothing would ever go out.
    pub fn limited(free_kb: u64, kb_per_sec: u64) -> Option<Self> {
        (kb_per_sec > 0).then(|| Self {
            free_kb: free_kb.min(limits::LINK_FREE_KB_MAX),
            kb_per_sec: kb_per_sec.min(limits::LINK_KB_PER_SEC_MAX),
        })
    }
}

/// A signed URL as a request carries it.
#[derive(Clone)]
pub struct Link {
    /// What stands between `?` and `&h=`, as it was sent.
    pub signed: String,
    /// What that says.
    pub terms: Terms,
    /// The hash, as bytes.
    pub hash: Vec<u8>,
}

/// Whether a request carries a signed URL.
#[derive(Clone, Default)]
pub enum Given {
    /// It has no hash.
    #[default]
    Nothing,
    /// It has one, and what was signed cannot be read.
    Unreadable,
    /// It does.
    Link(Box<Link>),
}

/// On whose page a request says it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Referer {
    /// It does not say.
    #[default]
    Unsaid,
    /// Something that names no host.
    Nameless,
    /// On one of this host: lower case, no port.
    Host(String),
}

/// What a request for a file shows beside the file's name.
#[derive(Clone, Default)]
pub struct Shown {
    /// The path as it was sent, percent-encoding untouched.
    pub path: String,
    /// The token in its header.
    pub token: Option<Secret>,
    /// The signed URL.
    pub link: Given,
    /// Where it comes from.
    pub from: Option<IpAddr>,
    /// The page it was made on.
    pub referer: Referer,
}

/// Why a request may read an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted<'a> {
    /// Everybody may.
    Everybody,
    /// By its token.
    Token,
    /// By its link, which says this.
    Link(&'a Terms),
}

/// Whether and why a request may read what a candidate names.
///
/// A link counts wherever the account has secrets, also where the account is public: a link that is wrong is refused
/// there, too. A token counts where there is no link and the account is private.
///
/// # Errors
/// [`Error::BadLink`], [`Error::BadToken`], [`Error::Denied`]: it may not; nothing was looked up that depends on the
/// account's files. A fault of storage.
pub(crate) fn admit<'a, R: Read + ?Sized>(
    store: &Store,
    tx: &mut R,
    account: &Account,
    candidate: &Candidate,
    shown: &'a Shown,
    now: Time,
) -> Result<Admitted<'a>> {
    match &shown.link {
        Given::Unreadable if !account.sealed_url_secrets.is_empty() => Err(Error::BadLink),
        Given::Link(link) if !account.sealed_url_secrets.is_empty() => {
            let url = store.0.public_url.as_ref().ok_or(Error::BadLink)?;
            let url = if candidate.account_in_path {
                format!("{url}{}", shown.path)
            } else {
                format!("{url}/{}{}", account.name, shown.path)
            };
            let secrets = store.url_secrets(account)?;
            verify(link, &url, &secrets, shown, now).map(|()| Admitted::Link(&link.terms))
        }
        _ if !account.private => Ok(Admitted::Everybody),
        _ => {
            let token = shown.token.as_ref().ok_or(Error::BadLink)?;
            let caller = session::caller_by_token(tx, token.expose(), now)?;
            let own = caller.account == account.id && caller.root.holds(&candidate.path);
            if own { Ok(Admitted::Token) } else { Err(Error::Denied) }
        }
    }
}

/// Whether a link to `url` is right under one of the secrets, in its time, and used where it may be.
fn verify(link: &Link, url: &str, secrets: &[Secret], shown: &Shown, now: Time) -> Result<()> {
    let terms = &link.terms;
    let mut right = Choice::from(0);
    // Every secret is tried, so that time does not tell which of them is right.
    for secret in secrets {
        right |= hash::is_right(terms, secret, url, &link.signed, &link.hash);
    }
    let now = now.secs();
    let in_time = terms.start.is_none_or(|s| s <= now) && terms.end.is_none_or(|e| now <= e);
    let from_there =
        terms.network.is_none_or(|network| shown.from.is_some_and(|from| network.holds(from)));
    let on_their_pages = terms.referers.is_empty() || may_stand(&shown.referer, &terms.referers);
    if bool::from(right) && in_time && from_there && on_their_pages {
        Ok(())
    } else {
        Err(Error::BadLink)
    }
}

/// Whether a page may hold a link that names these domains. A request that names no page may: browsers often do not.
fn may_stand(referer: &Referer, domains: &[String]) -> bool {
    match referer {
        Referer::Unsaid => true,
        Referer::Nameless => false,
        Referer::Host(host) => domains.iter().any(|domain| is_of(host, domain)),
    }
}

/// Whether `host` is `domain` or lies in it. By label: `notexample.com` is not of `example.com`, and an address is of
/// itself alone.
fn is_of(host: &str, domain: &str) -> bool {
    host == domain
        || (host.parse::<IpAddr>().is_err()
            && host.strip_suffix(domain).is_some_and(|left| left.ends_with('.')))
}

/// Reads a domain of the term `r`: any case, with or without a leading period. `None`: it cannot be one.
pub fn referer_domain(text: &str) -> Option<String> {
    let domain = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    (!domain.is_empty() && domain.bytes().all(plain)).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cret";
    const URL: &str = "https://cdn.example.com/acme/films/a%20b.mp4";

    fn link(signed: &str, terms: Terms) -> Link {
        let secret = Secret::new(SECRET);
        let hash = hash::of(&terms, &secret, URL, signed);
        Link { signed: signed.to_owned(), terms, hash }
    }

    fn holds(link: &Link, url: &str, shown: &Shown, now: u64) -> bool {
        let secrets = [Secret::new("another"), Secret::new(SECRET)];
        verify(link, url, &secrets, shown, Time::from_secs(now)).is_ok()
    }

    #[test]
    fn either_secret_and_no_other() {
        let link = link("e=5", Terms { end: Some(5), ..Terms::default() });
        let shown = Shown::default();
        for (secrets, right) in [
            (&["s3cret", "x"][..], true),
            (&["x", "s3cret"], true),
            (&["s3cret"], true),
            (&["x", "y"], false),
            (&["S3cret"], false),
            (&[], false),
        ] {
            let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(*s)).collect();
            let found = verify(&link, URL, &secrets, &shown, Time::from_secs(1));
            assert_eq!(found.is_ok(), right);
        }
    }

    #[test]
    fn nothing_signed_may_change() {
        let good = link("e=5", Terms { end: Some(5), ..Terms::default() });
        let shown = Shown::default();
        assert!(holds(&good, URL, &shown, 5));
        assert!(!holds(&good, &URL.replace("%20", "+"), &shown, 5), "another spelling");
        assert!(!holds(&good, &URL.replace("https", "http"), &shown, 5));
        let later = Link { signed: "e=6".to_owned(), ..good.clone() };
        assert!(!holds(&later, URL, &shown, 5));
        let cut = Link { hash: good.hash[..15].to_vec(), ..good.clone() };
        assert!(!holds(&cut, URL, &shown, 5));
        let none = Link { hash: vec![], ..good };
        assert!(!holds(&none, URL, &shown, 5));
    }

    #[test]
    fn the_window_is_whole_seconds_both_ends_included() {
        let link = link("s=3&e=5", Terms { start: Some(3), end: Some(5), ..Terms::default() });
        let found: Vec<_> =
            (1..8).filter(|now| holds(&link, URL, &Shown::default(), *now)).collect();
        assert_eq!(found, [3, 4, 5]);
    }

    #[test]
    fn where_it_is_used() {
        let network = Network::parse("10.0.0.0/8");
        let link = link("ip=10.0.0.0/8", Terms { network, ..Terms::default() });
        let from = |text: Option<&str>| {
            let from = text.map(|t| t.parse().unwrap());
            holds(&link, URL, &Shown { from, ..Shown::default() }, 0)
        };
        assert!(from(Some("10.9.8.7")) && from(Some("::ffff:10.1.1.1")));
        assert!(!from(Some("11.0.0.1")) && !from(Some("::1")) && !from(None));
    }

    #[test]
    fn on_whose_pages() {
        let domains = ["example.com", "10.1.1.1"].map(str::to_owned);
        for (host, may) in [
            ("example.com", true),
            ("www.example.com", true),
            ("notexample.com", false),
            ("example.com.evil.org", false),
            ("com", false),
            ("10.1.1.1", true),
            ("1.1", false),
        ] {
            assert_eq!(may_stand(&Referer::Host(host.to_owned()), &domains), may, "{host}");
        }
        assert!(!is_of("10.1.1.1", "1.1"));
        assert!(may_stand(&Referer::Unsaid, &domains) && !may_stand(&Referer::Nameless, &domains));
        assert_eq!(referer_domain(".Example.COM").as_deref(), Some("example.com"));
        for bad in ["", ".", "a b", "a/b", "é"] {
            assert_eq!(referer_domain(bad).filter(|d| !d.is_empty()), None, "{bad}");
        }
        let link = link("r=x", Terms { referers: domains.to_vec(), ..Terms::default() });
        let at = |host: &str| {
            let referer = Referer::Host(host.to_owned());
            holds(&link, URL, &Shown { referer, ..Shown::default() }, 0)
        };
        assert!(at("a.example.com") && !at("example.org"));
    }

    #[test]
    fn rates_have_limits() {
        assert_eq!(Rate::limited(1, 0), None);
        let rate = |free_kb, kb_per_sec| Some(Rate { free_kb, kb_per_sec });
        assert_eq!(Rate::limited(0, 1), rate(0, 1));
        assert_eq!(Rate::limited(20_000, 10_000), rate(20_000, 10_000));
        assert_eq!(Rate::limited(20_001, 10_001), rate(20_000, 10_000));
        assert_eq!(Rate::limited(u64::MAX, u64::MAX), rate(20_000, 10_000));
    }
}
