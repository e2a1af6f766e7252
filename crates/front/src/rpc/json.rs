//! Writing JSON straight into bytes: what an answer needs and nothing more.
//!
//! What lives here: [`Json`], a growing text. What does not: any idea of what is being written, and reading. A page of
//! 10,000 entries goes through here row by row without a value tree, so nothing here allocates but the text itself.

/// A JSON text in the making. The caller puts the pieces in an order that makes sense; each piece by itself is
/// always well-formed, whatever a name holds.
#[derive(Debug, Default)]
pub(super) struct Json(Vec<u8>);

impl Json {
    /// A piece of JSON as it is: punctuation, keys, or a value that came as JSON.
    pub(super) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A string. U+2028 and U+2029 are escaped too: older browsers' scripts end a line at them.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        let bytes = text.as_bytes();
        let mut copied = 0;
        self.0.push(b'"');
        for (at, &byte) in bytes.iter().enumerate() {
            if !SPECIAL[usize::from(byte)] {
                continue;
            }
            let width = match bytes[at..] {
                [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
                [0xe2, ..] => continue,
                _ => 1,
            };
            self.0.extend_from_slice(&bytes[copied..at]);
            copied = at + width;
            self.escape(byte, bytes[copied - 1]);
        }
        self.0.extend_from_slice(&bytes[copied..]);
        self.0.push(b'"');
        self
    }

    /// The escape for a special byte; `last` is the last byte of its character.
    fn escape(&mut self, byte: u8, last: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0xe2 => {
                self.raw(if last == 0xa8 { "\\u2028" } else { "\\u2029" });
                return;
            }
            _ => {
                self.0.extend_from_slice(b"\\u00");
                self.digits(byte);
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [b'0'; 20]; // 2^64 - 1 has 20
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] += (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[at..]);
        self
    }

    /// A code.
    pub(super) fn code(&mut self, code: i32) -> &mut Self {
        if code < 0 {
            self.0.push(b'-');
        }
        self.number(u64::from(code.unsigned_abs()))
    }

    /// Seconds with a fraction, to the millisecond.
    pub(super) fn seconds(&mut self, seconds: f64) -> &mut Self {
        let finite = if seconds.is_finite() { seconds } else { 0.0 };
        self.raw(&format!("{finite:.3}"))
    }

    /// A string of lower-case hex digits.
    pub(super) fn hex(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.push(b'"');
        for &byte in bytes {
            self.digits(byte);
        }
        self.0.push(b'"');
        self
    }

    fn digits(&mut self, byte: u8) {
        self.0.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }

    /// What another text holds, after this one.
    pub(super) fn append(&mut self, other: &Json) -> &mut Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// The text.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes that [`Json::string`] has to look at: control characters, the two that JSON escapes, and the first byte of the
/// line separators.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special[0xe2] = true;
    special
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str) -> String {
        let mut json = Json::default();
        json.string(text);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn names_are_escaped() {
        for (text, json) in [
            ("", r#""""#),
            ("a", r#""a""#),
            ("a\nb", r#""a\nb""#),
            ("\"; filename=x", r#""\"; filename=x""#),
            ("C:\\a\\..", r#""C:\\a\\..""#),
            ("\u{0}\u{1}\u{1f}\u{7f}", "\"\\u0000\\u0001\\u001f\u{7f}\""),
            ("\u{8}\u{c}\r\t", r#""\b\f\r\t""#),
            ("\u{202e}gpj.exe", "\"\u{202e}gpj.exe\""),
            ("a\u{2028}b\u{2029}", r#""a\u2028b\u2029""#),
            ("\u{2027}\u{202a}€", "\"\u{2027}\u{202a}€\""),
            ("今日は", "\"今日は\""),
            ("<img onerror>", r#""<img onerror>""#),
        ] {
            assert_eq!(string(text), json, "{text:?}");
        }
    }

    #[test]
    fn numbers() {
        let mut json = Json::default();
        json.number(0).raw(" ").number(10_203).raw(" ").number(u64::MAX).raw(" ").code(-10_001);
        json.raw(" ").code(0).raw(" ").code(i32::MIN).raw(" ").hex(&[0, 0xa5, 0xff]);
        json.raw(" ").seconds(0.0).raw(" ").seconds(12.3456).raw(" ").seconds(f64::NAN);
        let text = String::from_utf8(json.into_bytes()).unwrap();
        assert_eq!(
            text,
            "0 10203 18446744073709551615 -10001 0 -2147483648 \"00a5ff\" 0.000 12.346 0.000"
        );
    }

    proptest! {
        #[test]
        fn any_string_reads_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }
    }
}
