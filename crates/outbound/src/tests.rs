//! The client against a server on loopback that says what a test tells it to say, byte for byte.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use model::Secret;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{Client, Credentials, Error, Get, Header, HostRule, Location, Post, Rules, Timeouts};

/// What a server does after having sent its bytes.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Silence,
    Repeat(&'static str),
}

struct Server {
    port: u16,
    /// Heads of the requests that came, in lower case.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers the n-th connection with the n-th answer (the last of them for ever). `PORT` in it is the server's own.
    async fn start(answers: &[&str], then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let answers: Vec<String> =
            answers.iter().map(|a| a.replace("PORT", &port.to_string())).collect();
        tokio::spawn(async move {
            for n in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                log.lock().unwrap().push(String::from_utf8(head).unwrap().to_lowercase());
                let answer = answers[n.min(answers.len() - 1)].clone();
                tokio::spawn(async move {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    match then {
                        Then::Close => {}
                        Then::Silence => std::future::pending().await,
                        Then::Repeat(text) => {
                            while stream.write_all(text.as_bytes()).await.is_ok() {}
                        }
                    }
                });
            }
        });
        Self { port, seen }
    }

    fn at(&self, path: &str) -> Location {
        Location::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn client(rules: &[(&str, bool)]) -> Client {
    let allow = rules.iter().map(|(host, private)| HostRule::parse(host, None, *private).unwrap());
    let short = Duration::from_millis(300);
    let timeouts = Timeouts { first_byte: short, idle: short, post: short, ..Timeouts::default() };
    Client::new(Rules { allow: allow.collect() }, timeouts).unwrap()
}

fn local() -> Client {
    client(&[("127.0.0.1", true)])
}

async fn read(client: &Client, get: &Get) -> Result<Vec<u8>, Error> {
    let mut fetched = client.get(get).await?;
    let mut all = Vec::new();
    while let Some(bytes) = fetched.chunk().await? {
        all.extend_from_slice(&bytes);
        assert!(all.len() < 10_000_000, "no bound");
    }
    Ok(all)
}

const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nContent-Type: text/x\r\n\r\nhello";

#[tokio::test]
async fn content_is_fetched_as_it_is_sent() {
    let server = Server::start(
        &["HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\nETag: \"a\"\r\nContent-Type: text/x\r\n\r\nhello"],
        Then::Close,
    )
    .await;
    let get = Get::new(server.at("/a%20b?q=1"), 5);
    let fetched = local().get(&get).await.unwrap();
    assert_eq!((fetched.status, fetched.length, fetched.first), (200, Some(5), None));
    assert_eq!(
        (fetched.etag.as_deref(), fetched.content_type.as_deref()),
        (Some("\"a\""), Some("text/x"))
    );
    assert_eq!(read(&local(), &get).await.unwrap(), b"hello");
    let seen = server.seen();
    assert!(seen[0].starts_with("get /a%20b?q=1 http/1.1\r\n"), "{seen:?}");
    assert!(seen[0].contains("accept-encoding: identity\r\n"), "{seen:?}");
    assert!(!seen[0].contains("range"), "{seen:?}");
}

#[tokio::test]
async fn a_part_is_asked_for_with_its_condition() {
    let server = Server::start(
        &["HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo"],
        Then::Close,
    )
    .await;
    let mut get = Get::new(server.at("/"), 5);
    (get.from, get.if_range) = (3, Some("\"a\"".to_owned()));
    let fetched = local().get(&get).await.unwrap();
    assert_eq!((fetched.status, fetched.first, fetched.length), (206, Some(3), Some(2)));
    let seen = server.seen();
    assert!(
        seen[0].contains("range: bytes=3-\r\n") && seen[0].contains("if-range: \"a\"\r\n"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn nothing_is_connected_to_without_a_rule() {
    let server = Server::start(&[HELLO], Then::Close).await;
    let get = Get::new(server.at("/"), 9);
    for none in [client(&[]), client(&[("*", false)]), client(&[("127.0.0.1", false)])] {
        assert!(matches!(none.get(&get).await, Err(Error::Forbidden(_))));
        assert!(matches!(none.check(&get.location), Err(Error::Forbidden(_))));
        let post = Post { location: server.at("/"), headers: Vec::new(), body: "x".into() };
        assert!(matches!(none.post(post).await, Err(Error::Forbidden(_))));
    }
    assert!(server.seen().is_empty());
    assert_eq!(read(&local(), &get).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_name_of_a_forbidden_address_is_refused_when_it_is_resolved() {
    let server = Server::start(&[HELLO], Then::Close).await;
    let location =
        Location::parse(&format!("http://localhost:{}/secret?x=1", server.port)).unwrap();
    let get = Get::new(location, 9);
    let public = client(&[("localhost", false)]);
    assert_eq!(public.check(&get.location), Ok(()));
    let refused = public.get(&get).await.unwrap_err();
    assert!(matches!(refused, Error::Forbidden(_)), "{refused:?}");
    assert_eq!(model::Error::from(refused), model::Error::InvalidUri);
    assert!(server.seen().is_empty());
    let allowed = client(&[("localhost", true)]);
    assert_eq!(read(&allowed, &get).await.unwrap(), b"hello");
}

#[tokio::test]
async fn redirects_are_followed_and_checked_each() {
    let to = |url: &str| {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    let server = Server::start(&[&to("/b#x"), HELLO], Then::Close).await;
    assert_eq!(read(&local(), &Get::new(server.at("/a"), 9)).await.unwrap(), b"hello");
    assert!(server.seen()[1].starts_with("get /b http/1.1"));

    for forbidden in [
        "http://127.0.0.2:PORT/",
        "http://localhost:PORT/",
        "http://169.254.169.254/",
        "http://[::1]:PORT/",
        "http://me:x@127.0.0.1:PORT/",
    ] {
        let server = Server::start(&[&to(forbidden), HELLO], Then::Close).await;
        let refused = read(&local(), &Get::new(server.at("/a"), 9)).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden(_)), "{forbidden} {refused:?}");
        assert_eq!(server.seen().len(), 1, "{forbidden}");
    }
    // A name that may be asked, with an address that may not be connected to.
    let server = Server::start(&[&to("http://localhost:PORT/"), HELLO], Then::Close).await;
    let both = client(&[("127.0.0.1", true), ("localhost", false)]);
    assert!(matches!(read(&both, &Get::new(server.at("/a"), 9)).await, Err(Error::Forbidden(_))));

    let server = Server::start(&[&to("file:///etc/passwd")], Then::Close).await;
    assert_eq!(read(&local(), &Get::new(server.at("/a"), 9)).await, Err(Error::Unusable));
    let server = Server::start(&[&to("/again")], Then::Close).await;
    assert!(matches!(read(&local(), &Get::new(server.at("/a"), 9)).await, Err(Error::Failed(_))));
    assert_eq!(server.seen().len(), 6);
}

#[test]
fn a_redirect_does_not_leave_https() {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("location", "http://a.example/".parse().unwrap());
    let hop = |from: &str| {
        let from = url::Url::parse(from).unwrap();
        crate::client::next_hop(&from, reqwest::StatusCode::FOUND, &headers)
    };
    assert!(matches!(hop("https://a.example/"), Err(Error::Forbidden(_))));
    assert!(matches!(hop("http://b.example/"), Ok(Some(_))));
}

#[tokio::test]
async fn credentials_go_to_the_origin_they_are_for() {
    let there = Server::start(&[HELLO], Then::Close).await;
    let away = format!(
        "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:{}/\r\nConnection: close\r\n\r\n",
        there.port
    );
    let here = Server::start(
        &[
            "HTTP/1.1 301 x\r\nLocation: http://127.0.0.1:PORT/here\r\nConnection: close\r\n\r\n",
            &away,
        ],
        Then::Close,
    )
    .await;
    let mut get = Get::new(here.at("/"), 9);
    get.credentials = Some(Credentials { username: "me".into(), password: Secret::new("pw") });
    get.headers = vec![Header { name: "X-Key".into(), value: Secret::new("v") }];
    assert_eq!(read(&local(), &get).await.unwrap(), b"hello");
    for seen in here.seen() {
        assert!(
            seen.contains("authorization: basic bwu6chc=") && seen.contains("x-key: v"),
            "{seen}"
        );
    }
    let seen = &there.seen()[0];
    assert!(!seen.contains("authorization") && !seen.contains("x-key"), "{seen}");
}

#[tokio::test]
async fn bodies_are_bounded_in_length_and_in_silence() {
    let endless = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let server = Server::start(&[endless], Then::Repeat("0123456789")).await;
    assert_eq!(read(&local(), &Get::new(server.at("/"), 1_000_000)).await, Err(Error::TooLarge));

    let said =
        Server::start(&["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"], Then::Silence).await;
    assert_eq!(local().get(&Get::new(said.at("/"), 5)).await.unwrap_err(), Error::TooLarge);
    let silent = read(&local(), &Get::new(said.at("/"), 6)).await.unwrap_err();
    assert!(matches!(silent, Error::Timeout(_)) && silent.is_transient());

    let cut =
        Server::start(&["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"], Then::Close).await;
    assert!(matches!(read(&local(), &Get::new(cut.at("/"), 6)).await, Err(Error::Failed(_))));

    let mute = Server::start(&[""], Then::Silence).await;
    assert!(matches!(local().get(&Get::new(mute.at("/"), 6)).await, Err(Error::Timeout(_))));
    let garbage = Server::start(&["SSH-2.0-x\r\n\r\n"], Then::Close).await;
    assert!(matches!(local().get(&Get::new(garbage.at("/"), 6)).await, Err(Error::Failed(_))));
}

#[tokio::test]
async fn a_post_is_sent_once_and_led_nowhere() {
    let server = Server::start(
        &["HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"],
        Then::Close,
    )
    .await;
    let headers =
        vec![Header { name: "Content-Type".into(), value: Secret::new("application/json") }];
    let post = Post { location: server.at("/a"), headers, body: "{}".into() };
    assert_eq!(local().post(post).await.unwrap(), 302);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].starts_with("post /a ") && seen[0].contains("content-type: application/json"),
        "{seen:?}"
    );
    let mute = Server::start(&[""], Then::Silence).await;
    let post = Post { location: mute.at("/a"), headers: Vec::new(), body: "{}".into() };
    assert!(matches!(local().post(post).await, Err(Error::Timeout(_))));
}

#[tokio::test]
async fn an_error_tells_no_more_than_the_host() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = format!("http://me:pw@127.0.0.1:{closed}/hidden?key=hidden");
    let e = local().get(&Get::new(Location::parse(&url).unwrap(), 9)).await.unwrap_err();
    let text = format!("{e} {e:?} {:?}", model::Error::from(e.clone()));
    assert!(e.is_transient() && !text.contains("hidden") && !text.contains("pw"), "{text}");
}
