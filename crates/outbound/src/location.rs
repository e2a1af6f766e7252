//! A URL as a caller gives it, taken apart: where to ask, with what credentials, and the fragment, which is never sent.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::Secret;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Error, Result};

/// Name and password for basic authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Credentials {
    /// The value of an `Authorization` header.
    pub(crate) fn authorization(&self) -> Secret {
        let pair = format!("{}:{}", self.username, self.password.expose());
        Secret::new(format!("Basic {}", STANDARD.encode(pair)))
    }
}

/// Where to ask.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    pub(crate) url: Url,
    credentials: Option<Credentials>,
    fragment: Option<String>,
}

impl Location {
    /// Reads an http or https URL. User information in it becomes [`Location::credentials`] and leaves the URL, as the
    /// fragment does.
    ///
    /// # Errors
    /// [`Error::Unusable`].
    pub fn parse(text: &str) -> Result<Self> {
        let mut url = Url::parse(text).map_err(|_| Error::Unusable)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Error::Unusable);
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let password = Secret::new(decoded(url.password().unwrap_or_default()));
            Credentials { username: decoded(url.username()), password }
        });
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| Error::Unusable)?;
        let fragment = url.fragment().map(str::to_owned);
        url.set_fragment(None);
        Ok(Self { url, credentials, fragment })
    }

    /// The URL, canonical, without user information and fragment. It may hold a query string: not for logs.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Scheme, host and port: what a log may show.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The host: a name in lower case, or an address (IPv6 in brackets).
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// What stood before `@`.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// What stood after `#`, as it was written.
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref()
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({})", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let at =
            Location::parse("HTTPS://me%40x:p%3aw@Host.example:443/a b?q=1#sha256=00").unwrap();
        assert_eq!(at.url(), "https://host.example/a%20b?q=1");
        assert_eq!((at.origin().as_str(), at.host()), ("https://host.example", "host.example"));
        assert_eq!(at.fragment(), Some("sha256=00"));
        let credentials = at.credentials().unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("me@x", "p:w"));
        assert_eq!(credentials.authorization().expose(), "Basic bWVAeDpwOnc=");
        assert_eq!(format!("{at:?}"), "Location(https://host.example)");
        assert_eq!(Location::parse("http://host/").unwrap().credentials(), None);
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for bad in [
            "",
            "x",
            "/x",
            "//host/x",
            "file:///etc/passwd",
            "ftp://h/x",
            "gopher://h/",
            "http://",
            "http:///",
            "http://[::1",
            "http://a b/",
            "http://h:99999/",
            "javascript:x",
            "http://[fe80::1%25eth0]/",
            "http://1.2.3.4.5.256.1/",
        ] {
            assert_eq!(Location::parse(bad).unwrap_err(), Error::Unusable, "{bad}");
        }
    }
}
