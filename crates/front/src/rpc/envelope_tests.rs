//! What the envelope takes, refuses, and survives.

use proptest::prelude::*;

use super::{Endpoint::*, *};

fn refused(endpoint: Endpoint, body: &str) -> (i32, Option<&str>, Version) {
    match parse(endpoint, body.as_bytes()) {
        Incoming::Single(Err(refusal)) => (refusal.code, refusal.to.id, refusal.to.version),
        other => panic!("{body}: {other:?}"),
    }
}

fn taken(endpoint: Endpoint, body: &str) -> Invocation<'_> {
    match parse(endpoint, body.as_bytes()) {
        Incoming::Single(Ok(invocation)) => invocation,
        other => panic!("{body}: {other:?}"),
    }
}

fn batched(body: &str) -> Vec<Result<Invocation<'_>, Refusal<'_>>> {
    match parse(Jsonrpc2, body.as_bytes()) {
        Incoming::Batch(members) => members,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn versions() {
    let one = r#"{"method":"ping","params":[],"id":1}"#;
    assert_eq!(taken(Jsonrpc, one).to, ReplyTo { version: Version::One, id: Some("1") });
    assert_eq!(refused(Jsonrpc2, one), (INVALID_REQUEST, Some("1"), Version::Two));
    let named_one = r#"{"jsonrpc":"1.0","method":"ping","id":1}"#;
    assert_eq!(taken(Jsonrpc, named_one).to.version, Version::One);
    assert_eq!(refused(Jsonrpc2, named_one).0, INVALID_REQUEST);
    let two = r#"{"jsonrpc":"2.0","method":"ping","id":1}"#;
    for endpoint in [Jsonrpc, Jsonrpc2] {
        assert_eq!(taken(endpoint, two).to.version, Version::Two);
        for version in [r#""3.0""#, "2.0", "2", "null", "{}", r#""2""#, r#""\ud800""#] {
            let body = format!(r#"{{"jsonrpc":{version},"method":"ping","id":7}}"#);
            assert_eq!(refused(endpoint, &body), (INVALID_REQUEST, Some("7"), Version::Two));
        }
    }
}

#[test]
fn ids_come_back_byte_for_byte() {
    for id in [
        "1",
        "0",
        "-0",
        "1.0",
        "1.50e+10",
        "1e400",
        "123456789012345678901234567890",
        "null",
        "true",
        r#""""#,
        r#""a\u0062\/""#,
        r#""\ud800""#,
        "\"\u{2028}\"",
        "[1, 2]",
        "{ \"a\":  1 }",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0", "id" : {id} ,"method":"ping"}}"#);
        let invocation = taken(Jsonrpc, &body);
        assert_eq!(invocation.to.id, Some(id));
        assert!(!invocation.is_notification());
    }
}

#[test]
fn notifications() {
    assert!(taken(Jsonrpc, r#"{"jsonrpc":"2.0","method":"ping"}"#).is_notification());
    // 1.0 has none here: a call without an id is answered.
    assert!(!taken(Jsonrpc, r#"{"method":"ping"}"#).is_notification());
    assert!(!taken(Jsonrpc, r#"{"method":"ping","id":null}"#).is_notification());
}

#[test]
fn params_stay_as_they_came() {
    let invocation = taken(Jsonrpc, r#"{"method":"a\u0062","params": [ 1 , {"x":1e400}] }"#);
    assert_eq!(invocation.method, "ab");
    assert_eq!(invocation.params, Some(r#"[ 1 , {"x":1e400}]"#));
    assert_eq!(taken(Jsonrpc, r#"{"method":"a","extra":1,"extra":[2]}"#).params, None);
}

#[test]
fn not_json() {
    for body in [
        "",
        " ",
        "{",
        "}",
        "[",
        "{\"method\":\"ping\",}",
        "{'method':'ping'}",
        "{\"method\":\"a\nb\"}",
        "{\"method\":\"ping\"} x",
        "{\"method\":\"ping\"}{\"method\":\"ping\"}",
        "[1,]",
        "nul",
        "01",
        "\"\\x\"",
        "\"\\u12\"",
    ] {
        for endpoint in [Jsonrpc, Jsonrpc2] {
            assert_eq!(refused(endpoint, body), (PARSE_ERROR, None, Version::Two), "{body}");
        }
    }
    for body in [&b"\xff"[..], b"{\"method\":\"\xc0\xaf\"}", b"\xff\xfe{\0}\0", b"\"\xed\xa0\x80\""]
    {
        let Incoming::Single(Err(refusal)) = parse(Jsonrpc, body) else { panic!("{body:?}") };
        assert_eq!(refusal.code, PARSE_ERROR);
    }
    assert_eq!(refused(Jsonrpc2, "[]"), (PARSE_ERROR, None, Version::Two));
    assert_eq!(refused(Jsonrpc2, " [ ] "), (PARSE_ERROR, None, Version::Two));
}

#[test]
fn a_byte_order_mark_is_nothing() {
    assert_eq!(taken(Jsonrpc, "\u{feff}{\"method\":\"ping\"}").method, "ping");
}

#[test]
fn not_a_call() {
    for body in ["5", "null", "\"x\"", "true", "1e400", "{}", r#"{"id":null}"#] {
        for endpoint in [Jsonrpc, Jsonrpc2] {
            assert_eq!(refused(endpoint, body).0, INVALID_REQUEST, "{body}");
        }
    }
    for method in ["5", "null", "{}", "[]", "true", r#""\ud800""#] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":{method},"id":"x"}}"#);
        assert_eq!(refused(Jsonrpc2, &body), (INVALID_REQUEST, Some("\"x\""), Version::Two));
    }
    let one = r#"{"id":3}"#;
    assert_eq!(refused(Jsonrpc, one), (INVALID_REQUEST, Some("3"), Version::One));
    // A batch at /jsonrpc, whatever it holds.
    for body in ["[]", r#"[{"method":"ping","id":1}]"#] {
        assert_eq!(refused(Jsonrpc, body), (INVALID_REQUEST, None, Version::Two));
    }
    assert_eq!(refused(Jsonrpc, r#"{"\ud800":1,"method":"ping"}"#).0, INVALID_REQUEST);
}

#[test]
fn a_key_twice_is_refused() {
    for (body, id) in [
        (r#"{"method":"ping","method":"noop","id":1}"#, Some("1")),
        (r#"{"method":"ping","params":[],"params":[],"id":1}"#, Some("1")),
        (r#"{"method":"ping","m\u0065thod":"ping","id":1}"#, Some("1")),
        (r#"{"method":"ping","id":1,"id":2}"#, None),
        (r#"{"method":"ping","id":null,"id":2}"#, None),
        (r#"{"method":"ping","id":1,"id":2,"id":3}"#, None),
    ] {
        assert_eq!(refused(Jsonrpc, body), (INVALID_REQUEST, id, Version::One), "{body}");
    }
    let body = r#"{"jsonrpc":"2.0","jsonrpc":"2.0","method":"ping","id":1}"#;
    assert_eq!(refused(Jsonrpc2, body), (INVALID_REQUEST, Some("1"), Version::Two));
}

#[test]
fn batches() {
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{id}}}"#);
    for count in 1..=3_usize {
        let body: Vec<_> = (0..count).map(|i| call(&i.to_string())).collect();
        let body = format!("[{}]", body.join(","));
        let members = batched(&body);
        assert_eq!(members.len(), count);
        assert!(members.iter().all(Result::is_ok));
    }
    let four = format!("[{},{},{},{}]", call("1"), call("2"), call("3"), call("4"));
    assert_eq!(refused(Jsonrpc2, &four), (BATCH_ERROR, None, Version::Two));
    assert_eq!(refused(Jsonrpc2, "[1,2,3,4]").0, BATCH_ERROR);
}

#[test]
fn ids_in_a_batch_differ() {
    let batch = |ids: &[&str]| {
        let calls: Vec<_> =
            ids.iter().map(|id| format!(r#"{{"jsonrpc":"2.0","method":"m"{id}}}"#)).collect();
        format!("[{}]", calls.join(", "))
    };
    for same in [
        [r#","id":1"#, r#","id": 1 "#],
        [r#","id":"a""#, r#","id":"a""#],
        [r#","id":null"#, r#","id":null"#],
    ] {
        assert_eq!(refused(Jsonrpc2, &batch(&same)), (BATCH_ERROR, None, Version::Two));
    }
    for different in [[r#","id":1"#, r#","id":"1""#], [r#","id":1"#, r#","id":1.0"#], ["", ""]] {
        assert_eq!(batched(&batch(&different)).len(), 2);
    }
}

#[test]
fn members_that_are_no_calls() {
    let body = r#"[1, [], {"method":"ping","id":1}]"#;
    let members = batched(body);
    for (member, id) in members.iter().zip([None, None, Some("1")]) {
        let refusal = member.as_ref().unwrap_err();
        assert_eq!((refusal.code, refusal.to.id), (INVALID_REQUEST, id));
    }
    let nested = r#"[[{"jsonrpc":"2.0","method":"ping","id":1}]]"#;
    assert_eq!(batched(nested)[0].as_ref().unwrap_err().code, INVALID_REQUEST);
}

#[test]
fn depth_costs_nothing() {
    let open = "[".repeat(100_000);
    let closed = format!("{open}{}", "]".repeat(100_000));
    for endpoint in [Jsonrpc, Jsonrpc2] {
        assert_eq!(refused(endpoint, &open).0, PARSE_ERROR);
    }
    assert_eq!(refused(Jsonrpc, &closed).0, INVALID_REQUEST);
    assert_eq!(batched(&closed)[0].as_ref().unwrap_err().code, INVALID_REQUEST);
    let deep = format!(r#"{{"method":"ping","params":[{closed}],"x":{closed},"id":{closed}}}"#);
    assert_eq!(taken(Jsonrpc, &deep).to.id, Some(&*closed));
    assert_eq!(refused(Jsonrpc, &"{\"a\":".repeat(100_000)).0, PARSE_ERROR);
    let many = format!("[{}1]", "1,".repeat(1_000_000));
    assert_eq!(refused(Jsonrpc2, &many).0, BATCH_ERROR);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(Jsonrpc, &bytes);
        parse(Jsonrpc2, &bytes);
    }

    #[test]
    fn anything_like_a_call_is_survived(
        text in r#"([\[{}\],:"\\]|"jsonrpc"|"2\.0"|"method"|"params"|"id"|\\ud800|1e9|null| ){0,40}"#,
    ) {
        parse(Jsonrpc, text.as_bytes());
        parse(Jsonrpc2, text.as_bytes());
    }

    #[test]
    fn any_string_id_and_method_survive(id in any::<String>(), method in any::<String>()) {
        let id = serde_json::to_string(&id).unwrap();
        let name = serde_json::to_string(&method).unwrap();
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{name}}}"#);
        let invocation = taken(Jsonrpc2, &body);
        prop_assert_eq!(invocation.to.id, Some(&*id));
        prop_assert_eq!(invocation.method, method);
    }
}
