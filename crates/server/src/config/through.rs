//! The section `[pull_through]` of the configuration file: which remotes answer for which prefixes.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, anyhow, bail};
use model::{Account, Secret, TreePath};
use ops::through::{Limits, PullThrough, Remote, Rule, S3};
use outbound::{Client, Header, HostRule, Location, Rules, Timeouts};
use rusty_s3::{Bucket, UrlStyle};
use serde::Deserialize;

use super::limits::SECONDS_MAX;

/// The section as written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenThrough {
    running_max: usize,
    file_bytes_max: u64,
    negative_seconds: u64,
    rule: Vec<WrittenRule>,
}

impl Default for WrittenThrough {
    fn default() -> Self {
        let default = Limits::default();
        Self {
            running_max: default.running_max,
            file_bytes_max: default.bytes_max,
            negative_seconds: default.negative_secs,
            rule: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    prefix: String,
    url: Hidden,
    /// The remote may have an address that is not public.
    #[serde(default)]
    private: bool,
    #[serde(default)]
    headers: BTreeMap<String, Hidden>,
    s3: Option<WrittenBucket>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct WrittenBucket {
    bucket: String,
    region: String,
    access_key: String,
    secret_key: Hidden,
    #[serde(default)]
    prefix: String,
    /// The bucket is a part of the host's name, not of the path.
    #[serde(default)]
    virtual_host: bool,
}

/// What may be or hold a secret.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(transparent)]
struct Hidden(String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl WrittenThrough {
    /// What must be in bounds: key, value, least, most.
    pub(super) fn bounds(&self) -> [(&'static str, u64, u64, u64); 3] {
        let any = u64::MAX;
        let running = u64::try_from(self.running_max).unwrap_or(any);
        [
            ("[pull_through] running_max", running, 1, 10_000),
            ("[pull_through] file_bytes_max", self.file_bytes_max, 1, any),
            ("[pull_through] negative_seconds", self.negative_seconds, 0, SECONDS_MAX),
        ]
    }

    /// The rules, with a client that may ask their remotes and nobody else.
    pub(super) fn usable(&self, timeouts: Timeouts) -> anyhow::Result<PullThrough> {
        let (mut rules, mut allow) = (Vec::new(), Vec::new());
        for written in &self.rule {
            let (rule, host) = written
                .usable()
                .with_context(|| format!("[[pull_through.rule]] for {}", written.prefix))?;
            if rules.iter().any(|r: &Rule| r.account == rule.account && r.prefix == rule.prefix) {
                bail!("[[pull_through.rule]]: two for {}", written.prefix);
            }
            rules.push(rule);
            allow.push(host);
        }
        let client = Client::new(Rules { allow }, timeouts)?;
        let limits = Limits {
            running_max: self.running_max,
            bytes_max: self.file_bytes_max,
            negative_secs: self.negative_seconds,
        };
        Ok(PullThrough::new(rules, client, limits))
    }
}

impl WrittenRule {
    fn usable(&self) -> anyhow::Result<(Rule, HostRule)> {
        let path = TreePath::parse(&self.prefix).context("prefix")?;
        let mut segments = path.segments();
        let account = segments.next().context("the prefix begins with an account")?.to_owned();
        Account::check_name(&account).context("prefix")?;
        let prefix = TreePath::parse(&segments.collect::<Vec<_>>().join("/"))?;
        let base = Location::parse(&self.url.0).context("url")?;
        let remote = match &self.s3 {
            None => {
                if base.url().contains('?') {
                    bail!("url: what follows the prefix is appended, so there is no query");
                }
                let header = |(name, value): (&String, &Hidden)| Header {
                    name: name.clone(),
                    value: Secret::new(value.0.clone()),
                };
                Remote::Http { base, headers: self.headers.iter().map(header).collect() }
            }
            Some(_) if !self.headers.is_empty() => bail!("headers and s3 do not go together"),
            Some(written) => Remote::S3(written.usable(&base)?),
        };
        let asked = remote.location().context("url")?;
        let host = HostRule::parse(asked.host(), None, self.private).map_err(|why| anyhow!(why))?;
        Ok((Rule { account, prefix, remote }, host))
    }
}

impl WrittenBucket {
    fn usable(&self, endpoint: &Location) -> anyhow::Result<S3> {
        let endpoint = endpoint.url().parse().context("url")?;
        let style = if self.virtual_host { UrlStyle::VirtualHost } else { UrlStyle::Path };
        let bucket = Bucket::new(endpoint, style, self.bucket.clone(), self.region.clone())?;
        Ok(S3 {
            bucket,
            access_key: self.access_key.clone(),
            secret_key: Secret::new(self.secret_key.0.clone()),
            prefix: self.prefix.trim_start_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rules: &str) -> anyhow::Result<PullThrough> {
        let written: WrittenThrough = toml::from_str(rules)?;
        written.usable(Timeouts::default())
    }

    #[test]
    fn rules_are_checked() {
        let s3 = "s3 = { bucket = \"b\", region = \"r\", access_key = \"a\", secret_key = \"s\" }";
        for good in [
            "",
            "[[rule]]\nprefix = \"/acme\"\nurl = \"https://example.com/x/\"",
            "[[rule]]\nprefix = \"acme/a/b\"\nurl = \"http://10.0.0.1\"\nprivate = true\nheaders = { A = \"b\" }",
            &format!("[[rule]]\nprefix = \"acme\"\nurl = \"https://s3.example.com\"\n{s3}"),
        ] {
            assert!(read(good).is_ok(), "{good}: {:?}", read(good).err());
        }
        for bad in [
            "[[rule]]\nprefix = \"/\"\nurl = \"https://example.com\"",
            "[[rule]]\nprefix = \"/a.b/c\"\nurl = \"https://example.com\"",
            "[[rule]]\nprefix = \"/acme/../x\"\nurl = \"https://example.com\"",
            "[[rule]]\nprefix = \"/acme\"\nurl = \"ftp://example.com\"",
            "[[rule]]\nprefix = \"/acme\"\nurl = \"https://example.com/?x=1\"",
            "[[rule]]\nprefix = \"/acme\"",
            "[[rule]]\nprefix = \"/acme\"\nurl = \"https://a\"\n[[rule]]\nprefix = \"acme/\"\nurl = \"https://b\"",
            &format!(
                "[[rule]]\nprefix = \"acme\"\nurl = \"https://a\"\nheaders = {{ A = \"b\" }}\n{s3}"
            ),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let text =
            "[[rule]]\nprefix = \"acme\"\nurl = \"http://me:pw@a\"\nheaders = { A = \"sesame\" }";
        let written: WrittenThrough = toml::from_str(text).unwrap();
        let printed = format!("{written:?}");
        assert!(!printed.contains("sesame") && !printed.contains("pw@"), "{printed}");
    }
}
