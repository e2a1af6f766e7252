//! The configuration file (TOML): what may be written in it, and what it means.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use ops::{link::PublicUrl, multipart, throttle::SlowDown};
use serde::Deserialize;

use super::Listen;

/// The configuration file as written. Unknown keys are refused: a misspelt limit must not be no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    listen: Vec<WrittenListen>,
    limits: WrittenLimits,
    login: WrittenLogin,
    multipart: WrittenMultipart,
    egress: WrittenEgress,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenListen {
    address: SocketAddr,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLimits {
    connections: Option<usize>,
    header_seconds: Option<u64>,
    body_idle_seconds: Option<u64>,
    rpc_body_bytes: Option<usize>,
    stop_seconds: Option<u64>,
    signature_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLogin {
    free_per_user: Option<u32>,
    free_per_address: Option<u32>,
    first_delay_ms: Option<u64>,
    longest_delay_ms: Option<u64>,
    forget_after_seconds: Option<u64>,
    waiting_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenMultipart {
    pieces_max: Option<u32>,
    piece_bytes_max: Option<u64>,
    upload_bytes_max: Option<u64>,
    unfinished_max: Option<u64>,
    expire_seconds: Option<u64>,
    keep_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEgress {
    public_url: Option<String>,
}

impl Written {
    /// What a file says; without one, nothing.
    pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Addresses to listen on, those of the command line (`plain`) first.
    pub(super) fn listen(&self, plain: Vec<SocketAddr>) -> anyhow::Result<Vec<Listen>> {
        listen(plain, &self.listen)
    }

    /// What the front is told.
    pub(super) fn settings(&self) -> front::Settings {
        settings(&self.limits)
    }

    /// What the operations are told.
    pub(super) fn operations(&self) -> ops::Limits {
        let default = ops::Limits::default();
        ops::Limits {
            slow_down: slow_down(&self.login),
            multipart: multipart_limits(&self.multipart),
            events: default.events,
            signature_secs_max: self.limits.signature_seconds.unwrap_or(default.signature_secs_max),
        }
    }

    /// The base of the URLs that files are published under.
    pub(super) fn public_url(&self) -> anyhow::Result<Option<PublicUrl>> {
        let Some(text) = &self.egress.public_url else { return Ok(None) };
        let url =
            PublicUrl::parse(text).with_context(|| format!("[egress] public_url {text:?}"))?;
        Ok(Some(url))
    }

    /// How long running requests may take after a signal to stop.
    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.limits.stop_seconds.unwrap_or(30))
    }
}

/// Addresses of the command line and the file together; 127.0.0.1:8080 when neither names one.
fn listen(plain: Vec<SocketAddr>, written: &[WrittenListen]) -> anyhow::Result<Vec<Listen>> {
    let mut listen: Vec<Listen> =
        plain.into_iter().map(|address| Listen { address, tls: None }).collect();
    for one in written {
        let tls = match (&one.certificate, &one.key) {
            (Some(certificate), Some(key)) => Some(tls(certificate, key)?),
            (None, None) => None,
            _ => bail!("listen {}: certificate and key go together", one.address),
        };
        listen.push(Listen { address: one.address, tls });
    }
    if listen.is_empty() {
        listen.push(Listen { address: SocketAddr::from(([127, 0, 0, 1], 8080)), tls: None });
    }
    Ok(listen)
}

/// A TLS set-up from PEM files: the certificate chain, and its key.
fn tls(certificate: &Path, key: &Path) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| anyhow!("{}: {e}", certificate.display()))?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|e| anyhow!("{}: {e}", key.display()))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("{} with {}", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn settings(written: &WrittenLimits) -> front::Settings {
    let mut settings = front::Settings::default();
    if let Some(connections) = written.connections {
        settings.connections_max = connections;
    }
    if let Some(seconds) = written.header_seconds {
        settings.header_read_timeout = Duration::from_secs(seconds);
    }
    if let Some(seconds) = written.body_idle_seconds {
        settings.body_idle_timeout = Duration::from_secs(seconds);
    }
    if let Some(bytes) = written.rpc_body_bytes {
        settings.rpc_body_bytes_max = bytes;
    }
    settings
}

fn slow_down(written: &WrittenLogin) -> SlowDown {
    let default = SlowDown::default();
    SlowDown {
        free_per_user: written.free_per_user.unwrap_or(default.free_per_user),
        free_per_address: written.free_per_address.unwrap_or(default.free_per_address),
        first_delay_ms: written.first_delay_ms.unwrap_or(default.first_delay_ms),
        longest_delay_ms: written.longest_delay_ms.unwrap_or(default.longest_delay_ms),
        forget_after_ms: written.forget_after_seconds.map_or(default.forget_after_ms, |s| s * 1000),
        waiting_max: written.waiting_max.unwrap_or(default.waiting_max),
    }
}

/// `expire_seconds = 0`: uploads do not expire.
fn multipart_limits(written: &WrittenMultipart) -> multipart::Limits {
    let default = multipart::Limits::default();
    let expire_secs = match written.expire_seconds {
        None => default.expire_secs,
        Some(0) => None,
        Some(secs) => Some(secs),
    };
    multipart::Limits {
        pieces_max: written.pieces_max.unwrap_or(default.pieces_max),
        piece_bytes_max: written.piece_bytes_max.unwrap_or(default.piece_bytes_max),
        upload_bytes_max: written.upload_bytes_max.unwrap_or(default.upload_bytes_max),
        unfinished_max: written.unfinished_max.unwrap_or(default.unfinished_max),
        expire_secs,
        keep_secs: written.keep_seconds.unwrap_or(default.keep_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<Written>("[limits]\nconections = 5").is_err());
        let written: Written =
            toml::from_str("[limits]\nconnections = 5\n[[listen]]\naddress = \"127.0.0.1:0\"")
                .unwrap();
        assert_eq!(settings(&written.limits).connections_max, 5);
        assert_eq!(listen(vec![], &written.listen).unwrap().len(), 1);
    }

    #[test]
    fn limits_of_multipart_uploads() {
        let limits =
            |text: &str| multipart_limits(&toml::from_str::<Written>(text).unwrap().multipart);
        let default = multipart::Limits::default();
        assert_eq!(limits(""), default);
        let changed = limits("[multipart]\npieces_max = 3\nexpire_seconds = 0\nkeep_seconds = 0");
        assert_eq!((changed.pieces_max, changed.expire_secs, changed.keep_secs), (3, None, 0));
        assert_eq!(limits("[multipart]\nexpire_seconds = 5").expire_secs, Some(5));
        assert_eq!(changed.piece_bytes_max, default.piece_bytes_max);
    }

    #[test]
    fn the_public_url_is_checked() {
        let url = |text: &str| toml::from_str::<Written>(text).unwrap().public_url();
        assert_eq!(url("").unwrap(), None);
        let given = url("[egress]\npublic_url = \"https://cdn.example.com/\"").unwrap().unwrap();
        assert_eq!(given.to_string(), "https://cdn.example.com");
        assert!(url("[egress]\npublic_url = \"cdn.example.com\"").is_err());
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let written: Written =
            toml::from_str("[[listen]]\naddress = \"127.0.0.1:0\"\ncertificate = \"a.pem\"")
                .unwrap();
        assert!(listen(vec![], &written.listen).is_err());
    }
}
