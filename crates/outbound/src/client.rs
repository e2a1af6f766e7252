//! The client: one request at a time through the rules, redirects by hand, each hop checked as if it were the first.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use model::Secret;
use reqwest::{
    Method, StatusCode,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LOCATION,
        RANGE,
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::time::timeout;
use url::Url;

use crate::{
    error::{Error, Result},
    fetched::Fetched,
    location::{Credentials, Location},
    resolver::Checked,
    rules::{Reach, Rules},
};

/// Redirects followed for one request.
const REDIRECTS_MAX: usize = 5;
/// Headers of an answer.
const HEADERS_MAX: usize = 100;
/// Connections to one host that are kept open while nothing is asked.
const IDLE_PER_HOST_MAX: usize = 8;
/// How long they are kept.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection, name resolution and TLS included.
    pub connect: Duration,
    /// For the head of an answer, connecting included; counted anew for each redirect.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// For a whole [`Client::post`].
    pub post: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { connect: secs(10), first_byte: secs(30), idle: secs(60), post: secs(30) }
    }
}

/// A header to send. Its value is treated as a secret: it may sign or authorize.
#[derive(Debug, Clone)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Secret,
}

/// A request for content.
#[derive(Debug, Clone)]
pub struct Get {
    /// Where.
    pub location: Location,
    /// Who asks, for basic authentication; those in the location count where this is `None`. Sent to the origin of
    /// `location` only, not where it redirects to.
    pub credentials: Option<Credentials>,
    /// Further headers, likewise for that origin only.
    pub headers: Vec<Header>,
    /// Bytes to leave out at the beginning (`Range`); 0 asks for all of it.
    pub from: u64,
    /// With `from`: only if the content still has this entity tag or date (`If-Range`).
    pub if_range: Option<String>,
    /// Longest body taken, in bytes.
    pub bytes_max: u64,
}

impl Get {
    /// A request for the whole content.
    pub fn new(location: Location, bytes_max: u64) -> Self {
        Self {
            location,
            credentials: None,
            headers: Vec::new(),
            from: 0,
            if_range: None,
            bytes_max,
        }
    }
}

/// A message to another server.
#[derive(Debug, Clone)]
pub struct Post {
    /// Where.
    pub location: Location,
    /// Headers, `Content-Type` among them.
    pub headers: Vec<Header>,
    /// What is sent.
    pub body: Bytes,
}

/// Makes requests that the rules allow. A clone is cheap and shares connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    timeouts: Timeouts,
    /// Never connects to an address that is not public.
    public: reqwest::Client,
    /// Connects to whatever a host resolves to; for hosts the operator called private, and no other.
    anywhere: reqwest::Client,
}

