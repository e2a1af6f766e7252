//! For `fuzz/` alone: from a body to bound and read parameters, and what has to be true on the way.

use std::collections::BTreeMap;

use ops::model::{TreePath, limits};
use serde_json::value::RawValue;

use super::{
    Failure,
    answer::{INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, ReplyTo, Version},
    coerce,
    envelope::{self, Endpoint, Incoming, Invocation, Refusal},
    params::{self, Args, Kind, Param},
    table,
};

/// Bodies: all bytes are one, posted to either path.
pub fn jsonrpc(bytes: &[u8]) {
    for endpoint in [Endpoint::Jsonrpc, Endpoint::Jsonrpc2] {
        match envelope::parse(endpoint, bytes) {
            Incoming::Single(call) => take(endpoint, call),
            Incoming::Batch(calls) => {
                assert_eq!(endpoint, Endpoint::Jsonrpc2);
                assert!((1..=3).contains(&calls.len()));
                calls.into_iter().for_each(|call| take(endpoint, call));
            }
        }
    }
}

fn take(endpoint: Endpoint, call: Result<Invocation<'_>, Refusal<'_>>) {
    match call {
        Err(Refusal { to, code }) => refused(to, code),
        Ok(Invocation { method, params, to }) => {
            assert!(endpoint == Endpoint::Jsonrpc || to.version == Version::Two);
            let Some(row) = table::find(&method) else { return refused(to, METHOD_NOT_FOUND) };
            let Some(args) = params::bind(row.params, row.long, params) else {
                return refused(to, INVALID_PARAMS);
            };
            for param in row.params {
                read(&args, param);
            }
            let mut out = to.open();
            out.code(0);
            answered(to, &to.close(out));
        }
    }
}

/// Reads a bound parameter as what it is declared to be.
fn read(args: &Args<'_>, param: &Param) {
    let name = param.name;
    let failed = match param.kind {
        Kind::Token => args.token(name).err(),
        Kind::Path => args.path(name).map(|path| canonical(&path)).err(),
        Kind::Text => args.text(name).err(),
        Kind::Int(least, most) => {
            args.int(name).map(|int| assert!((least..=most).contains(&int))).err()
        }
        Kind::Bool => args.boolean(name).err(),
        Kind::Cookie => args.cookie(name).err(),
        Kind::PairCookie => args.pair_cookie(name).map(pair_comes_back).err(),
        Kind::FetchFlags => args.fetch_flags(name).err(),
        Kind::Any => args.json(name).map(well_formed).err(),
    };
    match failed {
        None => {}
        Some(Failure::Code(code)) => assert!(code == param.bad && code != INTERNAL_ERROR),
        Some(Failure::Fact(fact)) => panic!("{name}: {fact}"),
    }
}

fn canonical(path: &TreePath) {
    assert!(path.as_str().len() <= limits::PATH_BYTES_MAX);
    assert_eq!(TreePath::parse(path.as_str()).as_ref(), Ok(path));
}

fn pair_comes_back((directories, files): (u64, u64)) {
    let text = format!("\"{}\"", coerce::pair_cookie_text(directories, files));
    assert_eq!(coerce::pair_cookie(&text), Some((directories, files)));
}

fn well_formed(json: &str) {
    // Reading past it, as the envelope did: a number may be larger than any value holds.
    assert!(serde_json::from_str::<&RawValue>(json).is_ok());
}

/// A refusal is JSON, in the version of the call, with its id.
fn refused(to: ReplyTo<'_>, code: i32) {
    answered(to, &to.error(code));
}

fn answered(to: ReplyTo<'_>, answer: &[u8]) {
    // Read one level deep: an id may be nested deeper, or a number larger, than a tree of values takes.
    let members: BTreeMap<&str, &RawValue> = serde_json::from_slice(answer).expect("an object");
    let member = |name| members.get(name).map(|json| json.get());
    assert_eq!(member("id"), Some(to.id.unwrap_or("null")), "it comes back byte for byte");
    assert_eq!(member("jsonrpc"), (to.version == Version::Two).then_some("\"2.0\""));
    let (result, error) = (member("result"), member("error"));
    assert!(result.is_some_and(|r| r != "null") != error.is_some_and(|e| e != "null"));
}
