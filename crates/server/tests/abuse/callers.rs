//! Who may call what (promises.md, 17): every method and every front end, by everybody who may not.
//!
//! What lives here: a row a method of JSON-RPC and a row a call of HTTP, each with what its owner gets (so that a refusal
//! is one of the caller and not of the call) and what others get. The lists are held against the product's own
//! (`front::surface`): a method without a row fails. That a refusal comes before storage is touched is seen in the
//! catalog's own count of commits, and in the tree.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    harness::{Answer, Ask, Client, Form, PASSWORD, Server, Setup, ask, code_of, wait_until},
    signing::{BASE, Pair, URL_SECRET, soon},
};

/// A method of JSON-RPC.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// Good parameters as JSON. `TOKEN` is the caller's, `NEW` a name that is not there, `FILE`, `DIR` and `MPID` are made
    /// by the owner for each call; all paths are in `/mine/`.
    pub(crate) params: &'static [&'static str],
    /// What the owner gets.
    owner: i64,
    /// What users get in whose tree the path is not: another account's, or confined to another directory.
    stranger: i64,
    /// What a read-only user of the account gets.
    reader: i64,
}

const fn method(
    name: &'static str,
    params: &'static [&'static str],
    owner: i64,
    stranger: i64,
    reader: i64,
) -> Method {
    Method { name, params, owner, stranger, reader }
}

const T: &str = "\"TOKEN\"";
const NEW: &str = "\"/mine/NEW\"";
const FILE: &str = "\"/mine/FILE\"";
const DIR: &str = "\"/mine/DIR\"";
const MINE: &str = "\"/mine\"";
const MPID: &str = "\"MPID\"";

/// Every method, as protocol.md (sections 1 and 4 to 6) and docs/events.md have them.
#[rustfmt::skip]
pub(crate) const METHODS: &[Method] = &[
    method("login", &["\"anna\"", "\"wrong\"", "false"], -10_001, -10_001, -10_001),
    method("authenticate", &["\"anna\"", "\"wrong\"", "60", "\"/\""], -10_001, -10_001, -10_001),
    method("logout", &[T], 0, 0, 0),
    method("checkToken", &[T], 0, 0, 0),
    method("updateSession", &[T, "3600"], 0, 0, 0),
    method("noop", &[T, "\"x\""], 0, 0, 0),
    method("ping", &["\"x\""], 0, 0, 0),
    method("initKeyPair", &[T], 0, 0, -10_004),
    method("makeDir", &[T, NEW], 0, -3, -6),
    // In a tree of their own, there is nothing in its way.
    method("makeDir2", &[T, NEW], 0, 0, -6),
    method("deleteDir", &[T, DIR], 0, -1, -6),
    method("deleteFile", &[T, FILE], 0, -1, -1),
    method("deleteObject", &[T, FILE], 0, -1, -6),
    method("rename", &[T, FILE, NEW], 0, -1, -6),
    method("renameFile", &[T, FILE, NEW], 0, -1, -6),
    method("copyFile", &[T, FILE, NEW], 0, -1, -1),
    method("stat", &[T, FILE, "true"], 0, -1, 0),
    method("setMTime", &[T, FILE, "5"], 0, -1, -1),
    // "-3 parent missing": in their tree, `/mine` is not there.
    method("setContentType", &[T, FILE, "\"text/css\""], 0, -3, -6),
    method("listDir", &[T, MINE, "10", "0", "true"], 0, -1, 0),
    method("listFile", &[T, MINE, "10", "0", "true"], 0, -1, 0),
    method("listPath", &[T, MINE, "10", "null", "true"], 0, -1, 0),
    method("fetchFileHTTP", &[T, NEW, "\"http://acme/mine/FILE\"", "0"], 0, -14, -4),
    method("mediaVaultUrl", &[T, FILE, "60"], 0, -60, 0),
    method("mediaVaultURL", &[T, FILE, "60"], 0, -60, 0),
    method("createMultipart", &[T, NEW, "\"\"", "0"], 0, -23, -23),
    method("getMultipartStatus", &[T, MPID], 0, -2, -2),
    method("getMultipartStatusMap", &[T, "\"upload\""], 0, 0, 0),
    method("listMultipart", &[T, "0", "10"], 0, 0, 0),
    method("listMultipartPiece", &[T, MPID, "0", "10"], 0, -2, -2),
    method("completeMultipart", &[T, MPID], 0, -2, -2),
    method("abortMultipart", &[T, MPID], 0, -2, -2),
    // The owner's has not failed; everybody else's is not there.
    method("restartMultipart", &[T, MPID], -22, -2, -2),
    method("registerCallback", &[T, "\"http://127.0.0.1:9/NEW\"", "0", "0"], 0, 0, -6),
    method("listCallback", &[T], 0, 0, 0),
];

