//! Tests of `form`: what is a form and what is not, limits, and that it does not matter how a body is cut into chunks.

use proptest::prelude::*;

use super::*;

const HEADERS_BYTES_MAX: usize = 16 * 1024;
const PARTS_MAX: usize = 100;
const OUTSIDE_BYTES_MAX: usize = 64 * 1024;

const LIMITS: FormLimits = FormLimits {
    parts_max: PARTS_MAX,
    part_header_bytes_max: HEADERS_BYTES_MAX,
    field_bytes_max: 1,
    fields_bytes_max: 1,
    outside_bytes_max: OUTSIDE_BYTES_MAX,
};

/// An event as tests write it; data in one piece, however it came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Part(Part, Vec<u8>),
    /// A part that did not end.
    Cut(Part, Vec<u8>),
    End,
}

/// Reads a body that comes in chunks of the given sizes, over and over.
fn read_in(boundary: &[u8], body: &[u8], sizes: &[usize]) -> (Vec<Seen>, Result<(), FormError>) {
    let mut form = Form::new(boundary, LIMITS).unwrap();
    let (mut seen, mut open) = (Vec::new(), None::<(Part, Vec<u8>)>);
    let (mut rest, mut sizes) = (Bytes::copy_from_slice(body), sizes.iter().cycle());
    let mut outcome = Ok(());
    'body: while !rest.is_empty() {
        let mut chunk = rest.split_to(rest.len().min(*sizes.next().unwrap()));
        loop {
            match form.next(&mut chunk) {
                Ok(None) => break,
                Ok(Some(Event::PartBegin(part))) => {
                    assert!(open.replace((part, Vec::new())).is_none());
                }
                Ok(Some(Event::Data(data))) => {
                    assert!(!data.is_empty());
                    open.as_mut().unwrap().1.extend_from_slice(&data);
                }
                Ok(Some(Event::PartEnd)) => {
                    let (part, data) = open.take().unwrap();
                    seen.push(Seen::Part(part, data));
                }
                Ok(Some(Event::End)) => seen.push(Seen::End),
                Err(error) => {
                    assert_eq!(form.next(&mut Bytes::from_static(b"x")), Err(error), "it stays");
                    outcome = Err(error);
                    break 'body;
                }
            }
            bounded(&form);
        }
        assert!(chunk.is_empty());
    }
    seen.extend(open.map(|(part, data)| Seen::Cut(part, data)));
    (seen, outcome.and_then(|()| form.finish()))
}

/// What a form keeps is bounded, whatever comes.
fn bounded(form: &Form) {
    assert!(form.held.len() <= form.mark.len() + 2 && form.block.len() <= HEADERS_BYTES_MAX);
    assert!(form.parts <= PARTS_MAX && form.outside <= OUTSIDE_BYTES_MAX);
}

fn read(body: &[u8]) -> (Vec<Seen>, Result<(), FormError>) {
    let whole = read_in(b"b", body, &[usize::MAX]);
    assert_eq!(read_in(b"b", body, &[1]), whole, "byte by byte: {}", body.escape_ascii());
    whole
}

fn named(name: &str) -> Part {
    Part { name: Some(name.to_owned()), ..Part::default() }
}

fn field(name: &str, data: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n");
    [head.as_bytes(), data, b"\r\n"].concat()
}

fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body: Vec<u8> = fields.iter().flat_map(|(name, data)| field(name, data)).collect();
    body.extend_from_slice(b"--b--\r\n");
    body
}

#[test]
fn forms() {
    let part = |data: &[u8]| Seen::Part(named("x"), data.to_vec());
    for data in [
        &b""[..],
        b"a",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"--bb",
        b"x--b--",
        b"\n--b",
        b"\r--b--",
        b"\r\n-",
        b"\r\n--",
        b"\r\n--bb",
        b"\r\n--b-x",
        b"\r\n--b\rx",
        b"\r\n--B--",
        b"\r\r\n--",
        b"\r\n--b\r\r\n--b\r",
        b"\r\n--bx\r\n--b-\r\n--",
    ] {
        let (seen, outcome) = read(&form(&[("x", data)]));
        assert_eq!(
            (seen, outcome),
            (vec![part(data), Seen::End], Ok(())),
            "{}",
            data.escape_ascii()
        );
    }
    let two = read(&form(&[("x", b"1"), ("x", b"2")])).0;
    assert_eq!(two, [part(b"1"), part(b"2"), Seen::End]);
    assert_eq!(read(b"--b--"), (vec![Seen::End], Ok(())));
}

