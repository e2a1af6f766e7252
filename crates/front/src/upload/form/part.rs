//! Reading a part's headers: its name, its file's name and type. Also parameters of header values, quoted or not.
//!
//! Pure. Clients write names in several ways, and what they mean is taken: raw UTF-8 or Latin-1 bytes, RFC 5987's
//! `filename*`, backslashes before quotes and backslashes (RFC 9110), browsers' `%22`, `%0D` and `%0A` (WHATWG).

use percent_encoding::percent_decode;

/// What the headers of a part say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::upload) struct Part {
    /// The field's name.
    pub(in crate::upload) name: Option<String>,
    /// The file's name.
    pub(in crate::upload) file_name: Option<String>,
    /// The file's type, as given.
    pub(in crate::upload) content_type: Option<String>,
}

impl Part {
    /// Reads a header block, its lines ended by `\r\n`, and after them an empty one. Of a header sent twice the first
    /// counts. `None`: a line is no header.
    pub(super) fn read(block: &[u8]) -> Option<Self> {
        let mut part = Part::default();
        let mut seen = [false; 2];
        for line in lines(block)? {
            let colon = memchr::memchr(b':', &line)?;
            let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-disposition") && !seen[0] {
                seen[0] = true;
                part.disposition(value);
            } else if name.eq_ignore_ascii_case(b"content-type") && !seen[1] {
                seen[1] = true;
                part.content_type = Some(text(value));
            }
        }
        Some(part)
    }

    fn disposition(&mut self, value: &[u8]) {
        let (_, parameters) = parameters(value);
        let find = |name: &str| parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        self.name = find("name").map(|(_, value)| text(&unescape(value)));
        let extended = find("filename*").and_then(|(_, value)| extended(value));
        let plain = || find("filename").map(|(_, value)| text(&unescape(value)));
        self.file_name = extended.or_else(plain);
    }
}

/// The boundary in a `Content-Type` of multipart/form-data.
pub(super) fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let (kind, parameters) = parameters(content_type);
    if !kind.eq_ignore_ascii_case(b"multipart/form-data") {
        return None;
    }
    let is_boundary = |(name, _): &(String, Vec<u8>)| name.eq_ignore_ascii_case("boundary");
    parameters.into_iter().find(is_boundary).map(|(_, value)| value)
}

/// The lines of a block, folded ones made whole. `None`: a line break of another kind, or a NUL.
fn lines(block: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut rest = block;
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return None;
        }
        match lines.last_mut() {
            _ if line.is_empty() => {}
            Some(last) if matches!(line[0], b' ' | b'\t') => last.extend_from_slice(line),
            _ => lines.push(line.to_vec()),
        }
    }
    Some(lines)
}

/// A value such as `form-data; name="a"; filename=b`: what stands first, and the parameters.
fn parameters(value: &[u8]) -> (&[u8], Vec<(String, Vec<u8>)>) {
    let cut = memchr::memchr(b';', value).unwrap_or(value.len());
    let (kind, mut rest) = value.split_at(cut);
    let mut found = Vec::new();
    while let Some(after) = rest.strip_prefix(b";") {
        let end = after.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(after.len());
        let name = text(after[..end].trim_ascii());
        rest = &after[end..];
        let Some(value) = rest.strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        let (value, left) = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted_string(quoted),
            None => {
                let end = memchr::memchr(b';', value).unwrap_or(value.len());
                (value[..end].trim_ascii().to_vec(), &value[end..])
            }
        };
        found.push((name, value));
        let next = memchr::memchr(b';', left).unwrap_or(left.len());
        rest = &left[next..];
    }
    (kind.trim_ascii(), found)
}

/// What stands before the quote that ends a string, and what stands after it.
fn quoted_string(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, text.get(at + 1)) {
            (b'"', _) => return (value, &text[at + 1..]),
            // Other backslashes are part of the name, as browsers send them.
            (b'\\', Some(&escaped @ (b'"' | b'\\'))) => {
                value.push(escaped);
                at += 2;
            }
            _ => {
                value.push(byte);
                at += 1;
            }
        }
    }
    // It does not end: a name that ends in a backslash, from a client that escapes none.
    let end = memchr::memchr(b'"', text).unwrap_or(text.len());
    (text[..end].to_vec(), text.get(end + 1..).unwrap_or_default())
}

