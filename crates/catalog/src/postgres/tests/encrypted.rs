//! A database that is reached over an encrypted connection, and who is believed to be it.

use model::Error;
use testbed::{Authority, Server};

use super::super::Postgres;
use super::{OPTIONS, open};
use crate::suite::{ROOT, check_dir, with_root};

/// The name that is certified; it leads to the loopback interface, as does the address.
const HOST: &str = "localhost";

#[tokio::test]
async fn only_who_is_vouched_for_is_believed() {
    let (server, authority) = Server::encrypted(HOST);
    let database = server.database();
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Authority::new(elsewhere.path());
    let url = |host: &str, mode: &str, authority: &Authority| {
        let roots = authority.certificate();
        database.url_at(host, &format!("sslmode={mode}&sslrootcert={}", roots.display()))
    };
    let right = url(HOST, "verify-full", &authority);
    let catalog = with_root(&|| open(&right)).await;
    assert_eq!(catalog.read(|r| check_dir(r, ROOT)).await, Ok(Vec::new()));
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid) \
         WHERE a.application_name = 'headwater'";
    assert_eq!(database.sql(encrypted).trim(), "t");
    drop(catalog);
    let refused = [
        ("another name", url("127.0.0.1", "verify-full", &authority)),
        ("nobody vouches for it", url(HOST, "verify-full", &stranger)),
        // There is no mode that encrypts and believes anybody.
        ("nobody vouches for it, and nobody asks", url(HOST, "require", &stranger)),
    ];
    for (why, url) in refused {
        let error = Postgres::open(&url, OPTIONS).err();
        let certificate =
            |e: &Error| matches!(e, Error::Unavailable(why) if why.contains("certificate"));
        assert!(error.as_ref().is_some_and(certificate), "{why}: {error:?}");
    }
}