/// Methods without a token, and what they say to everybody.
const FREE: [&str; 3] = ["login", "authenticate", "ping"];

/// A call of the HTTP interface that is a good one for its owner.
struct Http {
    path: &'static str,
    /// The request without credentials, for a new name and an upload of the owner.
    ask: fn(name: &str, mpid: &str) -> Ask,
    /// What `X-Agile-*` headers it has, in the order of a signature's terms.
    terms: fn(name: &str, mpid: &str) -> Vec<String>,
    stranger: (u16, i64),
    reader: (u16, i64),
}

const HTTP: &[Http] = &[
    Http {
        path: "/post/raw",
        ask: |name, _| {
            let ask = ask("POST", "/post/raw").with("X-Agile-Directory", "/mine");
            ask.with("X-Agile-Basename", name).body("x")
        },
        terms: |name, _| vec![format!("basename={name}"), "directory=/mine".to_owned()],
        stranger: (400, -3),
        reader: (400, -3),
    },
    Http {
        path: "/post/file",
        ask: |name, _| {
            let ask = ask("POST", "/post/file").with("X-Agile-Directory", "/mine");
            let ask = ask.with("Content-Type", crate::harness::form_type());
            ask.with("X-Agile-Basename", name).body(Form::new().file("f", b"x").bytes())
        },
        terms: |name, _| vec![format!("basename={name}"), "directory=/mine".to_owned()],
        stranger: (400, -3),
        reader: (400, -3),
    },
    Http {
        path: "/post/directory",
        ask: |name, _| {
            let ask = ask("POST", "/post/directory").with("X-Agile-Recursive", "false");
            ask.with("X-Agile-Directory", format!("/mine/{name}")).body("")
        },
        terms: |name, _| vec![format!("directory=/mine/{name}"), "recursive=false".to_owned()],
        stranger: (400, -3),
        reader: (400, -3),
    },
    Http {
        path: "/multipart/create",
        ask: |name, _| {
            let ask = ask("POST", "/multipart/create").with("X-Agile-Directory", "/mine");
            ask.with("X-Agile-Basename", name).body("")
        },
        terms: |name, _| vec![format!("basename={name}"), "directory=/mine".to_owned()],
        stranger: (400, -23),
        reader: (400, -23),
    },
    Http {
        path: "/multipart/piece",
        ask: |_, mpid| {
            let ask = ask("POST", "/multipart/piece").with("X-Agile-Multipart", mpid);
            ask.with("X-Agile-Part", "2").body("x")
        },
        terms: |_, mpid| vec![format!("multipart={mpid}"), "part=2".to_owned()],
        stranger: (400, -2),
        reader: (400, -2),
    },
    Http {
        path: "/multipart/complete",
        ask: |_, mpid| ask("POST", "/multipart/complete").with("X-Agile-Multipart", mpid).body(""),
        terms: |_, mpid| vec![format!("multipart={mpid}")],
        stranger: (400, -2),
        reader: (400, -2),
    },
];

/// Paths that other tables hold: JSON-RPC has [`METHODS`], and logging in is what makes a caller.
const OTHER_PATHS: [&str; 3] = ["/jsonrpc", "/jsonrpc2", "/account/login"];

#[test]
fn every_method_and_every_path_has_a_row() {
    let set = |names: Vec<&'static str>| names.into_iter().collect::<BTreeSet<_>>();
    let rows = set(METHODS.iter().map(|method| method.name).collect());
    assert_eq!(rows, set(front::surface::methods()), "methods: give each a row here");
    let rows = set(HTTP.iter().map(|call| call.path).chain(OTHER_PATHS).collect());
    assert_eq!(rows, set(front::surface::paths()), "paths: give each a row here");
}

