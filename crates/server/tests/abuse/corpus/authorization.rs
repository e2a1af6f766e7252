//! Tokens, passwords, signatures and links that are not right, or not any more, or twice.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{
    Row, Stand,
    Want::{Code, Status, Told},
    adds, call, row,
};
use crate::{
    full,
    harness::{
        Client, Connection, Form, PASSWORD, Server, Setup, USER, ask, now_secs, rpc_raw, wait_until,
    },
    signing::{BASE, Pair, URL_SECRET, link, soon},
};

#[test]
fn tokens() {
    let mut stand = Stand::start("");
    let anna = stand.anna.clone();
    stand.server.admin_ok(&["account", "add", "zoo"], "");
    stand.server.add_user("zoe", "zoo", &[]);
    let ended = stand.server.login();
    assert_eq!(ended.code("logout", json!([])), 0);
    let expired = {
        let short = anna.rpc("authenticate", json!(["zoe", PASSWORD, 1]))["result"].clone();
        let client = anna.with_token(short["token"].as_str().unwrap());
        wait_until("the end of a session", || client.code("checkToken", json!([])) == -10_001);
        client.token
    };
    let zoe = stand.server.login_as("zoe", PASSWORD);
    let mut rows: Vec<Row> = Vec::new();
    let long = "y".repeat(60_000);
    let bad = [
        "",
        "x",
        "00000000-0000-4000-8000-000000000000",
        &ended.token,
        &expired,
        &long,
        "' OR '1'='1",
    ];
    for token in bad {
        for path in [
            "/post/raw",
            "/post/directory",
            "/post/file",
            "/multipart/create",
            "/multipart/piece",
            "/multipart/complete",
        ] {
            let asked =
                ask("POST", path).with("X-Agile-Directory", "/dir/new").body("x").token(token);
            rows.push(row(format!("{path} {token:.20}"), stand.bytes(&asked), Told(403, -10_001)));
        }
        let query = ask("POST", &format!("/post/file?token={}", token.replace([' ', '\''], "+")));
        let query = query
            .with("Content-Type", crate::harness::form_type())
            .body(Form::new().file("f", b"x").bytes());
        rows.push(row(
            format!("in the query: {token:.20}"),
            stand.bytes(&query),
            Told(403, -10_001),
        ));
        let params = json!([token, "/dir/new"]).to_string();
        rows.push(row(
            format!("makeDir {token:.20}"),
            call(&stand, "makeDir", &params),
            Code(vec![-10_001]),
        ));
    }
    for path in [
        "/post/raw",
        "/post/directory",
        "/post/file",
        "/multipart/create",
        "/multipart/piece",
        "/multipart/complete",
    ] {
        let none = ask("POST", path).with("X-Agile-Directory", "/dir/new").body("x");
        rows.push(row(format!("{path}, none"), stand.bytes(&none), Told(401, -10_001)));
        let twice = none.token(&anna.token).token(&anna.token);
        rows.push(row(format!("{path}, twice"), stand.bytes(&twice), super::Want::Refused));
    }
    // In the header and in the query, and they differ: neither counts.
    for (header, query) in
        [(&anna.token, &zoe.token), (&zoe.token, &anna.token), (&anna.token, &ended.token)]
    {
        let asked = ask("POST", &format!("/post/file?token={query}")).token(header);
        let asked = asked
            .with("Content-Type", crate::harness::form_type())
            .body(Form::new().file("f", b"x").bytes());
        rows.push(row("two tokens that differ", stand.bytes(&asked), super::Want::Refused));
    }
    // Another account's: its own tree, never this one.
    let foreign = json!([zoe.token, "/dir/kept"]).to_string();
    for (method, code) in [("stat", -1), ("deleteFile", -1), ("listDir", -1)] {
        rows.push(row(
            format!("{method} by a stranger"),
            call(&stand, method, &foreign),
            Code(vec![code]),
        ));
    }
    // A password of a megabyte, however it comes, is no password.
    let password = "p".repeat(1 << 20);
    let params = json!([USER, password]).to_string();
    rows.push(row("a password of 1 MB", call(&stand, "login", &params), Code(vec![-10_001])));
    rows.push(row("the same", call(&stand, "authenticate", &params), Code(vec![-10_001])));
    let login = ask("POST", "/account/login").with("X-Agile-Username", USER);
    let large = login.clone().with("X-Agile-Password", &password);
    rows.push(row("the same in a header", stand.bytes(&large), Status(431)));
    for (name, password) in [
        (USER, ""),
        ("", PASSWORD),
        (USER, "wrong"),
        ("nobody", PASSWORD),
        ("ANNA", PASSWORD),
        ("anna\0", PASSWORD),
    ] {
        let params = json!([name, password]).to_string();
        rows.push(row(
            format!("{name:?}"),
            call(&stand, "login", &params),
            Code(vec![-10_001, -40, -41]),
        ));
    }
    stand.run(rows);
    stand.finish("tokens and passwords", &[&zoe.token, &ended.token, &expired, &password[..100]]);
}

