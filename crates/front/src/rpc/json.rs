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
        if is_plain(bytes) {
            self.0.extend_from_slice(bytes);
            self.0.push(b'"');
            return self;
        }
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
                self.0.extend_from_slice(&hex_pair(byte));
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [b'0'; 20]; // 2^64 - 1 has 20
        let mut at = digits.len();
        while number >= 100 {
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
            number /= 100;
        }
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        if number < 10 {
            at += 1;
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
        for part in bytes.chunks(HEX_BYTES) {
            let mut digits = [0; 2 * HEX_BYTES];
            for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
                pair.copy_from_slice(&hex_pair(*byte));
            }
            self.0.extend_from_slice(&digits[..2 * part.len()]);
        }
        self.0.push(b'"');
        self
    }

    /// Says how many bytes will come, so that a long text is not moved while it grows.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// The text.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes that [`Json::hex`] turns into digits at a time: a checksum.
const HEX_BYTES: usize = 32;

fn hex_pair(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut n = 0_u8;
    while n < 100 {
        pairs[n as usize] = [b'0' + n / 10, b'0' + n % 10];
        n += 1;
    }
    pairs
};

/// Whether there is nothing in `bytes` that [`Json::string`] has to look at: nearly every name, told eight bytes at a time.
/// Never true where a byte is `SPECIAL`.
fn is_plain(bytes: &[u8]) -> bool {
    const LOW: u64 = u64::MAX / 255;
    const HIGH: u64 = LOW << 7;
    // The top bit of each byte that is 0, or that borrowed from one that is.
    let zero = |x: u64| x.wrapping_sub(LOW) & !x & HIGH;
    let is = |x: u64, byte: u8| zero(x ^ (LOW * u64::from(byte)));
    let (eights, rest) = bytes.as_chunks::<8>();
    eights.iter().all(|eight| {
        let x = u64::from_le_bytes(*eight);
        let control = x.wrapping_sub(LOW * 0x20) & !x & HIGH;
        control | is(x, b'"') | is(x, b'\\') | is(x, 0xe2) == 0
    }) && rest.iter().all(|&byte| !SPECIAL[usize::from(byte)])
}

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

    #[test]
    fn a_special_byte_is_seen_wherever_it_stands() {
        for byte in 0..=255 {
            for at in 0..11 {
                for beside in [b'a', 0x20, 0x7f, 0x80, 0xe3, 0xff] {
                    let mut bytes = [beside; 11];
                    bytes[at] = byte;
                    let special = SPECIAL[usize::from(byte)];
                    assert!(!(special && is_plain(&bytes)), "{bytes:?}");
                }
            }
            assert_eq!(is_plain(&[byte; 9]), !SPECIAL[usize::from(byte)]);
        }
        assert!(is_plain(b"photo-00000001.jpg"));
    }

    proptest! {
        #[test]
        fn any_number_reads_back(number in any::<u64>(), shift in 0..64_u32) {
            let mut json = Json::default();
            json.number(number >> shift);
            let text = String::from_utf8(json.into_bytes()).unwrap();
            prop_assert_eq!(text, (number >> shift).to_string());
        }

        #[test]
        fn any_string_reads_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }
    }
}
