//! `Content-Disposition: attachment` with a file's name (RFC 6266, RFC 8187).
//!
//! A name is whatever a user chose: quotes, line breaks, any script. Here it becomes header characters.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What an extended value encodes: all but `attr-char` (RFC 8187, section 3.2.1).
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header's value. What an old browser may misread stands as `_` in the plain name and as it is in the extended one.
pub(super) fn attachment(name: &str) -> Option<HeaderValue> {
    let plain = |c: char| (c == ' ' || c.is_ascii_graphic()) && !"\"\\%/".contains(c);
    let fallback: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut value = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        value.push_str(&format!("; filename*=UTF-8''{}", utf8_percent_encode(name, EXTENDED)));
    }
    HeaderValue::from_str(&value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: &str) -> String {
        attachment(name).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn names() {
        for (name, value) in [
            ("a b.mp4", r#"attachment; filename="a b.mp4""#),
            ("it's;x=1.txt", r#"attachment; filename="it's;x=1.txt""#),
            ("今.txt", r#"attachment; filename="_.txt"; filename*=UTF-8''%E4%BB%8A.txt"#),
            (
                "\"; filename=x",
                r#"attachment; filename="_; filename=x"; filename*=UTF-8''%22%3B%20filename%3Dx"#,
            ),
            ("a\r\nX: y", r#"attachment; filename="a__X: y"; filename*=UTF-8''a%0D%0AX%3A%20y"#),
            ("100%\\", r#"attachment; filename="100__"; filename*=UTF-8''100%25%5C"#),
        ] {
            assert_eq!(text(name), value);
        }
    }

    proptest! {
        #[test]
        fn any_name_is_a_header(name in "\\PC{1,40}|.{1,10}|[\\x00-\\x20\"\\\\]{1,10}") {
            let value = text(&name);
            let quotes = value.matches('"').count();
            prop_assert!(quotes == 2 && value.bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
