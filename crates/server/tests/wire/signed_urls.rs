//! Signed URLs (protocol.md, section 10): every term, both hashes, both secrets, and what must not be changed. The signer
//! here is the test's own; MD5 comes from Python, so that product and test share no code.

use std::process::Command;

use serde_json::json;

use crate::harness::{
    Answer, Client, Connection, Server, Setup, ask, noise, now_secs, sha256, wait_until,
};

/// Not where the server listens: the hash is computed over what is published.
pub(crate) const BASE: &str = "https://cdn.example.com";
pub(crate) const SECRET: &str = "it's a s3cret";

/// A server with a public URL.
pub(crate) fn start() -> Server {
    let config = format!("[egress]\npublic_url = \"{BASE}/\"\n");
    Server::start_with(Setup { config: Some(config), ..Setup::default() })
}

/// Gives an account the secret [`SECRET`].
pub(crate) fn give_secret(server: &Server, account: &str) {
    server.admin_ok(&["url", "secret", "add", account, "--stdin"], &format!("{SECRET}\n"));
}

pub(crate) fn md5(text: &str) -> String {
    let program = "import hashlib,sys; print(hashlib.md5(sys.argv[1].encode()).hexdigest())";
    let output = Command::new("/usr/bin/python3").args(["-c", program, text]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The target of a link to `path` with `terms`, signed with SHA-256.
pub(crate) fn signed_with(secret: &str, path: &str, terms: &str) -> String {
    let terms = if terms.is_empty() { "va=2".to_owned() } else { format!("{terms}&va=2") };
    let hash = sha256(format!("{secret}{BASE}{path}?{terms}").as_bytes());
    format!("{path}?{terms}&h={hash}")
}

pub(crate) fn signed(path: &str, terms: &str) -> String {
    signed_with(SECRET, path, terms)
}

/// A private account with a file, and nobody logged in.
fn private() -> (Server, Client) {
    let server = start();
    server.login().put("/dir/a b.txt", b"0123456789");
    give_secret(&server, "acme");
    server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    let nobody = Client::nobody(server.address());
    (server, nobody)
}

const FILE: &str = "/acme/dir/a%20b.txt";

fn served(answer: &Answer) {
    assert_eq!((answer.status, &answer.body[..]), (200, &b"0123456789"[..]), "{answer:?}");
}

#[test]
fn md5_and_sha256() {
    let (server, nobody) = private();
    let terms = format!("e={}", now_secs() + 100);
    let hash = md5(&format!("{SECRET}{BASE}{FILE}?{terms}"));
    served(&nobody.get(&format!("{FILE}?{terms}&h={hash}")));
    served(&nobody.get(&format!("{FILE}?{terms}&h={}", hash.to_uppercase())));
    served(&nobody.get(&signed(FILE, &terms)));
    // Without terms, with and without the question mark: signers differ.
    for text in [format!("{SECRET}{BASE}{FILE}"), format!("{SECRET}{BASE}{FILE}?")] {
        served(&nobody.get(&format!("{FILE}?h={}", md5(&text))));
    }
    // Neither hash stands for the other.
    let sha = sha256(format!("{SECRET}{BASE}{FILE}?{terms}").as_bytes());
    assert_eq!(nobody.get(&format!("{FILE}?{terms}&h={sha}")).status, 403);
    let with_va = format!("{terms}&va=2");
    let hash = md5(&format!("{SECRET}{BASE}{FILE}?{with_va}"));
    assert_eq!(nobody.get(&format!("{FILE}?{with_va}&h={hash}")).status, 403);
    assert!(!server.log().contains(&hash) && !server.log().contains("va=2"), "a query in the log");
}

#[test]
fn nothing_signed_may_change() {
    let (server, nobody) = private();
    server.login().put("/dir/other.txt", b"another");
    let later = now_secs() + 100;
    let good = signed(FILE, &format!("e={later}"));
    served(&nobody.get(&good));
    let (signed_part, hash) = good.split_once("&h=").unwrap();
    for changed in [
        good.replace("a%20b", "other"),
        good.replace("/dir/", "//dir/"),
        good.replace("a%20b", "%61%20b"),
        good.replace(&later.to_string(), &(later + 1).to_string()),
        good.replace("va=2&", "&va=2&"),
        format!("{signed_part}&dl=1&h={hash}"),
        format!("{signed_part}&h={}", &hash[..62]),
        format!("{signed_part}&h={}", &hash[..32]),
        format!("{signed_part}&h={hash}00"),
        format!("{signed_part}&h=z{}", &hash[1..]),
        format!("{signed_part}&h={}", "0".repeat(64)),
        format!("{signed_part}&h="),
        format!("{signed_part}&h"),
        format!("{FILE}?h={hash}"),
        signed_part.to_owned(),
        FILE.to_owned(),
        signed_with("", FILE, &format!("e={later}")),
        signed_with("It's a s3cret", FILE, &format!("e={later}")),
        good.replace("&h=", "&H="),
    ] {
        assert_eq!(nobody.get(&changed).status, 403, "{changed}");
    }
    // Whatever comes after the hash is not signed and ignored.
    for more in ["&utm=1", "&e=1", "&h=0", "&dl=1", "&x=%00", "&&", "&s=99999999999", "&va=9"] {
        let answer = nobody.get(&format!("{good}{more}"));
        served(&answer);
        assert!(answer.header("Content-Disposition").is_none(), "{more}");
    }
    // The link of one spelling is right for that one.
    served(&nobody.get(&signed("//acme//dir/%61%20b.txt", "")));
}

#[test]
fn terms_that_cannot_be_read() {
    let (_server, nobody) = private();
    let later = now_secs() + 100;
    for bad in [
        format!("e={later}&e={later}"),
        "x=1&x=1".to_owned(),
        "e=".to_owned(),
        "e=-1".to_owned(),
        "e=tomorrow".to_owned(),
        "e=99999999999999999999".to_owned(),
        "s=".to_owned(),
        "ip=nowhere".to_owned(),
        "ip=127.0.0.1/33".to_owned(),
        "p=x".to_owned(),
        "r=".to_owned(),
        "rs=0".to_owned(),
        "va=2".to_owned(),
        "dl=x".to_owned(),
    ] {
        assert_eq!(nobody.get(&signed(FILE, &bad)).status, 403, "{bad}");
    }
    for good in ["other=1", "x&y=&z=%zz", "&&", "S=1&E=1"] {
        served(&nobody.get(&signed(FILE, good)));
    }
}

#[test]
fn the_window() {
    let (_server, nobody) = private();
    let now = now_secs();
    for (terms, status) in [
        (format!("e={}", now + 100), 200),
        (format!("e={}", now - 1), 403),
        ("e=0".to_owned(), 403),
        (format!("s={now}"), 200),
        (format!("s={}", now + 100), 403),
        (format!("e={}&s={}", now + 100, now - 100), 200),
        (format!("s={}&e={}", now + 100, now + 200), 403),
        (format!("s={}&e={}", now - 200, now - 100), 403),
        (format!("e={}", u64::MAX), 200),
    ] {
        assert_eq!(nobody.get(&signed(FILE, &terms)).status, status, "{terms}");
    }
}

#[test]
fn addresses_and_pages() {
    let (_server, nobody) = private();
    for (terms, status) in [
        ("ip=127.0.0.1", 200),
        ("ip=127.0.0.0/8", 200),
        ("ip=127.0.0.0%2F8", 200),
        ("ip=::ffff:127.0.0.1", 200),
        ("ip=0.0.0.0/0", 200),
        ("ip=10.0.0.0/8", 403),
        ("ip=127.0.0.2", 403),
        ("ip=::1", 403),
        ("ip=2001:db8::/32", 403),
    ] {
        assert_eq!(nobody.get(&signed(FILE, terms)).status, status, "{terms}");
    }
    let by_proxy = ask("GET", &signed(FILE, "ip=10.0.0.1")).with("X-Forwarded-For", "10.0.0.1");
    assert_eq!(nobody.send(&by_proxy).status, 403, "a header is no address");
    let link = signed(FILE, "r=example.com,other.org");
    assert_eq!(nobody.get(&link).status, 200, "no Referer passes");
    for (referer, status) in [
        ("https://example.com/page", 200),
        ("https://www.Example.com:8443/page?x", 200),
        ("http://other.org", 200),
        ("https://notexample.com/", 403),
        ("https://example.com.evil.org/", 403),
        ("https://evil.org/example.com", 403),
        ("https://example.com@evil.org/", 403),
        ("/page", 403),
    ] {
        let answer = nobody.send(&ask("GET", &link).with("Referer", referer));
        assert_eq!(answer.status, status, "{referer}");
    }
}

#[test]
fn a_prefix_opens_a_directory() {
    let (server, nobody) = private();
    let anna = server.login();
    anna.put("/dir/deep/c.txt", b"deep");
    anna.put("/dir2/d.txt", b"beside");
    let directory = format!("{BASE}/acme/dir/");
    let terms = format!("p={}&va=2", directory.len());
    let hash = sha256(format!("{SECRET}{directory}?{terms}").as_bytes());
    let get = |path: &str| nobody.get(&format!("{path}?{terms}&h={hash}")).status;
    assert_eq!((get(FILE), get("/acme/dir/deep/c.txt")), (200, 200));
    assert_eq!(get("/acme/dir/missing"), 404);
    assert_eq!((get("/acme/dir2/d.txt"), get("/acme//dir/deep/c.txt")), (403, 403));
    for out in ["/acme/dir/../dir2/d.txt", "/acme/dir/%2e%2e/dir2/d.txt"] {
        assert_eq!(get(out), 404, "{out}");
    }
    // Longer than the URL: all of it.
    let long = signed(FILE, "p=100000");
    served(&nobody.get(&long));
    assert_eq!(nobody.get(&long.replace("a%20b", "deep/c")).status, 403);
}

#[test]
fn two_secrets_and_rotation() {
    let (server, nobody) = private();
    let status = |secret: &str| nobody.get(&signed_with(secret, FILE, "")).status;
    let add = |verb: &str, stdin: Option<&str>| {
        let flag = if stdin.is_some() { vec!["--stdin"] } else { vec![] };
        let args = [&["url", "secret", verb, "acme"], &flag[..]].concat();
        let output = server.admin(&args, &format!("{}\n", stdin.unwrap_or_default()));
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (done, printed) = add("add", None);
    let made: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let made_up = made["secret"].as_str().unwrap();
    assert!(done && made_up.len() == 64, "{printed}");
    assert_eq!((status(SECRET), status(made_up)), (200, 200));
    let list = || server.admin_ok(&["url", "secret", "list", "acme"], "");
    assert!(list().lines().count() == 2 && !list().contains(made_up) && !list().contains(SECRET));
    assert!(list().lines().next().unwrap().contains(made["id"].as_str().unwrap()));
    assert!(!add("add", Some("third")).0, "an account has two");
    assert_eq!(status("third"), 403);
    let (done, printed) = add("rotate", Some("third"));
    assert!(done && !printed.contains("third"), "what was brought is not shown: {printed}");
    assert_eq!((status(SECRET), status(made_up), status("third")), (403, 200, 200));
    let id = made["id"].as_str().unwrap();
    assert!(!server.admin(&["url", "secret", "remove", "acme", "00000000"], "").status.success());
    server.admin_ok(&["url", "secret", "remove", "acme", id], "");
    assert_eq!((status(made_up), status("third")), (403, 200));
    assert!(!add("add", Some("")).0, "an empty secret");
    assert!(!server.admin(&["url", "secret", "add", "nobody"], "").status.success());
    assert!(!server.log().contains(made_up) && !server.log().contains("third"));
    let mut server = server;
    server.kill();
    server.start_again();
    let nobody = Client::nobody(server.address());
    served(&nobody.get(&signed_with("third", FILE, "")));
}

#[test]
fn head_ranges_and_conditions() {
    let (_server, nobody) = private();
    let good = signed(FILE, "");
    let bad = good.replace("h=", "h=00");
    let head = nobody.send(&ask("HEAD", &good));
    assert_eq!((head.status, head.must("Content-Length")), (200, "10"));
    let tag = head.must("ETag").to_owned();
    let range = |target: &str| nobody.send(&ask("GET", target).with("Range", "bytes=2-4"));
    let part = range(&good);
    assert_eq!((part.status, &part.body[..]), (206, &b"234"[..]));
    let same = |target: &str| nobody.send(&ask("GET", target).with("If-None-Match", &tag));
    assert_eq!(same(&good).status, 304);
    for target in [bad.as_str(), FILE, "/acme/dir/missing", "/dir/missing"] {
        for answer in [
            nobody.send(&ask("HEAD", target)),
            range(target),
            same(target),
            nobody.send(&ask("GET", target).with("If-Match", "\"x\"")),
            nobody.send(&ask("GET", target).with("Range", "bytes=99-")),
        ] {
            assert_eq!(answer.status, 403, "{target}");
            for name in ["ETag", "Last-Modified", "X-Agile-Checksum", "Content-Range"] {
                assert!(answer.header(name).is_none(), "{target}: {answer:?}");
            }
        }
    }
}

#[test]
fn saved_by_the_browser() {
    let (server, nobody) = private();
    let anna = server.login();
    anna.put("/今日は.txt", b"x");
    let link = signed(FILE, "dl=1");
    let said = r#"attachment; filename="a b.txt""#;
    assert_eq!(nobody.get(&link).must("Content-Disposition"), said);
    assert_eq!(nobody.send(&ask("HEAD", &link)).must("Content-Disposition"), said);
    let part = nobody.send(&ask("GET", &link).with("Range", "bytes=0-0"));
    assert_eq!(part.must("Content-Disposition"), said);
    assert!(nobody.get(&signed(FILE, "")).header("Content-Disposition").is_none());
    let encoded = "%E4%BB%8A%E6%97%A5%E3%81%AF.txt";
    let answer = nobody.get(&signed(&format!("/acme/{encoded}"), "dl=1"));
    let expected = format!("attachment; filename=\"___.txt\"; filename*=UTF-8''{encoded}");
    assert_eq!(answer.must("Content-Disposition"), expected);
}

/// That a rate holds is a unit test with a clock of its own; here every byte comes through it.
#[test]
fn at_a_rate() {
    let (server, nobody) = private();
    let anna = server.login();
    let (small, large) = (noise(1, 5_000), noise(2, 900_000));
    anna.put("/small", &small);
    anna.put("/large", &large);
    for terms in ["rs=10000", "ri=3&rs=10000", "rs=10000&ri=20000", "rs=5000&ri=1", "ri=5"] {
        for (path, body) in [("/acme/small", &small), ("/acme/large", &large)] {
            let link = signed(path, terms);
            let answer = nobody.get(&link);
            assert!(answer.status == 200 && &answer.body == body, "{terms} {path}");
            let last = body.len() - 1;
            let part = ask("GET", &link).with("Range", format!("bytes=100-{last}"));
            let answer = nobody.send(&part);
            assert!(answer.status == 206 && answer.body == body[100..], "{terms} {path}");
        }
    }
    let parts = ask("GET", &signed("/acme/large", "rs=9000")).with("Range", "bytes=0-9,500-509");
    assert_eq!(nobody.send(&parts).status, 206);
    // A reader who takes 1,100 bytes and goes: at 1 kB a second, little more than that was ever on its way. Unpaced, it is
    // the whole of the small one and a piece of 256 KiB of the large one.
    let small = noise(3, 8_000);
    for (name, body) in [("/slow-small", &small), ("/slow-large", &large)] {
        anna.put(name, body);
        let target = signed(&format!("/acme{name}"), "ri=1&rs=1");
        let mut reader = Connection::open(server.address());
        reader.send_head(&ask("GET", &target));
        let head = reader.answer_head().unwrap();
        assert_eq!((head.status, head.must("Content-Length")), (200, &*body.len().to_string()));
        assert!(reader.exactly(1_100) == body[..1_100]);
    }
    let sent = |name: &str| -> Option<u64> {
        let log = server.log();
        let line = log.lines().find(|line| line.contains(name))?;
        line.split("\"bytes_out\":").nth(1)?.split(',').next()?.parse().ok()
    };
    for (name, most) in [("/acme/slow-small", 7_900), ("/acme/slow-large", 200_000)] {
        wait_until("the end of the answer", || sent(name).is_some());
        assert!((1_100..most).contains(&sent(name).unwrap()), "{name}: {:?}", sent(name));
    }
}

#[test]
fn urls_for_a_file() {
    let server = start();
    let anna = server.login();
    anna.put("/dir/今 1.txt", b"content");
    let call = |params| anna.call("mediaVaultUrl", params);
    assert_eq!(call(json!(["/dir/今 1.txt"]))["code"], -60, "no secret yet");
    give_secret(&server, "acme");
    server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    let before = now_secs();
    for (params, lasts) in [
        (json!(["/dir/今 1.txt"]), 3_600),
        (json!(["dir//今 1.txt/", 0]), 3_600),
        (json!({"path": "/dir/今 1.txt", "expiry": "1"}), 1),
        (json!(["/dir/今 1.txt", 2_147_483_648_u64]), 2_147_483_648),
        (json!(["/not/there/yet", 5]), 5),
    ] {
        let result = anna.call("mediaVaultURL", params);
        assert_eq!((&result["code"], &result["message"]), (&json!(0), &json!("success")));
        assert_eq!(result.as_object().unwrap().len(), 4, "{result}");
        for (key, saved) in [("download_url", true), ("preview_url", false)] {
            let url = result[key].as_str().unwrap();
            let target = url.strip_prefix(BASE).unwrap_or_else(|| panic!("{url}"));
            assert!(url.contains("va=2&h="), "{url}");
            let end = url.split_once("e=").unwrap().1.split('&').next().unwrap();
            let end: u64 = end.parse().unwrap();
            assert!((before + lasts..=now_secs() + lasts).contains(&end), "{url}");
            let answer = Client::nobody(server.address()).get(target);
            if target.starts_with("/acme/not") {
                assert_eq!(answer.status, 404, "right, and nothing there");
            } else {
                assert_eq!((answer.status, &answer.body[..]), (200, &b"content"[..]), "{url}");
                assert_eq!(answer.header("Content-Disposition").is_some(), saved, "{url}");
            }
        }
    }
    for (params, code) in [
        (json!(["/dir"]), -2),
        (json!(["/"]), -2),
        (json!(["/a/../b"]), -8),
        (json!(["/x", -1]), -34),
        (json!(["/x", 2_147_483_649_u64]), -34),
        (json!(["/x", "soon"]), -34),
    ] {
        let result = call(params.clone());
        assert_eq!(result["code"], code, "{params}: {result}");
        assert!(result["message"].is_string() && result["message"] != "success", "{result}");
    }
    assert_eq!(anna.with_token("x").call("mediaVaultUrl", json!(["/x"]))["code"], -10_001);
}
