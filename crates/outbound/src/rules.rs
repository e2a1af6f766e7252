//! Which hosts may be talked to: the operator's allow-list. Without a rule, none.

use std::net::IpAddr;

use url::{Host, Url};

use crate::{
    address,
    error::{Error, Result},
};

/// The operator's allow-list. Empty: nothing is allowed.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// A host is allowed when one of these allows it.
    pub allow: Vec<HostRule>,
}

/// A host, or hosts, that may be talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    pattern: Pattern,
    port: Option<u16>,
    private: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// Every host.
    Any,
    /// Every name that ends with this, which begins with a dot.
    Suffix(String),
    /// This very name.
    Name(String),
    /// This very address.
    Address(IpAddr),
}

/// What a rule lets a request do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Connect to public addresses.
    Public,
    /// Connect to whatever address the host has.
    Anywhere,
}

impl HostRule {
    /// A rule for `host`: a name, `*.suffix` (names below it, not itself), `*` (every host), or an IP address (IPv6 with or
    /// without brackets). Without `port`, every port. `private`: the host may have an address that is not public, which
    /// can be said of a single host only.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(host: &str, port: Option<u16>, private: bool) -> Result<Self, &'static str> {
        let pattern = if host == "*" {
            Pattern::Any
        } else if let Some(suffix) = host.strip_prefix("*.") {
            match Host::parse(suffix) {
                Ok(Host::Domain(name)) => Pattern::Suffix(format!(".{}", bare(&name))),
                _ => return Err("what follows `*.` is not a host name"),
            }
        } else if let Ok(address) = host.parse::<IpAddr>() {
            Pattern::Address(address.to_canonical())
        } else {
            match Host::parse(host) {
                Ok(host) => Pattern::exactly(&host.to_owned()),
                Err(_) => return Err("not a host name, `*.suffix`, `*` or IP address"),
            }
        };
        if private && matches!(pattern, Pattern::Any | Pattern::Suffix(_)) {
            return Err("`private` goes with the name or address of a single host");
        }
        Ok(Self { pattern, port, private })
    }

    fn allows(&self, host: &Pattern, port: u16) -> bool {
        self.port.is_none_or(|mine| mine == port)
            && match &self.pattern {
                Pattern::Any => true,
                Pattern::Suffix(suffix) => {
                    matches!(host, Pattern::Name(name) if name.len() > suffix.len() && name.ends_with(suffix))
                }
                exact => exact == host,
            }
    }
}

impl Pattern {
    fn exactly<S: AsRef<str>>(host: &Host<S>) -> Self {
        match host {
            Host::Domain(name) => Self::Name(bare(name.as_ref()).to_owned()),
            Host::Ipv4(v4) => Self::Address(IpAddr::V4(*v4)),
            // An IPv4 address in IPv6 clothes is that address.
            Host::Ipv6(v6) => Self::Address(IpAddr::V6(*v6).to_canonical()),
        }
    }
}

/// A name without the dot that may end it.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl Rules {
    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }

    /// What may be done for a URL. An address in it is checked here, the addresses of a name when it is resolved.
    pub(crate) fn check(&self, url: &Url) -> Result<Reach> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Unusable);
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Error::Unusable);
        };
        let host = Pattern::exactly(&host);
        let allowing = || self.allow.iter().filter(|rule| rule.allows(&host, port));
        if allowing().any(|rule| rule.private) {
            return Ok(Reach::Anywhere);
        }
        if allowing().next().is_none() {
            return Err(Error::Forbidden("the host is not on the list of allowed hosts"));
        }
        match host {
            Pattern::Address(address) if !address::is_public(address) => {
                Err(Error::Forbidden("the address is not a public one"))
            }
            Pattern::Any | Pattern::Suffix(_) | Pattern::Name(_) | Pattern::Address(_) => {
                Ok(Reach::Public)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[(&str, Option<u16>, bool)]) -> Rules {
        Rules { allow: rules.iter().map(|(h, p, l)| HostRule::parse(h, *p, *l).unwrap()).collect() }
    }

    fn check(rules: &Rules, url: &str) -> Option<Reach> {
        rules.check(&Url::parse(url).unwrap()).ok()
    }

    #[test]
    fn hosts_are_allowed_by_name_suffix_address_and_port() {
        let some = rules(&[
            ("One.example.com", None, false),
            ("*.example.org", None, false),
            ("1.2.3.4", Some(8080), false),
            ("2606:4700::1", None, false),
        ]);
        for good in [
            "http://one.example.com/x",
            "https://ONE.example.com.:444/",
            "http://a.example.org/",
            "http://a.b.example.org/",
            "http://1.2.3.4:8080/",
            "http://0x1020304:8080/",
            "http://[2606:4700:0::1]/",
            "http://[::ffff:1.2.3.4]:8080/",
        ] {
            assert_eq!(check(&some, good), Some(Reach::Public), "{good}");
        }
        for bad in [
            "http://two.example.com/",
            "http://one.example.com.evil.net/",
            "http://xone.example.com/",
            "http://example.org/",
            "http://.example.org/",
            "http://aexample.org/",
            "http://1.2.3.4/",
            "http://1.2.3.5:8080/",
            "http://one.example.com@evil.net/",
            "ftp://one.example.com/",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            assert_eq!(check(&some, bad), None, "{bad}");
        }
        assert_eq!(check(&Rules::default(), "http://one.example.com/"), None);
    }

    #[test]
    fn an_address_that_is_not_public_is_forbidden_however_it_is_spelled() {
        let all = rules(&[("*", None, false)]);
        for bad in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::1]/",
            "http://[::]/",
            "http://0/",
            "http://0.0.0.0/",
            "http://169.254.169.254/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:7f00:1::]/",
            "http://10.0.0.1/",
            "http://1%32%37.0.0.1/",
            "http://127.0.0.1./",
            "http://\u{ff11}27.0.0.1/",
        ] {
            assert_eq!(check(&all, bad), None, "{bad}");
        }
        assert_eq!(check(&all, "http://1.1.1.1/"), Some(Reach::Public));
        assert_eq!(check(&all, "http://anything.example/"), Some(Reach::Public));
    }

    #[test]
    fn a_host_may_be_private_when_the_operator_names_it() {
        let some =
            rules(&[("127.0.0.1", Some(8080), true), ("inside", None, true), ("*", None, false)]);
        for (url, reach) in [
            ("http://127.0.0.1:8080/", Some(Reach::Anywhere)),
            ("http://2130706433:8080/", Some(Reach::Anywhere)),
            ("http://[::ffff:7f00:1]:8080/", Some(Reach::Anywhere)),
            ("http://127.0.0.1/", None),
            ("http://127.0.0.2:8080/", None),
            ("http://inside/", Some(Reach::Anywhere)),
            ("http://outside/", Some(Reach::Public)),
        ] {
            assert_eq!(check(&some, url), reach, "{url}");
        }
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        for (host, private) in [
            ("", false),
            ("a b", false),
            ("*.", false),
            ("*.1.2.3.4", false),
            ("*", true),
            ("*.x.org", true),
        ] {
            assert!(HostRule::parse(host, None, private).is_err(), "{host}");
        }
        for host in ["[::1]", "::1", "localhost", "10.0.0.5"] {
            assert!(HostRule::parse(host, None, true).is_ok(), "{host}");
        }
    }
}
