//! What a JSON text means as the value of a parameter (protocol.md, section 3, "Coercion").
//!
//! What lives here: pure readings of one JSON text, each `None` where the text cannot be read so. What does not: which
//! parameter wants which reading, ranges, and codes (`params`, `table`). Texts are judged as written, never through a
//! float, so `2^63`, `1e400` and `1.0` are told apart exactly. Every text here is well-formed JSON: the envelope saw
//! to it.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A string. Half a surrogate pair is no string.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// An integer: a number without a fraction however it is written, a decimal string, or a boolean.
pub(super) fn integer(json: &str) -> Option<i128> {
    match json.as_bytes().first()? {
        b't' => Some(1),
        b'f' => Some(0),
        b'"' => {
            let text = string(json)?;
            let digits = text.strip_prefix('-').unwrap_or(&text);
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse().ok())?
        }
        b'-' | b'0'..=b'9' => number(json),
        _ => None,
    }
}

/// The value of a JSON number that is an integer of at most 38 digits.
fn number(json: &str) -> Option<i128> {
    if let Ok(integer) = json.parse() {
        return Some(integer);
    }
    let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // An exponent beyond 64 bits: a fraction, or too large.
    let exponent: i64 = exponent.parse().ok()?;
    let shift = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(i64::try_from(zeros).ok()?)?;
    let shift = u32::try_from(shift).ok()?;
    let size: i128 = significant.parse().ok()?;
    let size = size.checked_mul(10_i128.checked_pow(shift)?)?;
    Some(if negative { -size } else { size })
}

/// A boolean: also 0 and 1, and the usual words in any case.
pub(super) fn boolean(json: &str) -> Option<bool> {
    if !json.starts_with('"') {
        return match integer(json)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
    }
    let text = string(json)?;
    let is = |words: [&str; 3]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is(["true", "yes", "1"]) { Some(true) } else { is(["false", "no", "0"]).then_some(false) }
}

/// A place in a listing of one kind: an integer, or the empty string for the first page.
pub(super) fn cookie(json: &str) -> Option<u64> {
    if json == "\"\"" {
        return Some(0);
    }
    u64::try_from(integer(json)?).ok()
}

/// A place in a listing of both kinds, (directories, files): base64 of two big-endian numbers. The empty string,
/// `null`, `false` and 0 are the first page.
pub(super) fn pair_cookie(json: &str) -> Option<(u64, u64)> {
    if json == "null" || json == "\"\"" {
        return Some((0, 0));
    }
    if !json.starts_with('"') {
        return (integer(json)? == 0).then_some((0, 0));
    }
    let bytes: [u8; 16] = STANDARD.decode(&*string(json)?).ok()?.try_into().ok()?;
    let pair = u128::from_be_bytes(bytes);
    Some((u64::try_from(pair >> 64).ok()?, u64::try_from(pair & u128::from(u64::MAX)).ok()?))
}

/// The cookie that [`pair_cookie`] reads.
pub(super) fn pair_cookie_text(directories: u64, files: u64) -> String {
    STANDARD.encode((u128::from(directories) << 64 | u128::from(files)).to_be_bytes())
}