#[test]
fn signatures() {
    let mut stand = Stand::start("");
    let anna = stand.anna.clone();
    let old = Pair::make(&anna);
    let pair = Pair::make(&anna);
    let mut rows: Vec<Row> = Vec::new();
    let path = "/post/directory";
    let term = "directory=/dir/new";
    let new = |header: String| {
        ask("POST", path)
            .with("X-Agile-Directory", "/dir/new")
            .with("X-Agile-Signature", header)
            .body("")
    };
    let right = pair.header(path, soon(), &[term]);
    let altered = format!("{}A{}", &right[..right.len() - 10], &right[right.len() - 9..]);
    let altered = if altered == right { right.replace("new", "old") } else { altered };
    let (message, signature) = right.split_once("&signature=").unwrap();
    for (what, header) in [
        ("expired by a second", pair.header(path, now_secs() - 1, &[term])),
        ("ends now", pair.header(path, now_secs(), &[term])),
        ("too far in the future", pair.header(path, now_secs() + 604_900, &[term])),
        ("the largest expiry", pair.header(path, u64::MAX, &[term])),
        ("altered", altered),
        ("cut", right[..right.len() - 4].to_owned()),
        ("without one", format!("{message}&signature=")),
        ("no signature at all", message.to_owned()),
        ("of a header that is missing", pair.header(path, soon(), &[term, "mtime=5"])),
        ("not of a header that is there", pair.header(path, soon(), &[])),
        ("of another value", pair.header(path, soon(), &["directory=/dir/old"])),
        ("of another path", pair.header("/post/raw", soon(), &[term])),
        ("a term twice", pair.header(path, soon(), &[term, term])),
        (
            "an expiry twice",
            format!(
                "{path}?expiry=9999999999&{}&signature={signature}",
                &message[path.len() + 1..]
            ),
        ),
        ("an old key pair", old.header(path, soon(), &[term])),
        (
            "a key that nobody has",
            Pair { access: "0".repeat(32), ..pair.clone() }.header(path, soon(), &[term]),
        ),
        (
            "another's secret",
            Pair { secret: old.secret.clone(), ..pair.clone() }.header(path, soon(), &[term]),
        ),
        (
            "an empty secret",
            Pair { secret: String::new(), ..pair.clone() }.header(path, soon(), &[term]),
        ),
        ("noise", "x".repeat(40_000)),
        ("nothing", String::new()),
    ] {
        rows.push(row(what, stand.bytes(&new(header)), Told(403, -10_001)));
    }
    let unsigned = new(pair.header(path, soon(), &[term])).with("X-Agile-Recursive", "true");
    rows.push(row("a header that is not signed", stand.bytes(&unsigned), Told(403, -10_001)));
    let twice = new(pair.header(path, soon(), &[term])).with("X-Agile-Directory", "/dir/new");
    rows.push(row("a signed header twice", stand.bytes(&twice), Told(403, -10_001)));
    let two = new(pair.header(path, soon(), &[term])).with("X-Agile-Signature", &right);
    rows.push(row("two signatures", stand.bytes(&two), Told(403, -10_001)));
    let used = stand.bytes(&new(right.clone()));
    rows.push(adds("a good one", used.clone(), Told(200, 0), "/dir/new"));
    rows.push(row("used twice", used.clone(), Told(403, -10_001)));
    rows.push(row("used thrice", used, Told(403, -10_001)));
    stand.run(rows);
    // By fifty at once: one of them is first.
    let asked = pair.directory("raced", soon());
    let address = stand.server.address();
    let done = thread::scope(|scope| {
        let all: Vec<_> = (0..50).map(|_| scope.spawn(|| asked.send(address).told())).collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|told| *told == (200, 0)).count()
    });
    assert_eq!(done, 1, "one signature, used by fifty at once");
    assert_eq!(anna.code("deleteDir", json!(["/raced"])), 0);
    stand.server.kill();
    stand.server.start_again();
    let again = asked.send(stand.server.address());
    assert_eq!(again.told(), (403, -10_001), "used again after a restart");
    stand.anna.address = stand.server.address();
    let (one, two) = (&pair.secret[..], signature);
    stand.finish("signatures", &[one, two, &old.secret]);
}