impl Client {
    /// A client under `rules`. HTTPS trusts the certificates that the system trusts; where there are none, no HTTPS server
    /// is trusted and plain HTTP works.
    ///
    /// # Errors
    /// [`Error::Failed`] when TLS cannot be set up.
    pub fn new(rules: Rules, timeouts: Timeouts) -> Result<Self> {
        let tls = tls(rules.is_empty())?;
        let client = |reach| {
            let builder = reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Checked(reach))
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .http1_only()
                .http1_max_headers(HEADERS_MAX)
                .connect_timeout(timeouts.connect)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
                .pool_idle_timeout(IDLE_TIME)
                .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")));
            builder.build().map_err(Error::from)
        };
        let (public, anywhere) = (client(Reach::Public)?, client(Reach::Anywhere)?);
        Ok(Self { shared: Arc::new(Shared { rules, timeouts, public, anywhere }) })
    }

    /// Whether no host at all is allowed.
    pub fn is_off(&self) -> bool {
        self.shared.rules.is_empty()
    }

    /// Whether a location may be asked, as far as can be told without resolving its name.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn check(&self, location: &Location) -> Result<()> {
        self.shared.rules.check(&location.url).map(drop)
    }

    /// Asks for content. Redirects are followed, each checked like the first URL; what was to be sent to the first origin
    /// only is left out from the first one that leads elsewhere on. The answer may have any status.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn get(&self, get: &Get) -> Result<Fetched> {
        let mut url = get.location.url.clone();
        let mut own = own_headers(&get.headers)?;
        if let Some(given) = get.credentials.as_ref().or(get.location.credentials()) {
            own.insert(AUTHORIZATION, value(&given.authorization())?);
        }
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = own.clone();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if get.from > 0 {
                headers.insert(
                    RANGE,
                    HeaderValue::try_from(format!("bytes={}-", get.from))
                        .map_err(|_| Error::Unusable)?,
                );
                if let Some(tag) = &get.if_range {
                    headers
                        .insert(IF_RANGE, HeaderValue::try_from(tag).map_err(|_| Error::Unusable)?);
                }
            }
            let request = self.client_for(&url)?.get(url.clone()).headers(headers);
            let answer =
                in_time(self.shared.timeouts.first_byte, "no answer in time", request.send())
                    .await?;
            let Some(next) = next_hop(&url, answer.status(), answer.headers())? else {
                return Fetched::new(answer, get.bytes_max, self.shared.timeouts.idle);
            };
            if next.origin() != url.origin() {
                own.clear();
            }
            url = next;
        }
        Err(Error::Failed("too many redirects".to_owned()))
    }

    /// Sends a message; returns the status of the answer, whose body is not read. Redirects are not followed.
    ///
    /// # Errors
    /// All of [`Error`] but [`Error::TooLarge`].
    pub async fn post(&self, post: Post) -> Result<u16> {
        let mut headers = own_headers(&post.headers)?;
        if let Some(given) = post.location.credentials() {
            headers.insert(AUTHORIZATION, value(&given.authorization())?);
        }
        let url = post.location.url;
        let request =
            self.client_for(&url)?.request(Method::POST, url).headers(headers).body(post.body);
        let answer =
            in_time(self.shared.timeouts.post, "no answer in time", request.send()).await?;
        Ok(answer.status().as_u16())
    }

    /// The client that may ask for `url`: this is where every hop is checked.
    fn client_for(&self, url: &Url) -> Result<&reqwest::Client> {
        Ok(match self.shared.rules.check(url)? {
            Reach::Public => &self.shared.public,
            Reach::Anywhere => &self.shared.anywhere,
        })
    }
}

async fn in_time<T>(
    limit: Duration,
    late: &'static str,
    work: impl Future<Output = reqwest::Result<T>>,
) -> Result<T> {
    Ok(timeout(limit, work).await.map_err(|_| Error::Timeout(late))??)
}

/// Where an answer redirects to; `None` when it does not.
pub(crate) fn next_hop(from: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Url>> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(to) = headers.get(LOCATION) else {
        return Ok(None);
    };
    let to = to.to_str().ok().and_then(|to| from.join(to).ok());
    let Some(mut to) = to else {
        return Err(Error::Failed("a redirect to something that is no URL".to_owned()));
    };
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(Error::Forbidden("a redirect from https to another scheme"));
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(Error::Forbidden("a redirect with credentials in it"));
    }
    to.set_fragment(None);
    Ok(Some(to))
}

fn own_headers(headers: &[Header]) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for header in headers {
        let name = HeaderName::try_from(&header.name).map_err(|_| Error::Unusable)?;
        map.append(name, value(&header.value)?);
    }
    Ok(map)
}

fn value(text: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text.expose()).map_err(|_| Error::Unusable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// `idle`: nothing will ever be asked, so that nobody needs to be trusted.
/// TLS as every client of this server speaks it: the system's certificates, HTTP/1.1. Where the system trusts none, no HTTPS
/// server is.
///
/// # Errors
/// [`Error::Failed`] when TLS cannot be set up.
pub fn trusting_the_system() -> Result<ClientConfig> {
    tls(false)
}

fn tls(idle: bool) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if !idle {
        let found = rustls_native_certs::load_native_certs();
        for e in &found.errors {
            tracing::debug!("certificates of the system: {e}");
        }
        let (taken, _unreadable) = roots.add_parsable_certificates(found.certs);
        if taken == 0 {
            tracing::warn!("the system trusts no certificates: no HTTPS server can be asked");
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Failed(format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