/// A server with one user of every kind.
struct Cast {
    server: Server,
    anna: Client,
    made: u32,
}

impl Cast {
    fn start() -> Self {
        let config = format!(
            "[egress]\npublic_url = \"{BASE}\"\n\
             [[pull.allow]]\nhost = \"127.0.0.1\"\nport = 9\nprivate = true\n\
             [events]\ncallbacks_max = 1000\n\
             [login]\nfree_per_user = 100000\nfree_per_address = 100000\n"
        );
        let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
        let secret = format!("{URL_SECRET}\n");
        server.admin_ok(&["url", "secret", "add", "acme", "--stdin"], &secret);
        server.admin_ok(&["account", "add", "zoo"], "");
        server.add_user("zoe", "zoo", &[]);
        server.add_user("rita", "acme", &["--read-only"]);
        server.add_user("cleo", "acme", &["--directory", "/clients/cleo"]);
        server.add_user("dora", "acme", &[]);
        server.add_user("finn", "acme", &[]);
        let anna = server.login();
        anna.put("/mine/kept", b"anna's");
        Self { server, anna, made: 0 }
    }

    /// Parameters of a method with everything in them made anew.
    fn params(&mut self, method: &Method, token: &str) -> Value {
        self.made += 1;
        let n = self.made;
        let (new, file, dir) = (format!("new{n}"), format!("file{n}"), format!("dir{n}"));
        let text = format!("[{}]", method.params.join(","));
        if text.contains("FILE") {
            self.anna.put(&format!("/mine/{file}"), b"anna's");
        }
        if text.contains("DIR\"") {
            self.anna.dir(&format!("/mine/{dir}"));
        }
        let mpid = if text.contains("MPID") { self.upload(&new) } else { String::new() };
        let text = text.replace("TOKEN", token).replace("NEW", &new).replace("FILE", &file);
        let text = text.replace("DIR", &dir).replace("MPID", &mpid);
        serde_json::from_str(&text).unwrap()
    }

    /// An upload of the owner's, with a piece.
    fn upload(&self, name: &str) -> String {
        let made = self.anna.call("createMultipart", json!([format!("/mine/{name}.mpart")]));
        let mpid = made["mpid"].as_str().unwrap().to_owned();
        let piece = self.anna.post("/multipart/piece").with("X-Agile-Multipart", &mpid);
        let answer = self.anna.send(&piece.with("X-Agile-Part", "1").body("x"));
        assert_eq!(answer.told(), (200, 0));
        mpid
    }

    /// Does something that must not touch the catalog. Jobs of the server's own may, meanwhile: then it is done again.
    fn untouched<T>(&self, what: &str, mut act: impl FnMut() -> T) -> T {
        for _ in 0..10 {
            let commits = self.commits();
            let done = act();
            if self.commits() == commits {
                return done;
            }
        }
        panic!("{what} touched the catalog");
    }

    fn commits(&self) -> u64 {
        let status: Value = serde_json::from_str(&self.server.admin_ok(&["status"], "")).unwrap();
        status["commits"].as_u64().unwrap()
    }

    /// What is in `/mine`, with everything that a listing shows.
    fn tree(&self) -> Value {
        self.anna.call("listPath", json!(["/mine", 10_000, null, true]))
    }

    /// Tokens that are nobody's any more, each with its name.
    fn unusable(&self) -> Vec<(&'static str, String)> {
        let ended = self.server.login_as("dora", PASSWORD);
        assert_eq!(ended.code("logout", json!([])), 0);
        let deactivated = self.server.login_as("finn", PASSWORD);
        self.server.admin_ok(&["user", "disable", "finn"], "");
        let short = self.anna.rpc("authenticate", json!(["dora", PASSWORD, 1]));
        let short = short["result"]["token"].as_str().unwrap().to_owned();
        let expired = self.anna.with_token(&short);
        wait_until("the end of a session", || expired.code("checkToken", json!([])) == -10_001);
        vec![
            ("none", String::new()),
            ("nobody's", "00000000-0000-4000-8000-000000000000".to_owned()),
            ("logged out", ended.token),
            ("expired", short),
            ("deactivated", deactivated.token),
        ]
    }
}

