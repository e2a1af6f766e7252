//! For `fuzz/` alone: the parsers of this room, and what has to be true of what they read.

use bytes::Bytes;
use http::HeaderValue;

use super::{
    coding::{self, Coding},
    form::{Event, Form, FormError, Part},
    headers, signature, spec,
};
use crate::{
    FormLimits,
    fuzzing::{header_map, line},
};

/// Forms: two bytes that say how the body is cut, one that is odd for narrow limits, a `Content-Type`'s value up to the
/// end of its line, the body. A value without a usable boundary leaves the body to the boundary `b`.
pub fn form(bytes: &[u8]) {
    let Some(([one, other, narrow], rest)) = bytes.split_first_chunk() else { return };
    let limits = if narrow & 1 == 1 {
        FormLimits {
            parts_max: 3,
            part_header_bytes_max: 100,
            outside_bytes_max: 20,
            ..FormLimits::default()
        }
    } else {
        FormLimits::default()
    };
    let (kind, body) = line(rest);
    let boundary = Form::boundary(kind).filter(|b| Form::new(b, limits).is_ok());
    let boundary = boundary.unwrap_or_else(|| b"b".to_vec());
    let whole = read(&boundary, limits, body, [body.len(), 1]);
    let sizes = [usize::from(*one) + 1, usize::from(*other) + 1];
    assert_eq!(read(&boundary, limits, body, sizes), whole, "cut by {sizes:?}");
    assert_eq!(read(&boundary, limits, body, [1, 1]), whole, "cut by ones");
}

/// Whole parts with their data, whether the form ended, and the outcome. Of a part that is cut off nothing is promised.
type Read = (Vec<(Part, Vec<u8>)>, bool, Result<(), FormError>);

/// Reads a body in chunks of two sizes in turn.
fn read(boundary: &[u8], limits: FormLimits, body: &[u8], sizes: [usize; 2]) -> Read {
    let mut form = Form::new(boundary, limits).expect("a boundary that was tried");
    let (mut parts, mut open, mut ended) = (Vec::new(), None::<(Part, Vec<u8>)>, false);
    let (mut rest, mut sizes) = (Bytes::copy_from_slice(body), sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| *size).min(rest.len());
        let mut chunk = rest.split_to(size);
        loop {
            match form.next(&mut chunk) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    assert!(!ended, "an event after the end");
                    match (event, &mut open) {
                        (Event::PartBegin(part), None) => open = Some((part, Vec::new())),
                        (Event::Data(data), Some((_, all))) => {
                            assert!(!data.is_empty());
                            all.extend_from_slice(&data);
                        }
                        (Event::PartEnd, open) => parts.push(open.take().expect("an open part")),
                        (Event::End, None) => ended = true,
                        (event, open) => panic!("{event:?} after {open:?}"),
                    }
                }
                Err(error) => {
                    assert_eq!(form.next(&mut Bytes::from_static(b"x")), Err(error), "it stays");
                    return (parts, ended, Err(error));
                }
            }
        }
        assert!(chunk.is_empty());
    }
    assert!(parts.len() <= limits.parts_max);
    let data: usize = parts.iter().map(|(_, data)| data.len()).sum();
    assert!(data <= body.len(), "more than was sent");
    (parts, ended, form.finish())
}

/// Signed requests: the first line is the path that is called, the others are headers.
pub fn signature(bytes: &[u8]) {
    let (path, lines) = line(bytes);
    let Ok(path) = std::str::from_utf8(path) else { return };
    let mut headers = header_map(lines);
    let Some(signed) = signature::read(path, &headers) else { return };
    let value = headers[signature::SIGNATURE].as_bytes().trim_ascii();
    let rest =
        value.strip_prefix(&signed.message[..]).expect("what is signed stands in the header");
    assert!(rest.starts_with(b"&signature="));
    let query = signed.message.strip_prefix(path.as_bytes()).expect("it signs this path");
    assert_eq!(query[0], b'?');
    for name in headers.keys().filter_map(|name| name.as_str().strip_prefix("x-agile-")) {
        let term = format!("{name}=").into_bytes();
        let has = query[1..].split(|b| *b == b'&').any(|t| t.starts_with(&term));
        assert!(has || name == "signature", "{name} is not signed");
    }
    assert!(signature::read("/post/other", &headers).is_none() || path == "/post/other");
    // A header more, a header twice, a header less: each is another request.
    let names: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("x-agile-")).cloned().collect();
    for name in names {
        let mut less = headers.clone();
        let removed = less.remove(&name).expect("it was listed");
        assert!(signature::read(path, &less).is_none(), "without {name}");
        let mut twice = headers.clone();
        twice.append(&name, removed);
        assert!(signature::read(path, &twice).is_none(), "with {name} twice");
    }
    if headers.insert("x-agile-another", HeaderValue::from_static("value")).is_none() {
        assert!(signature::read(path, &headers).is_none(), "with a header that nobody signed");
    }
}

/// Names and values: the first line is a name as a header holds it, the others are headers of an upload.
pub fn headers(bytes: &[u8]) {
    let (name, lines) = line(bytes);
    for coding in [Coding::Plain, Coding::Utf8] {
        let Ok(text) = coding::decode(name, coding) else { continue };
        assert!(coding == Coding::Utf8 || text.as_bytes() == name, "plain is as it stands");
        let plain = coding::encode(&text, Coding::Plain);
        assert!(plain.bytes().all(|b| (b' '..=b'~').contains(&b)));
        let coded = coding::encode(&text, Coding::Utf8);
        assert!(coded.bytes().all(|b| (b'!'..=b'~').contains(&b) && b != b'+'));
        assert_eq!(coding::decode(coded.as_bytes(), Coding::Utf8), Ok(text));
    }
    let map = header_map(lines);
    let twice = |name: &&http::HeaderName| {
        name.as_str().starts_with("x-agile-") && map.get_all(*name).iter().count() > 1
    };
    assert_eq!(headers::once_each(&map).is_err(), map.keys().any(|name| twice(&name)));
    let coding = headers::coding(&map, headers::ENCODING).unwrap_or(Coding::Plain);
    if let Ok(put) = spec::put(&map, coding, "fuzz-") {
        assert!(put.path.name().is_some_and(|name| !name.contains("..")));
        assert!(put.mtime != Some(0));
    }
    let _ = (headers::expiry(&map), headers::multipart(&map), headers::part(&map));
    let _ = (headers::text(&map, headers::USERNAME), headers::text(&map, headers::PASSWORD));
}