#[test]
fn links() {
    let stand = Stand::start(&format!("[egress]\npublic_url = \"{BASE}\"\n"));
    let path = "/acme/dir/kept";
    let secret = format!("{URL_SECRET}\n");
    let later = soon();
    let good = link(path, &format!("e={later}"));
    let hash = good.rsplit('=').next().unwrap().to_owned();
    let mut rows: Vec<Row> = Vec::new();
    for (what, target) in [
        ("no link", path.to_owned()),
        ("an altered path", good.replace("/kept", "/other")),
        ("an altered time", good.replace(&format!("e={later}"), &format!("e={}", later + 1))),
        ("a time twice", good.replace("?e=", &format!("?e={}&e=", later + 99))),
        ("a cut hash", good[..good.len() - 1].to_owned()),
        ("half a hash", good[..good.len() - 32].to_owned()),
        ("an empty hash", good.replace(&hash, "")),
        ("another hash", good.replace(&hash, &"0".repeat(64))),
        ("no time", link(path, "").replace("?&", "?e=1&")),
        ("over", link(path, &format!("e={}", now_secs() - 2))),
        ("not yet", link(path, &format!("s={}", now_secs() + 1000))),
        ("for somebody else", link(path, "ip=192.0.2.1")),
        ("another spelling", good.replace("/acme/", "/%61cme/")),
        ("the other hash", good.replace("va=2", "va=1")),
        (
            "a longer prefix",
            link("/acme/dir/ke", &format!("e={later}&p=999")).replace("/ke?", "/kept?"),
        ),
    ] {
        for method in ["GET", "HEAD"] {
            let bytes = stand.bytes(&ask(method, &target));
            rows.push(row(format!("{method}, {what}"), bytes, Status(403)));
        }
    }
    rows.push(row("a good one", stand.bytes(&ask("GET", &good)), Status(200)));
    stand.server.admin_ok(&["url", "secret", "add", "acme", "--stdin"], &secret);
    // Run as a table of its own: here the account is private, and only its user gets what is kept.
    stand.server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    let (anna, count) = (stand.anna.clone(), rows.len());
    for row in rows {
        let super::Bytes::Whole(bytes) = &row.bytes else { unreachable!() };
        let mut connection = Connection::open(anna.address);
        connection.send(bytes).unwrap();
        let method = if bytes.starts_with(b"HEAD") { "HEAD" } else { "GET" };
        let answer = connection.answer(method).unwrap();
        answer.check_invariants();
        let Status(wanted) = row.want else { unreachable!() };
        assert_eq!(answer.status, wanted, "{}: {answer:?}", row.what);
    }
    println!("links: {count} bad inputs");
    stand.server.admin_ok(&["account", "set", "acme", "--private", "false"], "");
    stand.finish("links", &[&hash, URL_SECRET, "va=2"]);
}

/// Ten thousand wrong passwords: none gets in, the server does not tire, others are not kept waiting.
#[test]
fn guessing() {
    const GUESSERS: usize = 48;
    let guesses = if full() { 10_000 } else { 500 };
    let config = "[login]\nfree_per_user = 3\nfree_per_address = 3\nfirst_delay_ms = 1\nlongest_delay_ms = 20\n";
    let mut server =
        Server::start_with(Setup { config: Some(config.to_owned()), ..Setup::default() });
    server.add_user("ben", "acme", &[]);
    let (address, next) = (server.address(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..GUESSERS {
            scope.spawn(|| {
                loop {
                    let guess = next.fetch_add(1, Ordering::Relaxed);
                    if guess >= guesses {
                        return;
                    }
                    let params = json!([USER, format!("guess {guess}")]);
                    let call =
                        json!({"jsonrpc": "2.0", "method": "login", "params": params, "id": 1});
                    let answer: Value = rpc_raw(address, "/jsonrpc2", call.to_string()).json();
                    assert_eq!(answer["result"], json!([null, null]));
                }
            });
        }
        // In the middle of it, from another address, another user gets in at once.
        wait_until("half of the guesses", || next.load(Ordering::Relaxed) > guesses / 2);
        let mut connection = Connection::open_from([127, 0, 0, 2].into(), address);
        let call =
            json!({"jsonrpc": "2.0", "method": "login", "params": ["ben", PASSWORD], "id": 1});
        let answer = connection.ask(&ask("POST", "/jsonrpc2").body(call.to_string())).json();
        assert!(answer["result"][0].is_string(), "{answer}");
    });
    assert!(server.lives());
    wait_until("the user to get in again", || {
        let answer = Client::nobody(address).rpc("login", json!([USER, PASSWORD]));
        answer["result"][0].is_string()
    });
    assert!(!server.log().contains("guess "), "a password in the log");
    println!("guessing: {guesses} bad inputs");
}
