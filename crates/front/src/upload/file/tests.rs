//! Tests of the call: what headers and fields mean together, what can be said early, tokens in query strings.

use http::HeaderValue;
use ops::{Detect, Parents, PutSpec, TypeRule};

use super::*;

/// Headers and fields of a request, and its part.
struct Given {
    headers: HeaderMap,
    fields: Fields,
    part: Part,
}

fn given(headers: &[(&'static str, &str)], fields: &[(&str, &str)]) -> Given {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut form = Fields::default();
    for (name, value) in fields {
        form.begin(Some(name)).unwrap();
        form.data(value.as_bytes()).unwrap();
    }
    Given { headers: headers.iter().map(pair).collect(), fields: form, part: Part::default() }
}

impl Given {
    fn said(&self) -> Said<'_> {
        Said { headers: &self.headers, coding: Coding::Plain, fields: &self.fields }
    }

    fn put(&self) -> Result<PutSpec, Fault> {
        self.said().put(&self.part)
    }

    fn path(&self) -> Result<String, Fault> {
        self.put().map(|spec| spec.path.as_str().to_owned())
    }

    fn early(&self) -> Result<Option<String>, Fault> {
        let early = self.said().early(false)?;
        Ok(early.map(|spec| format!("{} {:?}", spec.path.as_str(), spec.parents)))
    }
}

#[test]
fn names_by_header_field_or_part() {
    let named = |file_name: &str, fields: &[(&str, &str)]| {
        let mut given = given(&[], fields);
        given.part.file_name = Some(file_name.to_owned());
        given.path()
    };
    let refused = || Err::<&str, _>(Fault::Fact(Error::InvalidPath));
    for (file_name, fields, path) in [
        ("a.txt", &[][..], Ok("a.txt")),
        ("../dir/a.txt", &[], Ok("a.txt")),
        ("C:\\dir\\a.txt", &[], Ok("C:\\dir\\a.txt")),
        ("a.txt", &[("basename", "b")], Ok("b")),
        ("a.txt", &[("basename", "/x/b"), ("directory", "/今/")], Ok("今/b")),
        ("a.txt", &[("basename", "")], Ok("a.txt")),
        ("a.txt", &[("basename", "b/")], Ok("a.txt")),
        ("a+b%20é", &[], Ok("a+b%20é")),
        ("..", &[], refused()),
        ("a", &[("basename", "x/..")], refused()),
        ("a", &[("basename", "a..b")], refused()),
        ("a", &[("directory", "/../x")], refused()),
    ] {
        assert_eq!(named(file_name, fields), path.map(str::to_owned), "{file_name} {fields:?}");
    }
    for file_name in ["", "dir/"] {
        let path = named(file_name, &[]).unwrap();
        assert_eq!(path.strip_prefix("post-").unwrap().len(), 32, "{path}");
    }
    let headed = &[("x-agile-basename", "h"), ("x-agile-directory", "/d")];
    assert_eq!(given(headed, &[("basename", "f"), ("directory", "/e")]).path().unwrap(), "d/h");
    // A header's name is read as `/post/raw` reads it, and one that is empty counts as left out.
    assert_eq!(given(&[("x-agile-basename", "a/b")], &[]).put().err(), refused().err());
    assert_eq!(given(&[("x-agile-basename", "")], &[("basename", "f")]).path().unwrap(), "f");
}

#[test]
fn a_header_wins_over_a_field() {
    let fields =
        [("recursive", "yes"), ("mtime", " 5 "), ("expose_egress", "PARTIAL"), ("basename", "x")];
    let spec = given(&[], &fields).put().unwrap();
    assert_eq!((spec.parents, spec.mtime), (Parents::Created, Some(5)));
    let headers =
        [("x-agile-recursive", "0"), ("x-agile-mtime", "0"), ("x-agile-expose-egress", "POLICY")];
    let bad =
        [("recursive", "maybe"), ("mtime", "-1"), ("expose_egress", "NEVER"), ("basename", "x")];
    for fields in [fields, bad] {
        let spec = given(&headers, &fields).put().unwrap();
        assert_eq!((spec.parents, spec.mtime), (Parents::Required, None));
    }
    let spec =
        given(&[], &[("recursive", ""), ("mtime", ""), ("expose_egress", "")]).put().unwrap();
    assert_eq!((spec.parents, spec.mtime), (Parents::Required, None), "nobody filled them in");
    for (name, value, fault) in [
        ("recursive", "maybe", Fault::Recursive),
        ("mtime", "-1", Fault::Fact(Error::InvalidMtime)),
        ("expose_egress", "NEVER", Fault::Expose),
    ] {
        assert_eq!(given(&[], &[(name, value)]).path(), Err(fault));
    }
}

#[test]
fn types() {
    let kind = |headers: &[(&'static str, &str)], part: &str| {
        let mut given = given(headers, &[("content_type", "text/ignored")]);
        given.part.content_type = Some(part.to_owned());
        given.put().unwrap().content_type
    };
    let typed = |text: &str| TypeRule::Given(ops::model::ContentType::parse(text).unwrap());
    assert_eq!(kind(&[], "text/x"), typed("text/x"));
    assert_eq!(kind(&[], "application/octet-stream"), TypeRule::Detect(Detect::Auto));
    assert_eq!(kind(&[], "nonsense"), TypeRule::Detect(Detect::Auto));
    assert_eq!(kind(&[("x-agile-content-type", "text/y")], "text/x"), typed("text/y"));
    assert_eq!(kind(&[("x-content-type", "text/y")], "text/x"), typed("text/y"));
    assert_eq!(
        kind(&[("x-agile-content-detect", "name")], "text/x"),
        TypeRule::Detect(Detect::Name)
    );
}

#[test]
fn what_is_said_early_is_certain() {
    let both = [("directory", "/d"), ("basename", "b")];
    for (headers, fields, early) in [
        (&[][..], &[][..], None),
        (&[], &both[..1], None),
        (&[], &both[1..], None),
        // A field may still say that the directory is to be made.
        (&[], &both[..], Some("d/b Created")),
        (&[("x-agile-recursive", "no")], &both[..], Some("d/b Required")),
        (&[("x-agile-directory", "/"), ("x-agile-recursive", "0")], &both[..], Some("b Required")),
    ] {
        assert_eq!(given(headers, fields).early(), Ok(early.map(str::to_owned)), "{headers:?}");
    }
    let path = Fault::Fact(Error::InvalidPath);
    for (name, value, fault) in [
        ("directory", "/../x", path),
        ("basename", "..", Fault::Fact(Error::InvalidPath)),
        ("mtime", "x", Fault::Fact(Error::InvalidMtime)),
        ("return_url", "//host", Fault::ReturnUrl),
    ] {
        assert_eq!(given(&[], &[(name, value)]).early(), Err(fault), "{name}");
    }
    let long = format!("/{}", "d".repeat(4090));
    assert_eq!(given(&[], &[("directory", &long)]).early(), Ok(None), "a short name may come");
    assert!(given(&[], &[]).said().early(true).unwrap().is_some());
}

#[test]
fn ways_back() {
    let back = |referer: &str, fields: &[(&str, &str)]| {
        given(&[("referer", referer)], fields).said().back()
    };
    let url = |url: &str| Ok(Some(url.to_owned()));
    assert_eq!(back("http://x/", &[]), Ok(None));
    assert_eq!(
        back("http://x/", &[("return_url", "/done"), ("return_referer", "1")]),
        url("/done")
    );
    for yes in ["1", "true", "Yes"] {
        assert_eq!(back("http://x/", &[("return_referer", yes)]), url("http://x/"));
    }
    for no in ["0", "false", "no", "", "maybe"] {
        assert_eq!(back("http://x/", &[("return_referer", no)]), Ok(None), "{no}");
    }
    assert_eq!(back("", &[("return_referer", "1")]), Ok(None));
    assert_eq!(back("javascript:x", &[("return_referer", "1")]), Err(Fault::ReturnUrl));
    assert_eq!(back("javascript:x", &[("return_referer", "0")]), Ok(None));
}

#[test]
fn tokens_in_query_strings() {
    for (query, token) in [
        ("", Ok(None)),
        ("a=b&tokens=x&xtoken=y", Ok(None)),
        ("token=a%2Db", Ok(Some("a-b"))),
        ("x=y&token=a&token=a", Ok(Some("a"))),
        ("token=", Ok(Some(""))),
        ("token=a&token=b", Err(Fault::Fact(Error::BadToken))),
        ("token=%ff", Err(Fault::Fact(Error::BadToken))),
    ] {
        assert_eq!(query_token(query), token.map(|token| token.map(str::to_owned)), "{query}");
    }
}