#[test]
fn around_and_between() {
    let x = |data: &[u8]| vec![Seen::Part(named("x"), data.to_vec()), Seen::End];
    let head = "Content-Disposition: form-data; name=x\r\n";
    for (body, seen) in [
        (format!("preamble\r\n--bb\r\n--b \t\r\n{head}\r\n1\r\n--b--"), x(b"1")),
        (format!("\r\n--b\r\n{head}\r\n1\r\n--b--epilogue\r\n--b\r\n"), x(b"1")),
        // Headers that end in the boundary.
        (format!("--b\r\n{head}\r\n--b--"), x(b"")),
        (format!("--b\r\n{head}\r\n--bb\r\n--b--"), x(b"--bb")),
        // No headers at all.
        (
            "--b\r\n\r\n1\r\n--b--".to_owned(),
            vec![Seen::Part(Part::default(), vec![b'1']), Seen::End],
        ),
    ] {
        assert_eq!(read(body.as_bytes()), (seen, Ok(())), "{body:?}");
    }
}

#[test]
fn broken_forms() {
    for (body, error) in [
        (&b""[..], FormError::Unended),
        (b"no form", FormError::Unended),
        (b"--b", FormError::Unended),
        (b"--b-", FormError::Unended),
        (b"--b\r\nA: b\r\n\r\ndata", FormError::Unended),
        (b"--b\r\nA: b\r\n\r\ndata\r\n--b", FormError::Unended),
        (b"--b\r\nA: b\r\n\r\ndata\r\n--b-", FormError::Unended),
        (b"--b\r\nA: b\r\n\r\ndata\n--b--", FormError::Unended),
        (b"--b\r\nA: b\r\n", FormError::Unended),
        (b"--b x\r\n", FormError::Broken),
        (b"--b \n", FormError::Broken),
        (b"--b\r\nno header\r\n\r\n", FormError::Broken),
        (b"--b\r\n--b\r\n\r\n", FormError::Broken),
    ] {
        assert_eq!(read(body).1, Err(error), "{}", body.escape_ascii());
    }
}

#[test]
fn limits() {
    let outcome = |body: &[u8]| read_in(b"b", body, &[1000]).1;
    let fields = |count: usize| form(&vec![("x", &b"1"[..]); count]);
    assert_eq!(outcome(&fields(PARTS_MAX)), Ok(()));
    assert_eq!(outcome(&fields(PARTS_MAX + 1)), Err(FormError::TooLarge));
    let padded = |len: usize| format!("--b{}\r\n\r\n\r\n--b--", " ".repeat(len)).into_bytes();
    assert_eq!(outcome(&padded(HEADERS_BYTES_MAX - 2)), Ok(()));
    assert_eq!(outcome(&padded(HEADERS_BYTES_MAX - 1)), Err(FormError::TooLarge));
    let headed = |len: usize| format!("--b\r\nA:{}\r\n\r\n\r\n--b--", " ".repeat(len)).into_bytes();
    assert_eq!(outcome(&headed(HEADERS_BYTES_MAX - 8)), Ok(()));
    assert_eq!(outcome(&headed(HEADERS_BYTES_MAX - 7)), Err(FormError::TooLarge));
    let around = |before: usize, after: usize| {
        format!("{}\r\n--b--{}", "x".repeat(before), "x".repeat(after)).into_bytes()
    };
    assert_eq!(outcome(&around(1, OUTSIDE_BYTES_MAX - 1)), Ok(()));
    assert_eq!(outcome(&around(OUTSIDE_BYTES_MAX, 1)), Err(FormError::TooLarge));
    assert!(Form::new(&[b'x'; BOUNDARY_BYTES_MAX], LIMITS).is_ok());
    for boundary in [&b""[..], &[b'x'; BOUNDARY_BYTES_MAX + 1], b"a\r", b"a\nb", b"\xff"] {
        assert_eq!(Form::new(boundary, LIMITS).err(), Some(FormError::Broken));
    }
}

/// Data are slices of what came, but for the few bytes that a boundary may have begun in.
#[test]
fn data_is_not_copied() {
    let mut form = Form::new(b"b", LIMITS).unwrap();
    let mut head = Bytes::from_static(b"--b\r\n\r\n");
    while form.next(&mut head).unwrap().is_some() {}
    let mut chunk = Bytes::from(vec![b'x'; 10_000]);
    let range = chunk.as_ptr_range();
    let mut len = 0;
    while let Some(Event::Data(data)) = form.next(&mut chunk).unwrap() {
        assert!(range.contains(&data.as_ptr()));
        len += data.len();
    }
    assert_eq!(len, 10_000);
}

