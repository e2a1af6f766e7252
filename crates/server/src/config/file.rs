//! The configuration file (TOML): reading it, and the addresses to listen on. Its limits are in `limits`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::blobs::LocalOptions;
use anyhow::{Context, anyhow, bail};
use ops::link::PublicUrl;
use serde::Deserialize;

use super::{
    Listen, Wiring, limits,
    pull::WrittenPull,
    scrub::WrittenScrub,
    site::{Storage, WrittenSite},
    through::WrittenThrough,
};
use crate::process;

/// The configuration file as written. Unknown keys are refused: a misspelt limit must not be no limit.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    pub(super) listen: Vec<WrittenListen>,
    pub(super) storage: Storage,
    pub(super) limits: limits::General,
    pub(super) rate: limits::Rates,
    pub(super) form: limits::Form,
    pub(super) login: limits::Login,
    pub(super) multipart: limits::Multipart,
    pub(super) egress: Egress,
    pub(super) pull: WrittenPull,
    pub(super) pull_through: WrittenThrough,
    pub(super) events: limits::Events,
    pub(super) scrub: WrittenScrub,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenListen {
    address: SocketAddr,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Egress {
    public_url: String,
    pub(super) sandbox: bool,
    /// 0: a part of the machine's.
    memory_bytes: u64,
}

impl Default for Egress {
    fn default() -> Self {
        let front = front::Settings::default();
        Self { public_url: String::new(), sandbox: front.sandbox, memory_bytes: 0 }
    }
}

impl Egress {
    /// Memory for answers that may be given again, in bytes.
    pub(super) fn answers_bytes(&self) -> u64 {
        match self.memory_bytes {
            0 => process::answers_bytes(),
            bytes => bytes,
        }
    }
}

impl Written {
    /// What a file says; without one, nothing.
    pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let written: Self = toml::from_str(text)?;
        written.check()?;
        Ok(written)
    }

    /// Addresses to listen on, those of the command line (`plain`) first.
    pub(super) fn listen(&self, plain: Vec<SocketAddr>) -> anyhow::Result<Vec<Listen>> {
        listen(plain, &self.listen)
    }

    /// Where the store lies.
    pub(super) fn site(&self) -> WrittenSite<'_> {
        let Storage { catalog, blobs, key_file, .. } = &self.storage;
        WrittenSite { catalog, blobs, key_file }
    }

    /// What the operations are put together with.
    pub(super) fn wiring(&self) -> anyhow::Result<Wiring> {
        Ok(Wiring {
            limits: self.operations(),
            outbound: self.pull.client()?,
            through: self.pull_through.usable(self.pull.timeouts())?.into(),
            public_url: self.public_url()?,
            local: LocalOptions {
                reserve_bytes: self.storage.reserve_bytes,
                direct_from: self.storage.direct_io_after_bytes,
            },
        })
    }

    /// Where files are published.
    fn public_url(&self) -> anyhow::Result<Option<PublicUrl>> {
        let text = &self.egress.public_url;
        if text.is_empty() {
            return Ok(None);
        }
        let url =
            PublicUrl::parse(text).with_context(|| format!("[egress] public_url {text:?}"))?;
        Ok(Some(url))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The document that operators read.
    const DOCUMENT: &str = include_str!("../../../../docs/configuration.md");

    /// The first block of TOML in it.
    fn documented() -> &'static str {
        let (_, rest) = DOCUMENT.split_once("```toml\n").unwrap();
        rest.split_once("```").unwrap().0
    }

    #[test]
    fn the_document_has_every_key_with_its_default() {
        let mut documented: toml::Table = documented().parse().unwrap();
        let mut defaults = toml::Table::try_from(Written::default()).unwrap();
        assert!(documented.remove("listen").is_some(), "the document shows how");
        defaults.remove("listen");
        for table in [&mut documented, &mut defaults] {
            let pull = table.get_mut("pull").and_then(toml::Value::as_table_mut);
            assert!(pull.unwrap().remove("allow").is_some(), "the document shows how");
        }
        assert_eq!(documented, defaults);
    }

    #[test]
    fn the_document_s_example_is_one() {
        let written = Written::parse(documented()).unwrap();
        assert_eq!(written.listen.len(), 2);
        assert_eq!(written.operations(), ops::Limits::default());
        // How much memory there is, no document knows.
        let default =
            front::Settings { answers_bytes: process::answers_bytes(), ..Default::default() };
        assert_eq!(format!("{:?}", written.settings()), format!("{default:?}"));
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        let written = Written::read(None).unwrap();
        assert_eq!(written.operations(), ops::Limits::default());
        written.check().unwrap();
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(Written::parse("[limits]\nconections = 5").is_err());
        assert!(Written::parse("[limit]\nconnections = 5").is_err());
        let text = "[limits]\nconnections = 5\n[[listen]]\naddress = \"127.0.0.1:0\"";
        let written = Written::parse(text).unwrap();
        assert_eq!(written.settings().connections_max, 5);
        assert_eq!(written.listen(vec![]).unwrap().len(), 1);
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let text = "[[listen]]\naddress = \"127.0.0.1:0\"\ncertificate = \"a.pem\"";
        assert!(Written::parse(text).unwrap().listen(vec![]).is_err());
    }

    #[test]
    fn the_public_url_is_checked() {
        let url = |text: &str| Written::parse(text).unwrap().public_url();
        assert_eq!(url("").unwrap(), None);
        let given = url("[egress]\npublic_url = \"https://cdn.example.com/\"").unwrap().unwrap();
        assert_eq!(given.to_string(), "https://cdn.example.com");
        assert!(url("[egress]\npublic_url = \"cdn.example.com\"").is_err());
    }
}
