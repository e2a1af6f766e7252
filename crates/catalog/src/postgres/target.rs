//! Where the database is: a `postgres://` URL, and how a connection to it is protected.
//!
//! What lives here: what the URL may say beyond what `tokio-postgres` reads, and the certificates that count. What does
//! not: connecting (`line`).
//!
//! `sslmode=disable` asks for no TLS, `require`, `verify-ca` and `verify-full` for TLS to a server whose certificate fits
//! its name: encryption to whoever answers protects nothing, so there is none. Without `sslmode` it is `disable` on Unix
//! sockets and on this host, and `verify-full` elsewhere. `sslrootcert` names a PEM file of authorities beside the
//! system's.
//!
//! `statements=named` lets statements be prepared once a connection, which halves what small ones cost the server and
//! spares path walks most of it. Not through a pooler: it hands a connection to others, to whom the same name means
//! something else. So it is off unless it is asked for.

use std::sync::Arc;

use model::{Error, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A database that connections are made to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: MakeRustlsConnect,
    /// Whether statements are prepared under names.
    pub(super) named: bool,
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::Storage(format!("the catalog's URL: {what}"))
}

/// The parameters of the URL that are ours, and the URL without them.
#[derive(Default)]
struct Own {
    url: String,
    mode: Option<String>,
    roots: Option<String>,
    statements: Option<String>,
}

/// Takes ours out of a URL.
fn own(url: &str) -> Own {
    let mut own = Own { url: url.to_owned(), ..Own::default() };
    let Some((before, query)) = url.split_once('?') else { return own };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => own.mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => own.roots = Some(value.to_owned()),
            Some(("statements", value)) => own.statements = Some(value.to_owned()),
            _ => rest.push(pair),
        }
    }
    own.url =
        if rest.is_empty() { before.to_owned() } else { format!("{before}?{}", rest.join("&")) };
    own
}

fn is_near(config: &tokio_postgres::Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]"),
    })
}

impl Target {
    /// From a URL.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let Own { url, mode, roots, statements } = own(url);
        let named = match statements.as_deref() {
            None | Some("unnamed") => false,
            Some("named") => true,
            Some(other) => {
                return Err(wrong(format!("statements={other} is neither named nor unnamed")));
            }
        };
        // The parser's own words would repeat the URL, and with it the password.
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|_| wrong("it is none that PostgreSQL knows"))?;
        let mode = match mode.as_deref() {
            Some("disable") => SslMode::Disable,
            Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
            None if is_near(&config) => SslMode::Disable,
            None => SslMode::Require,
            Some(other) => {
                return Err(wrong(format!(
                    "sslmode={other} is none of disable, require, verify-ca, verify-full"
                )));
            }
        };
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("headwater");
        }
        let roots = if mode == SslMode::Disable { RootCertStore::empty() } else { trusted(roots)? };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config, tls: MakeRustlsConnect::new(tls), named })
    }
}

/// The system's authorities, and those of a file.
fn trusted(file: Option<String>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = file {
        let unread = |e| wrong(format!("sslrootcert={file}: {e}"));
        for certificate in CertificateDer::pem_file_iter(&file).map_err(unread)? {
            roots.add(certificate.map_err(unread)?).map_err(wrong)?;
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Option<SslMode> {
        Target::parse(url).ok().map(|target| target.config.get_ssl_mode())
    }

    #[test]
    fn who_is_far_is_encrypted() {
        assert_eq!(mode("postgres://u:p@db.example/x"), Some(SslMode::Require));
        assert_eq!(mode("postgres://u@localhost/x"), Some(SslMode::Disable));
        assert_eq!(mode("postgresql://u@/x?host=/run/postgresql"), Some(SslMode::Disable));
        assert_eq!(mode("postgres://u@localhost/x?sslmode=verify-full"), Some(SslMode::Require));
        assert_eq!(mode("postgres://u@db/x?sslmode=disable&port=5"), Some(SslMode::Disable));
        assert_eq!(mode("postgres://u@db/x?sslmode=prefer"), None, "protects nothing");
        assert_eq!(mode("postgres://u@db/x?sslrootcert=/nowhere"), None);
    }

    #[test]
    fn names_are_asked_for() {
        let named = |url| Target::parse(url).ok().map(|target| target.named);
        assert_eq!(named("postgres://u@localhost/x"), Some(false));
        assert_eq!(named("postgres://u@localhost/x?statements=named&port=5"), Some(true));
        assert_eq!(named("postgres://u@localhost/x?statements=yes"), None);
    }

    #[test]
    fn passwords_are_not_repeated() {
        let error = Target::parse("postgres://u:secret@db:port/x").err().unwrap().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