/// Takes back what browsers make of characters that would end a quoted string, and nothing else.
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, left) = match rest {
            [b'%', b'2', b'2', left @ ..] => (b'"', left),
            [b'%', b'0', b'D' | b'd', left @ ..] => (b'\r', left),
            [b'%', b'0', b'A' | b'a', left @ ..] => (b'\n', left),
            _ => (first, after),
        };
        plain.push(byte);
        rest = left;
    }
    plain
}

/// A value as RFC 5987 writes it: character set, language, percent-encoded bytes.
fn extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |&byte| byte == b'\'');
    let (charset, _language, coded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_decode(coded).collect();
    if charset.eq_ignore_ascii_case(b"UTF-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case(b"ISO-8859-1") {
        Some(bytes.into_iter().map(char::from).collect())
    } else {
        None
    }
}

/// UTF-8, or else Latin-1.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disposition(parameters: &str) -> Part {
        let block = [b"Content-Disposition: form-data; ", parameters.as_bytes(), b"\r\n\r\n"];
        Part::read(&block.concat()).unwrap()
    }

    #[test]
    fn file_names_of_all_kinds() {
        for (written, meant) in [
            (r#"filename="a b.txt""#, "a b.txt"),
            ("filename=a.txt", "a.txt"),
            ("FileName =  a b.txt ; x=y", "a b.txt"),
            (r#"filename="a;b=c.txt"; x="#, "a;b=c.txt"),
            (r#"filename="a%22b%0D%0ac%20.txt""#, "a\"b\r\nc%20.txt"),
            (r#"filename="a\"b\\c""#, "a\"b\\c"),
            (r#"filename="C:\dir\a.txt""#, r"C:\dir\a.txt"),
            (r#"filename="a\""#, r"a\"),
            (r#"filename="open"#, "open"),
            ("filename=\"今日.txt\"", "今日.txt"),
            (r#"filename="";"#, ""),
            ("filename=b; filename*=UTF-8''%e4%bb%8a%20a", "今 a"),
            ("filename*=utf-8'en'%e4%bb%8a; filename=b", "今"),
            ("filename*=iso-8859-1''caf%E9", "café"),
            ("filename=b; filename*=UTF-8''%ff", "b"),
            ("filename=b; filename*=KOI8-R''%ff", "b"),
            ("filename=b; filename*=nothing", "b"),
            ("filename=first; filename=second", "first"),
        ] {
            assert_eq!(disposition(written).file_name.as_deref(), Some(meant), "{written}");
        }
        assert_eq!(disposition("name=a").file_name, None);
        assert_eq!(disposition(r#"name="a%22b""#).name.as_deref(), Some("a\"b"));
        assert_eq!(disposition("").name, None);
        let latin = b"content-disposition:form-data;name=x;filename=\"caf\xe9\"\r\n\r\n";
        assert_eq!(Part::read(latin).unwrap().file_name.as_deref(), Some("café"));
    }

    #[test]
    fn header_blocks() {
        let part = Part::read(
            b"CONTENT-TYPE:  text/plain; charset=x \r\nX: y\r\nContent-Disposition: form-data;\r\n \
              name=\"a\"\r\nContent-Disposition: form-data; name=b\r\nContent-Type: a/b\r\n\r\n",
        )
        .unwrap();
        assert_eq!(part.name.as_deref(), Some("a"));
        assert_eq!(part.content_type.as_deref(), Some("text/plain; charset=x"));
        assert_eq!(Part::read(b"\r\n"), Some(Part::default()));
        for bad in
            [&b"no header\r\n\r\n"[..], b"a: b\nc: d\r\n\r\n", b"a: \0\r\n\r\n", b"a: \r \r\n\r\n"]
        {
            assert_eq!(Part::read(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn boundaries() {
        for (value, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data ;charset=x; BOUNDARY=\"a b;c\"", Some("a b;c")),
            ("multipart/form-data;boundary= abc ;x=y", Some("abc")),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data", None),
            ("multipart/mixed; boundary=abc", None),
            ("", None),
        ] {
            let found = boundary(value.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        }
    }
}