/// Reads a whole body by splitting it at whatever is a boundary: what `form` must agree with.
fn naive(boundary: &[u8], body: &[u8]) -> (Vec<Seen>, Result<(), FormError>) {
    let mark = [b"\r\n--", boundary].concat();
    let body = [b"\r\n", body].concat();
    let mut seen = Vec::new();
    let mut open: Option<Part> = None;
    let (mut at, mut start) = (0, 2);
    while at < body.len() {
        let rest = body[at..].strip_prefix(&mark[..]);
        if rest.is_some_and(|rest| rest.starts_with(b"--")) {
            let data = body.get(start..at).unwrap_or_default().to_vec();
            seen.extend(open.take().map(|part| Seen::Part(part, data)));
            seen.push(Seen::End);
            return (seen, Ok(()));
        }
        let line = rest.filter(|rest| {
            rest.starts_with(b"\r\n") || rest.starts_with(b" ") || rest.starts_with(b"\t")
        });
        let Some(rest) = line else {
            at += 1;
            continue;
        };
        let data = body.get(start..at).unwrap_or_default().to_vec();
        seen.extend(open.take().map(|part| Seen::Part(part, data)));
        let Some(end) = rest.iter().position(|&b| b == b'\n') else {
            return (seen, Err(FormError::Unended));
        };
        let padding = rest[..=end].strip_suffix(b"\r\n");
        if !padding.is_some_and(|p| p.iter().all(|b| b" \t".contains(b))) {
            return (seen, Err(FormError::Broken));
        }
        // From the line break on, so that an empty block ends like any other.
        let block = &rest[end - 1..];
        let Some(len) = block.windows(4).position(|four| four == b"\r\n\r\n") else {
            return (seen, Err(FormError::Unended));
        };
        let Some(part) = Part::read(&block[2..len + 4]) else {
            return (seen, Err(FormError::Broken));
        };
        open = Some(part);
        start = body.len() - block.len() + len + 4;
        // The line break that ends the headers may begin a boundary.
        at = start - 2;
    }
    let data = body.get(start..).unwrap_or_default().to_vec();
    seen.extend(open.map(|part| Seen::Cut(part, data)));
    (seen, Err(FormError::Unended))
}

/// Pieces that bodies are made of: whole lines, and what looks like a boundary and is none, or not yet.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        &b"--b"[..],
        b"\r\n--b",
        b"\r\n--b\r\n",
        b"\r\n--b--",
        b"\r\n--b \t\r\n",
        b"\r\n--bx",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"-",
        b"--",
        b" ",
        b"A: b",
        b"data",
        b"\r\n--b\r\nContent-Disposition: form-data; name=x\r\n\r\n",
    ];
    prop_oneof![
        6 => prop::sample::select(known.map(<[u8]>::to_vec).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Data of a part that a body did not end: how much of it was passed on is not promised.
fn without_cut(seen: Vec<Seen>) -> Vec<Seen> {
    seen.into_iter().filter(|seen| !matches!(seen, Seen::Cut(..))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_chunking_agrees_with_the_naive_reader(
        pieces in prop::collection::vec(piece(), 0..14),
        sizes in prop::collection::vec(1_usize..12, 1..6),
    ) {
        let body = pieces.concat();
        let (seen, outcome) = naive(b"b", &body);
        for sizes in [&sizes[..], &[1], &[usize::MAX]] {
            let (found, end) = read_in(b"b", &body, sizes);
            prop_assert_eq!(without_cut(found), without_cut(seen.clone()), "{:?}", sizes);
            prop_assert_eq!(end, outcome);
        }
    }

    #[test]
    fn what_is_written_is_read(
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
        sizes in prop::collection::vec(1_usize..100, 1..6),
    ) {
        // No field holds a boundary: it is longer than the fields are likely to agree with.
        let boundary = b"----WebKitFormBoundary7MA4YWxkTrZu0gW";
        let mut body = Vec::new();
        for data in &fields {
            body.extend_from_slice(b"--");
            body.extend_from_slice(boundary);
            body.extend_from_slice(b"\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n");
            body.extend_from_slice(data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(&[b"--", &boundary[..], b"--\r\n"].concat());
        let mut expected: Vec<Seen> =
            fields.into_iter().map(|data| Seen::Part(named("x"), data)).collect();
        expected.push(Seen::End);
        prop_assert_eq!(read_in(boundary, &body, &sizes), (expected, Ok(())));
    }

    #[test]
    fn no_bytes_panic(
        boundary in prop::collection::vec(any::<u8>(), 0..80),
        head in prop::collection::vec(any::<u8>(), 0..200),
        body in prop::collection::vec(any::<u8>(), 0..400),
        size in 1_usize..50,
    ) {
        let _ = Form::boundary(&head);
        let _ = Part::read(&head);
        let _ = Part::read(&[b"Content-Disposition: x; ", &head[..], b"\r\n\r\n"].concat());
        if Form::new(&boundary, LIMITS).is_ok() {
            let _ = read_in(&boundary, &body, &[size]);
        }
        let _ = read_in(b"b", &[b"--b\r\n", &head[..], b"\r\n\r\n", &body[..]].concat(), &[size]);
    }
}
