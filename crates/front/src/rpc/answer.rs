//! The outside of an answer: JSON-RPC 1.0 and 2.0 around a result or a protocol error.
//!
//! What lives here: where an answer goes ([`ReplyTo`]) and the protocol's own errors (protocol.md, section 3). What
//! does not: results and the codes inside them. A `code` from -32768 to -32000 is JSON-RPC's own and always becomes an error
//! object; the API's codes lie outside that range, so one integer says which of the two a failure is.

use super::json::Json;

/// Not JSON; an empty batch.
pub(super) const PARSE_ERROR: i32 = -32700;
/// Not a call.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// No such method.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// Parameters that do not fit the method.
pub(super) const INVALID_PARAMS: i32 = -32602;
/// Unspecified.
pub(super) const INTERNAL_ERROR: i32 = -32603;
/// A fault inside, or storage is not available.
pub(super) const SERVER_ERROR: i32 = -32000;
/// Too many calls in a batch, or two with the same id.
pub(super) const BATCH_ERROR: i32 = -32099;

/// The message of a protocol error; `None` for a code of the API.
pub(super) fn protocol_message(code: i32) -> Option<&'static str> {
    match code {
        PARSE_ERROR => Some("Parse Error"),
        INVALID_REQUEST => Some("Invalid Request"),
        METHOD_NOT_FOUND => Some("Method not found"),
        INVALID_PARAMS => Some("Invalid params"),
        INTERNAL_ERROR => Some("Internal error"),
        SERVER_ERROR => Some("Server error"),
        BATCH_ERROR => Some("Batch Error"),
        -32768..=-32000 => Some("Error"),
        _ => None,
    }
}

/// The form a call came in, and so the form of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// No `jsonrpc`.
    One,
    /// `"jsonrpc":"2.0"`.
    Two,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplyTo<'a> {
    /// The form.
    pub(super) version: Version,
    /// The call's id, byte for byte; `None` where it had none.
    pub(super) id: Option<&'a str>,
}

impl ReplyTo<'_> {
    /// An answer to something that could not be read as a call.
    pub(super) const NOBODY: ReplyTo<'static> = ReplyTo { version: Version::Two, id: None };

    fn id(&self) -> &str {
        self.id.unwrap_or("null")
    }

    /// The beginning of an answer; the result comes next, then [`ReplyTo::close`].
    pub(super) fn open(&self) -> Json {
        let mut out = Json::default();
        match self.version {
            Version::One => out.raw(r#"{"result":"#),
            Version::Two => {
                out.raw(r#"{"jsonrpc":"2.0","id":"#).raw(self.id()).raw(r#","result":"#)
            }
        };
        out
    }

    /// The end of an answer that [`ReplyTo::open`] began.
    pub(super) fn close(&self, mut out: Json) -> Vec<u8> {
        match self.version {
            Version::One => out.raw(r#","error":null,"id":"#).raw(self.id()).raw("}"),
            Version::Two => out.raw("}"),
        };
        out.into_bytes()
    }

    /// A protocol error.
    pub(super) fn error(&self, code: i32) -> Vec<u8> {
        self.error_saying(code, protocol_message(code).unwrap_or("Error"))
    }

    /// A protocol error with a message of its own.
    pub(super) fn error_saying(&self, code: i32, message: &str) -> Vec<u8> {
        let mut out = Json::default();
        match self.version {
            Version::One => out.raw(r#"{"result":null,"error":{"code":"#),
            Version::Two => {
                out.raw(r#"{"jsonrpc":"2.0","id":"#).raw(self.id()).raw(r#","error":{"code":"#)
            }
        };
        out.code(code).raw(r#","message":"#).string(message).raw("}");
        match self.version {
            Version::One => out.raw(r#","id":"#).raw(self.id()).raw("}"),
            Version::Two => out.raw("}"),
        };
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    fn result(to: ReplyTo<'_>) -> String {
        let mut out = to.open();
        out.code(-1);
        text(to.close(out))
    }

    #[test]
    fn both_forms() {
        let one = ReplyTo { version: Version::One, id: Some("1.50") };
        assert_eq!(result(one), r#"{"result":-1,"error":null,"id":1.50}"#);
        assert_eq!(
            text(one.error(INVALID_PARAMS)),
            r#"{"result":null,"error":{"code":-32602,"message":"Invalid params"},"id":1.50}"#
        );
        let two = ReplyTo { version: Version::Two, id: Some(r#"{"a": 1}"#) };
        assert_eq!(result(two), r#"{"jsonrpc":"2.0","id":{"a": 1},"result":-1}"#);
        assert_eq!(
            text(two.error(BATCH_ERROR)),
            r#"{"jsonrpc":"2.0","id":{"a": 1},"error":{"code":-32099,"message":"Batch Error"}}"#
        );
        assert_eq!(
            text(ReplyTo::NOBODY.error(PARSE_ERROR)),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse Error"}}"#
        );
        let quiet = ReplyTo { version: Version::One, id: None };
        assert_eq!(result(quiet), r#"{"result":-1,"error":null,"id":null}"#);
    }

    #[test]
    fn only_reserved_codes_are_protocol_errors() {
        for code in [0, -1, -60, -10_001, -10_004] {
            assert_eq!(protocol_message(code), None);
        }
        for code in [-32700, -32600, -32601, -32602, -32603, -32099, -32000] {
            assert!(protocol_message(code).is_some());
        }
    }
}