/// The code of a call, and the answer as it came.
fn call(client: &Client, method: &Method, params: Value) -> (i64, String) {
    let answer = client.rpc(method.name, params);
    let text = answer.to_string();
    let code = match &answer["result"] {
        Value::Array(list) if list[0].is_null() => -10_001,
        result => code_of(result),
    };
    (code, text)
}

/// A call that must be refused.
struct Refused {
    what: String,
    client: Client,
    method: &'static Method,
    params: Value,
    wanted: i64,
}

/// Makes calls that must be refused, and must not touch anything.
fn refuse_all(cast: &Cast, calls: &[Refused]) {
    let tree = cast.tree();
    cast.untouched("a refused call", || {
        for one in calls {
            let (code, text) = call(&one.client, one.method, one.params.clone());
            assert_eq!(code, one.wanted, "{}: {text}", one.what);
            assert!(!text.contains("anna's") && !text.contains(".mpart"), "{}: {text}", one.what);
        }
    });
    assert_eq!(cast.tree(), tree);
}

#[test]
fn methods_by_nobody() {
    let mut cast = Cast::start();
    let unusable = cast.unusable();
    let mut refused = Vec::new();
    for method in METHODS {
        // The call itself is a good one.
        let own = cast.server.login();
        let params = cast.params(method, &own.token);
        let (code, text) = call(&own, method, params);
        assert_eq!(code, method.owner, "{} by its owner: {text}", method.name);
        if method.name == "registerCallback" {
            // What it would be told from now on would touch the catalog.
            let answer: Value = serde_json::from_str(&text).unwrap();
            let id = answer["result"]["callbackid"].to_string();
            cast.server.admin_ok(&["callback", "delete", &id], "");
        }
        // One set of things for all of them: it must still be there for the last.
        let params = cast.params(method, "TOKEN").to_string();
        for (who, token) in &unusable {
            let wanted = match method.name {
                free if FREE.contains(&free) => method.owner,
                "logout" => -1,
                _ => -10_001,
            };
            let what = format!("{} by somebody {who}", method.name);
            let params = serde_json::from_str(&params.replace("TOKEN", token)).unwrap();
            let client = cast.anna.clone();
            refused.push(Refused { what, client, method, params, wanted });
        }
    }
    refuse_all(&cast, &refused);
    println!("{} methods, {} calls by nobody", METHODS.len(), refused.len());
}

#[test]
fn methods_by_others() {
    let mut cast = Cast::start();
    let (mut refused, mut allowed) = (Vec::new(), Vec::new());
    for user in ["zoe", "cleo", "rita"] {
        let client = cast.server.login_as(user, PASSWORD);
        for method in METHODS {
            let wanted = match (user, method.name) {
                // cleo is of the account, and its links are signed: of a file that is not there in her tree.
                ("cleo", "mediaVaultUrl" | "mediaVaultURL") => 0,
                ("rita", _) => method.reader,
                _ => method.stranger,
            };
            let params = cast.params(method, &client.token);
            let (what, client) = (format!("{} by {user}", method.name), client.clone());
            let one = Refused { what, client, method, params, wanted };
            if wanted == 0 { allowed.push(one) } else { refused.push(one) }
        }
    }
    refuse_all(&cast, &refused);
    // What they may do, they do in a tree of their own, or without changing anything.
    let tree = cast.tree();
    for one in &mut allowed {
        let ends = ["logout", "updateSession"].contains(&one.method.name);
        if ends {
            let user = one.what.rsplit(' ').next().unwrap();
            one.client = cast.server.login_as(user, PASSWORD);
            one.params[0] = json!(one.client.token);
        }
        let (code, text) = call(&one.client, one.method, one.params.clone());
        assert_eq!(code, 0, "{}: {text}", one.what);
        assert!(!text.contains("anna's") && !text.contains(".mpart"), "{}: {text}", one.what);
    }
    assert_eq!(cast.tree(), tree);
    assert_eq!(cast.anna.content("/mine/kept"), b"anna's");
    println!("{} methods, {} refused calls by others", METHODS.len(), refused.len());
}

