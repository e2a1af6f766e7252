//! Pull-through: a GET of a file that is not there fetches it from a remote that the operator named for its prefix, sends
//! it on while it arrives, and keeps it.
//!
//! What lives here: which remote answers for a path, one request to it for any number of clients, what its answer means,
//! and remembering for a moment that it had nothing. What does not: requests themselves (crate `outbound`), following
//! what arrives (`live`), and pulls that a client orders (`fetch`). The invariants: a file that is there is never
//! replaced by what a remote has; a client that goes away takes nothing from the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{
    Account, AccountId, Caller, ContentType, Error, Owner, Result, Secret, Time, TreePath, UserId,
};
use outbound::{Client, Fetched, Get, Header, Location};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusty_s3::{Bucket, Credentials, S3Action};
use tokio::sync::{Semaphore, watch};

use crate::{Detect, Expose, Following, Parents, PutSpec, Store, TypeRule};

/// A remote that answers for a prefix.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The first segment of the paths it answers for.
    pub account: String,
    /// The rest of the prefix, from the account's top directory.
    pub prefix: TreePath,
    /// What is asked.
    pub remote: Remote,
}

/// Where the files of a prefix come from. What follows the prefix follows its location.
#[derive(Debug, Clone)]
pub enum Remote {
    /// A web server.
    Http {
        /// The base: what follows the prefix is appended to it.
        base: Location,
        /// Sent with each request.
        headers: Vec<Header>,
    },
    /// A bucket, asked with signed requests (AWS Signature Version 4).
    S3(S3),
}

/// A bucket of an S3 server.
#[derive(Debug, Clone)]
pub struct S3 {
    /// The bucket, at its endpoint and in its region.
    pub bucket: Bucket,
    /// Names the key.
    pub access_key: String,
    /// Signs.
    pub secret_key: Secret,
    /// Comes before what follows the prefix; empty, or with a slash at its end where it names a folder.
    pub prefix: String,
}

/// What may be set of it, with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files pulled at the same time; one more is refused.
    pub running_max: usize,
    /// Longest file, in bytes.
    pub bytes_max: u64,
    /// Seconds for which it is remembered that a remote does not have a file.
    pub negative_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { running_max: 64, bytes_max: 100_000_000_000, negative_secs: 10 }
    }
}

/// Seconds for which it is remembered that a remote failed: those who come meanwhile need not wait for it, too.
const FAILURE_SECS: u64 = 1;
/// Misses remembered at most.
const MISSES_MAX: usize = 10_000;
/// How long a signed request to a bucket holds.
const SIGNED_FOR: Duration = Duration::from_secs(300);
/// What stands for itself in a segment of a URL (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Key = (AccountId, TreePath);

/// Pull-through as it is set up. Without a rule it does nothing.
pub struct PullThrough {
    rules: Vec<Rule>,
    client: Client,
    limits: Limits,
    running: Arc<Semaphore>,
    flights: Mutex<HashMap<Key, watch::Receiver<Flight>>>,
    misses: Mutex<HashMap<Key, (Time, Error)>>,
}

/// How far a request to a remote has come.
#[derive(Clone)]
enum Flight {
    /// It has not answered yet.
    Asking,
    /// It has the file.
    Arriving(Following),
    /// The file is there.
    Landed,
    /// There will be no file.
    Failed(Error),
}

/// What a pull comes to, for one who waits for it.
pub(crate) enum Pulled {
    /// It can be followed.
    Arriving(Following),
    /// It is there now.
    Landed,
}

impl PullThrough {
    /// Pulls by these rules with this client, which must be allowed to ask their remotes.
    pub fn new(rules: Vec<Rule>, client: Client, limits: Limits) -> Self {
        let running = Arc::new(Semaphore::new(limits.running_max));
        let (flights, misses) = (Mutex::default(), Mutex::default());
        Self { rules, client, limits, running, flights, misses }
    }

