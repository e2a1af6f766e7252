//! Reading what was posted: one call or a batch, JSON-RPC 1.0 or 2.0 (protocol.md, section 3).
//!
//! What lives here: from bytes to calls, and the refusals on the way. What does not: methods and their parameters; a
//! call's `params` and `id` stay JSON texts, so that an id comes back byte for byte and a number is judged as written.
//! Nothing here recurses into what was sent and nothing is collected beyond what a valid request can hold, so neither
//! 100,000 brackets nor a million members cost more than reading past them.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    answer::{BATCH_ERROR, INVALID_REQUEST, PARSE_ERROR, ReplyTo, Version},
    coerce,
};

/// Most calls in a batch.
const BATCH_CALLS_MAX: usize = 3;

/// Which of the two paths a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/jsonrpc`: 1.0 and 2.0, single calls.
    Jsonrpc,
    /// `/jsonrpc2`: 2.0, single calls and batches.
    Jsonrpc2,
}

/// A call, read as far as the protocol goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation<'a> {
    /// What is called.
    pub(super) method: Cow<'a, str>,
    /// With what, as JSON.
    pub(super) params: Option<&'a str>,
    /// Where the answer goes.
    pub(super) to: ReplyTo<'a>,
}

impl Invocation<'_> {
    /// A 2.0 call without an id is done and not answered.
    pub(super) fn is_notification(&self) -> bool {
        self.to.version == Version::Two && self.to.id.is_none()
    }
}

/// Why something is not a call, and where to say so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal<'a> {
    pub(super) to: ReplyTo<'a>,
    pub(super) code: i32,
}

/// What was posted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming<'a> {
    /// One call.
    Single(Result<Invocation<'a>, Refusal<'a>>),
    /// One to three calls.
    Batch(Vec<Result<Invocation<'a>, Refusal<'a>>>),
}

/// Reads a request body.
pub(super) fn parse(endpoint: Endpoint, body: &[u8]) -> Incoming<'_> {
    let refused = |code| Incoming::Single(Err(Refusal { to: ReplyTo::NOBODY, code }));
    // .NET's writers put a byte order mark in front.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Some(json) = std::str::from_utf8(body)
        .ok()
        .and_then(|text| serde_json::from_str::<&RawValue>(text).ok())
        .map(RawValue::get)
    else {
        return refused(PARSE_ERROR);
    };
    match (json.as_bytes().first(), endpoint) {
        (Some(b'['), Endpoint::Jsonrpc2) => batch(json).map_or_else(refused, Incoming::Batch),
        _ => Incoming::Single(single(endpoint, json)),
    }
}

fn batch(json: &str) -> Result<Vec<Result<Invocation<'_>, Refusal<'_>>>, i32> {
    let members = elements(json, BATCH_CALLS_MAX).ok_or(BATCH_ERROR)?;
    if members.is_empty() {
        return Err(PARSE_ERROR);
    }
    let calls: Vec<_> = members.into_iter().map(|m| single(Endpoint::Jsonrpc2, m)).collect();
    let id = |call: &Result<Invocation<'_>, Refusal<'_>>| match call {
        Ok(invocation) => invocation.to.id.map(str::to_owned),
        Err(refusal) => refusal.to.id.map(str::to_owned),
    };
    let mut ids: Vec<_> = calls.iter().filter_map(id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(BATCH_ERROR);
    }
    Ok(calls)
}

/// Reads one call.
fn single(endpoint: Endpoint, json: &str) -> Result<Invocation<'_>, Refusal<'_>> {
    let refusal = |to| Refusal { to, code: INVALID_REQUEST };
    // Well-formed JSON: what fails is something else than an object, or a key that is no text.
    let members = serde_json::Deserializer::from_str(json)
        .deserialize_map(MembersVisitor)
        .map_err(|_| refusal(ReplyTo::NOBODY))?;
    let version = match members.jsonrpc.map(coerce::string) {
        None => Some(Version::One),
        Some(Some(text)) if text == "1.0" => Some(Version::One),
        Some(Some(text)) if text == "2.0" => Some(Version::Two),
        Some(_) => None,
    };
    let allowed = match endpoint {
        Endpoint::Jsonrpc => version.is_some(),
        Endpoint::Jsonrpc2 => version == Some(Version::Two),
    };
    let to = ReplyTo {
        version: if allowed { version.unwrap_or(Version::Two) } else { Version::Two },
        id: members.id,
    };
    match members.method.and_then(coerce::string) {
        Some(method) if allowed && !members.ambiguous => {
            Ok(Invocation { method, params: members.params, to })
        }
        _ => Err(refusal(to)),
    }
}

/// The members of a call, as JSON texts.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    id: Option<&'a str>,
    /// A member of the protocol stands twice. Which one counts would be a guess; an id that stands twice is none.
    ambiguous: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Jsonrpc,
    Method,
    Params,
    Id,
    #[serde(other)]
    Other,
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        let mut id_twice = false;
        while let Some(member) = map.next_key()? {
            let slot = match member {
                Member::Jsonrpc => &mut members.jsonrpc,
                Member::Method => &mut members.method,
                Member::Params => &mut members.params,
                Member::Id => &mut members.id,
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value::<&RawValue>()?.get()).is_some() {
                members.ambiguous = true;
                id_twice |= member == Member::Id;
            }
        }
        if id_twice {
            members.id = None;
        }
        Ok(members)
    }
}

/// The elements of a JSON array as JSON texts; `None` where there are more than `max`, or it is no array.
pub(super) fn elements(json: &str, max: usize) -> Option<Vec<&str>> {
    serde_json::Deserializer::from_str(json).deserialize_seq(ElementsVisitor { max }).ok()?
}

struct ElementsVisitor {
    max: usize,
}

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Option<Vec<&'de str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if elements.len() == self.max {
                // The rest is not needed, but reading past it keeps the reader's rules.
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            elements.push(element.get());
        }
        Ok(Some(elements))
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