#[test]
fn front_ends() {
    let mut cast = Cast::start();
    let unusable = cast.unusable();
    cast.server.admin_ok(&["user", "enable", "finn"], "");
    let finn = Pair::make(&cast.server.login_as("finn", PASSWORD));
    cast.server.admin_ok(&["user", "disable", "finn"], "");
    let mut refused = 0;
    let check = |answer: Answer, wanted: (u16, i64), what: &str| {
        assert_eq!(answer.told(), wanted, "{what}: {answer:?}");
    };
    for http in HTTP {
        cast.made += 1;
        let name = format!("name{}", cast.made);
        let mpid = cast.upload(&name);
        let plain = || (http.ask)(&name, &mpid);
        let tree = cast.tree();
        let send = |ask: Ask| cast.anna.send(&ask);
        let terms = (http.terms)(&name, &mpid);
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        cast.untouched(http.path, || {
            check(send(plain()), (401, -10_001), http.path);
            for (who, token) in &unusable {
                check(send(plain().token(token)), (403, -10_001), &format!("{} {who}", http.path));
                if http.path == "/post/file" {
                    let form = Form::new().file("f", b"x").bytes();
                    let by_query = ask("POST", &format!("/post/file?token={token}")).body(form);
                    let by_query = by_query.with("Content-Type", crate::harness::form_type());
                    check(send(by_query), (403, -10_001), who);
                }
            }
            for (what, header) in [
                ("a deactivated user's key", finn.header(http.path, soon(), &terms)),
                ("signed for another call", finn.header("/post/other", soon(), &terms)),
            ] {
                let signed = plain().with("X-Agile-Signature", header);
                check(send(signed), (403, -10_001), &format!("{} {what}", http.path));
            }
        });
        for (user, wanted) in
            [("zoe", http.stranger), ("cleo", http.stranger), ("rita", http.reader)]
        {
            let client = cast.server.login_as(user, PASSWORD);
            let what = format!("{} by {user}", http.path);
            cast.untouched(&what, || check(send(plain().token(&client.token)), wanted, &what));
        }
        refused += unusable.len() + 6;
        assert_eq!(cast.tree(), tree, "{}", http.path);
        // The call itself is a good one, and a signature is as good as a token.
        assert_eq!(send(plain().token(&cast.anna.token)).told(), (200, 0), "{}", http.path);
        let pair = Pair::make(&cast.anna);
        cast.made += 1;
        let name = format!("name{}", cast.made);
        let mpid = cast.upload(&name);
        let terms = (http.terms)(&name, &mpid);
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        let signature = pair.header(http.path, soon(), &terms);
        let signed = (http.ask)(&name, &mpid).with("X-Agile-Signature", signature);
        assert_eq!(cast.anna.send(&signed).told(), (200, 0), "{} signed", http.path);
    }
    for (user, password) in [("finn", PASSWORD), ("anna", "wrong"), ("nobody", PASSWORD), ("", "")]
    {
        let login = ask("POST", "/account/login").with("X-Agile-Username", user);
        let answer = cast.anna.send(&login.with("X-Agile-Password", password));
        check(answer, (400, -10_001), &format!("/account/login {user:?}"));
        refused += 1;
    }
    println!("{refused} refused calls of HTTP");
}

#[test]
fn files_of_a_private_account() {
    let cast = Cast::start();
    cast.server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    let unusable = cast.unusable();
    let stranger = cast.server.login_as("zoe", PASSWORD).token;
    let confined = cast.server.login_as("cleo", PASSWORD).token;
    for method in ["GET", "HEAD"] {
        for target in ["/acme/mine/kept", "/acme/mine/missing"] {
            let plain = || ask(method, target);
            let mut all: Vec<(&str, Ask)> = vec![("nobody", plain())];
            all.extend(unusable.iter().map(|(who, token)| (*who, plain().token(token))));
            all.push(("stranger", plain().token(&stranger)));
            all.push(("confined", plain().token(&confined)));
            all.push(("by query", ask(method, &format!("{target}?token={}", cast.anna.token))));
            for (who, ask) in all {
                let answer = cast.anna.send(&ask);
                assert_eq!(answer.status, 403, "{method} {target} by {who}: {answer:?}");
                assert!(
                    answer.header("ETag").is_none() && answer.header("Last-Modified").is_none()
                );
            }
        }
        let own = ask(method, "/acme/mine/kept").token(&cast.anna.token);
        assert_eq!(cast.anna.send(&own).status, 200);
    }
}