    /// Whether there is nothing to pull from.
    pub(crate) fn is_off(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule with the longest prefix of a path, and what follows it.
    fn rule(&self, account: &str, path: &TreePath) -> Option<(&Rule, String)> {
        // A prefix is a directory: what is asked for lies below it.
        let below = |rule: &&Rule| {
            rule.account == account && rule.prefix.holds(path) && rule.prefix != *path
        };
        let rule = self.rules.iter().filter(below).max_by_key(|rule| rule.prefix.as_str().len())?;
        let rest = path.as_str()[rule.prefix.as_str().len()..].trim_start_matches('/');
        Some((rule, rest.to_owned()))
    }

    /// What was learned of a path a moment ago.
    fn missed(&self, key: &Key, now: Time) -> Option<Error> {
        let mut misses = lock(&self.misses);
        let (until, error) = misses.get(key)?;
        if *until > now {
            return Some(error.clone());
        }
        misses.remove(key);
        None
    }

    fn remember(&self, key: &Key, error: &Error, now: Time) {
        let secs = match error {
            Error::NotFound => self.limits.negative_secs,
            _ => self.limits.negative_secs.min(FAILURE_SECS),
        };
        if secs == 0 {
            return;
        }
        let mut misses = lock(&self.misses);
        if misses.len() >= MISSES_MAX {
            misses.retain(|_, (until, _)| *until > now);
        }
        if misses.len() >= MISSES_MAX {
            misses.clear();
        }
        misses.insert(key.clone(), (now.plus_secs(secs), error.clone()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// Where it is.
    ///
    /// # Errors
    /// [`Error::InvalidUri`] for a bucket whose endpoint cannot be asked.
    pub fn location(&self) -> Result<Location> {
        match self {
            Remote::Http { base, .. } => Ok(base.clone()),
            Remote::S3(s3) => Ok(Location::parse(s3.bucket.base_url().as_str())?),
        }
    }

    /// The request for what follows the prefix.
    fn request(&self, rest: &str, bytes_max: u64) -> Result<Get> {
        match self {
            Remote::Http { base, headers } => {
                let segments: Vec<String> = rest
                    .split('/')
                    .map(|segment| utf8_percent_encode(segment, SEGMENT).to_string())
                    .collect();
                let url = format!("{}/{}", base.url().trim_end_matches('/'), segments.join("/"));
                let location = Location::parse(&url)?;
                let credentials = base.credentials().cloned();
                let headers = headers.clone();
                Ok(Get { credentials, headers, ..Get::new(location, bytes_max) })
            }
            Remote::S3(s3) => {
                let credentials = Credentials::new(&s3.access_key, s3.secret_key.expose());
                let key = format!("{}{rest}", s3.prefix);
                let url = s3.bucket.get_object(Some(&credentials), &key).sign(SIGNED_FOR);
                Ok(Get::new(Location::parse(url.as_str())?, bytes_max))
            }
        }
    }
}

impl Store {
    /// Has a file pulled that is not there; with others who want it, if it is being pulled. `None`: no rule says from
    /// where. Without `open_end` the file is waited for unless its size is known.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Upstream`], [`Error::Unavailable`] when too many are being pulled, and what storing
    /// it comes to.
    pub(crate) async fn pull_through(
        &self,
        account: &Account,
        path: &TreePath,
        open_end: bool,
    ) -> Result<Option<Pulled>> {
        let through = &self.0.through;
        let Some((rule, rest)) = through.rule(&account.name, path) else { return Ok(None) };
        let key = (account.id, path.clone());
        if let Some(error) = through.missed(&key, self.now()) {
            return Err(error);
        }
        let mut flight = self.board(account, key, rule, &rest)?;
        loop {
            // A flight that ends without a word has crashed.
            let crashed = |_| Error::Storage("a pull ended early".to_owned());
            let told = flight.wait_for(|f| !matches!(f, Flight::Asking)).await;
            let state = told.map_err(crashed)?.clone();
            match state {
                Flight::Arriving(file) if open_end || file.size().is_some() => {
                    return Ok(Some(Pulled::Arriving(file)));
                }
                Flight::Arriving(_) | Flight::Asking => {}
                Flight::Landed => return Ok(Some(Pulled::Landed)),
                Flight::Failed(error) => return Err(error),
            }
            flight.changed().await.map_err(crashed)?;
        }
    }

    /// The flight of a file: the one that is under way, or a new one.
    fn board(
        &self,
        account: &Account,
        key: Key,
        rule: &Rule,
        rest: &str,
    ) -> Result<watch::Receiver<Flight>> {
        let through = &self.0.through;
        let mut flights = lock(&through.flights);
        if let Some(flight) = flights.get(&key) {
            return Ok(flight.clone());
        }
        let seat = Arc::clone(&through.running).try_acquire_owned();
        let seat = seat.map_err(|_| Error::Unavailable("too many pulls".to_owned()))?;
        let get = rule.remote.request(rest, through.limits.bytes_max)?;
        let (tell, flight) = watch::channel(Flight::Asking);
        flights.insert(key.clone(), flight.clone());
        let (store, caller) = (self.clone(), on_behalf_of(account));
        tokio::spawn(async move {
            let flying = Flying { store, key };
            let end = match flying.store.fly(&caller, &flying.key.1, get, &tell).await {
                Ok(()) => Flight::Landed,
                Err(error) => {
                    let through = &flying.store.0.through;
                    through.remember(&flying.key, &error, flying.store.now());
                    Flight::Failed(error)
                }
            };
            // Off the list first: whoever comes now finds the file, or the miss.
            drop(flying);
            tell.send_replace(end);
            drop(seat);
        });
        Ok(flight)
    }

    /// One request to a remote, and its answer into the store.
    async fn fly(
        &self,
        caller: &Caller,
        path: &TreePath,
        get: Get,
        tell: &watch::Sender<Flight>,
    ) -> Result<()> {
        let mut spec = PutSpec {
            path: path.clone(),
            parents: Parents::Created,
            mtime: None,
            checksum: None,
            content_type: TypeRule::Detect(Detect::Auto),
            expose: Expose::Partial,
        };
        // What cannot be put is not asked for: a directory stands there, or a file further up.
        let room = self.check_put(caller, &spec, None).await.map_err(|e| match e {
            Error::OverQuota => e,
            _ if e.is_ours() => e,
            _ => Error::NotFound,
        })?;
        let mut fetched = self.0.through.client.get(&get).await?;
        match fetched.status {
            200 => {}
            // A bucket that may not be listed says 403 for what it does not have.
            401 | 403 | 404 | 410 => return Err(Error::NotFound),
            status => return Err(Error::Upstream(format!("answered {status}"))),
        }
        room.takes(fetched.length.unwrap_or(0))?;
        spec.mtime = fetched.last_modified.as_deref().and_then(epoch_secs);
        spec.content_type = type_rule(&fetched);
        let mut upload = self.pulled(caller);
        upload.bound(room);
        upload.expose(&spec, fetched.length);
        if let Some(file) = upload.follow() {
            tell.send_replace(Flight::Arriving(file));
        }
        while let Some(bytes) = fetched.chunk().await? {
            upload.write(bytes).await?;
        }
        match upload.commit(spec).await {
            // Somebody put a file there meanwhile: that one counts.
            Ok(_) | Err(Error::Exists) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A pull that is under way; takes itself off the list, however it ends.
struct Flying {
    store: Store,
    key: Key,
}

impl Drop for Flying {
    fn drop(&mut self) {
        lock(&self.store.0.through.flights).remove(&self.key);
    }
}

/// Who owns what is pulled: nobody in particular, of the account's group.
fn on_behalf_of(account: &Account) -> Caller {
    Caller {
        session: None,
        since: Time::default(),
        account: account.id,
        account_name: account.name.clone(),
        top: account.root,
        user: UserId(0),
        username: String::new(),
        owner: Owner { uid: 1, gid: account.gid },
        read_only: false,
        root: TreePath::root(),
    }
}

/// The type the remote says, unless that says nothing.
fn type_rule(fetched: &Fetched) -> TypeRule {
    let said = fetched.content_type.as_deref().and_then(|text| ContentType::parse(text).ok());
    said.filter(|said| !said.is_octet_stream())
        .map_or(TypeRule::Detect(Detect::Auto), TypeRule::Given)
}

/// An HTTP date in seconds since the epoch.
fn epoch_secs(date: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(date).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use outbound::{Rules, Timeouts};

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    fn http(prefix: &str, base: &str) -> Rule {
        let remote = Remote::Http { base: Location::parse(base).unwrap(), headers: Vec::new() };
        Rule { account: "acme".to_owned(), prefix: path(prefix), remote }
    }

    fn through(rules: Vec<Rule>) -> PullThrough {
        let client = Client::new(Rules::default(), Timeouts::default()).unwrap();
        PullThrough::new(rules, client, Limits::default())
    }

    fn asked(through: &PullThrough, account: &str, at: &str) -> Option<String> {
        let (rule, rest) = through.rule(account, &path(at))?;
        Some(rule.remote.request(&rest, 1).unwrap().location.url().to_owned())
    }

    #[test]
    fn the_longest_prefix_wins_by_segment() {
        let rules = vec![
            http("", "http://all.example.com"),
            http("vod/hls", "http://hls.example.com/x/"),
            http("vod", "http://vod.example.com/"),
        ];
        let through = through(rules);
        for (at, url) in [
            ("a/b", "http://all.example.com/a/b"),
            ("vod/b", "http://vod.example.com/b"),
            ("vodka/b", "http://all.example.com/vodka/b"),
            ("vod/hls/a b?c#d%.ts", "http://hls.example.com/x/a%20b%3Fc%23d%25.ts"),
            ("vod/今", "http://vod.example.com/%E4%BB%8A"),
        ] {
            assert_eq!(asked(&through, "acme", at).as_deref(), Some(url));
        }
        assert_eq!(
            asked(&through, "acme", "vod/hls"),
            Some("http://vod.example.com/hls".to_owned())
        );
        assert_eq!(asked(&through, "other", "a"), None);
    }

    #[test]
    fn a_bucket_is_asked_with_a_signature() {
        let endpoint = "http://s3.example.com".parse().unwrap();
        let bucket = Bucket::new(endpoint, rusty_s3::UrlStyle::Path, "media", "eu-1").unwrap();
        let s3 = S3 {
            bucket,
            access_key: "AK".to_owned(),
            secret_key: Secret::new("SK"),
            prefix: "old/".to_owned(),
        };
        let get = Remote::S3(s3).request("a b/c.ts", 1).unwrap();
        let url = get.location.url();
        assert!(url.starts_with("http://s3.example.com/media/old/a%20b/c.ts?"), "{url}");
        assert!(
            url.contains("X-Amz-Signature=") && url.contains("X-Amz-Credential=AK%2F"),
            "{url}"
        );
        assert!(!url.contains("SK"), "{url}");
    }

    #[test]
    fn misses_are_remembered_for_a_moment() {
        let through = through(Vec::new());
        let key = (AccountId(1), path("a"));
        through.remember(&key, &Error::NotFound, Time(1_000));
        assert_eq!(through.missed(&key, Time(10_999)), Some(Error::NotFound));
        assert_eq!(through.missed(&key, Time(11_000)), None);
        assert!(lock(&through.misses).is_empty());
        through.remember(&key, &Error::Upstream(String::new()), Time(1_000));
        assert!(through.missed(&key, Time(1_999)).is_some());
        assert!(through.missed(&key, Time(2_000)).is_none());
        for n in 0..=MISSES_MAX {
            through.remember(&(AccountId(1), path(&n.to_string())), &Error::NotFound, Time(0));
        }
        assert!(lock(&through.misses).len() <= MISSES_MAX);
    }
}