/// The flags of `fetchFileHTTP`: whether missing directories are to be made.
pub(super) fn fetch_flags(json: &str) -> Option<bool> {
    if is_fetch_flag_name(json) {
        return Some(true);
    }
    match integer(json)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Whether a text names a flag of `fetchFileHTTP`.
pub(super) fn is_fetch_flag_name(json: &str) -> bool {
    string(json).is_some_and(|name| name == "FF_CREATE_DESTDIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        assert_eq!(string(r#""a\u002fb\n""#).as_deref(), Some("a/b\n"));
        assert_eq!(string(r#""""#).as_deref(), Some(""));
        assert_eq!(string(r#""\ud83d\ude00""#).as_deref(), Some("😀"));
        assert_eq!(string(r#""\u0000""#).as_deref(), Some("\0"));
        for json in [r#""\ud800""#, r#""\ude00\ud83d""#, "5", "null", "true", "{}", "[]"] {
            assert_eq!(string(json), None, "{json}");
        }
    }

    #[test]
    fn integers() {
        let two_63 = 1_i128 << 63;
        for (json, want) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0", Some(0)),
            ("1", Some(1)),
            ("-1", Some(-1)),
            ("1.0", Some(1)),
            ("1e3", Some(1000)),
            ("1E+3", Some(1000)),
            ("1.5e1", Some(15)),
            ("-1.50e2", Some(-150)),
            ("1000e-3", Some(1)),
            ("10.00e-1", Some(1)),
            ("0e999999999999999999999", Some(0)),
            ("9223372036854775808", Some(two_63)),
            ("9223372036854775808.0", Some(two_63)),
            ("18446744073709551616", Some(two_63 * 2)),
            ("true", Some(1)),
            ("false", Some(0)),
            (r#""1""#, Some(1)),
            (r#""-5""#, Some(-5)),
            (r#""\u0031""#, Some(1)),
            (r#""9223372036854775808""#, Some(two_63)),
            ("1.5", None),
            ("1e-1", None),
            ("0.1", None),
            ("1e400", None),
            ("-1e400", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            (r#""""#, None),
            (r#""-""#, None),
            (r#""+1""#, None),
            (r#"" 1""#, None),
            (r#""1.0""#, None),
            (r#""0x1""#, None),
            (r#""one""#, None),
            ("null", None),
            ("{}", None),
            ("[]", None),
            ("[1]", None),
        ] {
            assert_eq!(integer(json), want, "{json}");
        }
        assert_eq!(integer(&"9".repeat(1_000_000)), None);
        assert_eq!(integer(&format!("1{}e-1000", "0".repeat(1000))), Some(1));
    }

    #[test]
    fn booleans() {
        for json in ["true", "1", "1.0", r#""true""#, r#""TRUE""#, r#""Yes""#, r#""1""#] {
            assert_eq!(boolean(json), Some(true), "{json}");
        }
        for json in ["false", "0", "0.0", r#""false""#, r#""False""#, r#""NO""#, r#""0""#] {
            assert_eq!(boolean(json), Some(false), "{json}");
        }
        for json in ["2", "-1", "null", r#""""#, r#""on""#, r#""t""#, "{}", "[]", "1e400"] {
            assert_eq!(boolean(json), None, "{json}");
        }
    }

    #[test]
    fn cookies() {
        for (json, want) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (r#""7""#, Some(7)),
            (r#""""#, Some(0)),
            ("false", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("1.5", None),
            (r#""x""#, None),
            ("{}", None),
        ] {
            assert_eq!(cookie(json), want, "{json}");
        }
    }

    #[test]
    fn pair_cookies() {
        assert_eq!(pair_cookie_text(1, 1), "AAAAAAAAAAEAAAAAAAAAAQ==");
        for first in ["null", r#""""#, "false", "0", "0.0"] {
            assert_eq!(pair_cookie(first), Some((0, 0)), "{first}");
        }
        for (directories, files) in [(0, 1), (2, 2), (u64::MAX, 1 << 40), (7, u64::MAX)] {
            let json = format!("\"{}\"", pair_cookie_text(directories, files));
            assert_eq!(pair_cookie(&json), Some((directories, files)));
        }
        assert_eq!(pair_cookie(r#""AAAAAAAAAAEAAAAAAAAAAQ\u003d\u003d""#), Some((1, 1)));
        for none in [
            "1",
            "true",
            "{}",
            "[]",
            r#""0""#,
            r#""AAAA""#,
            r#""AAAAAAAAAAEAAAAAAAAAAQ""#,
            r#""AAAAAAAAAAEAAAAAAAAAAR==""#,
            r#""AAAAAAAAAAEAAAAAAAAAAQ==\n""#,
            r#""AAAAAAAAAAEAAAAAAAAAAQEB""#,
            r#""\ud800""#,
        ] {
            assert_eq!(pair_cookie(none), None, "{none}");
        }
    }

    #[test]
    fn flags() {
        for (json, want) in [
            ("0", Some(false)),
            ("1", Some(true)),
            (r#""1""#, Some(true)),
            (r#""FF_CREATE_DESTDIR""#, Some(true)),
            ("true", Some(true)),
            ("2", None),
            (r#""FF_OTHER""#, None),
            ("{}", None),
        ] {
            assert_eq!(fetch_flags(json), want, "{json}");
        }
    }
}
