//! From headers to a [`PutSpec`]: what a client says of the file it uploads. Every call that makes a file reads it here.
//!
//! Pure, but for the name that is made up where none is given.

use http::HeaderMap;
use ops::{
    Detect, Parents, PutSpec, TypeRule,
    model::{ContentType, Error, TreePath},
};

use super::{
    codes::Fault,
    coding::Coding,
    headers::{self, TypeSaid},
};

/// Reads the headers of an upload. `prefix` begins the name that is made up where none is given.
pub(super) fn put(headers: &HeaderMap, coding: Coding, prefix: &str) -> Result<PutSpec, Fault> {
    let directory = headers::name(headers, headers::DIRECTORY, coding)?.unwrap_or_default();
    let basename = headers::name(headers, headers::BASENAME, coding)?;
    let path = path(&directory, basename.as_deref(), prefix)?;
    let parents = parents(headers::recursive(headers, false)?);
    let mtime = headers::mtime(headers)?;
    let checksum = headers::checksum(headers)?;
    let content_type = type_rule(headers, None)?;
    let expose = headers::expose(headers)?;
    Ok(PutSpec { path, parents, mtime, checksum, content_type, expose })
}

/// What `X-Agile-Recursive` means for directories that are missing.
pub(super) fn parents(recursive: bool) -> Parents {
    if recursive { Parents::Created } else { Parents::Required }
}

/// The path of a new file. Leading slashes of its name mean nothing (published samples send them).
pub(super) fn path(
    directory: &str,
    basename: Option<&str>,
    prefix: &str,
) -> Result<TreePath, Fault> {
    let basename = basename.unwrap_or_default().trim_start_matches('/');
    if basename.contains('/') || basename.contains("..") {
        return Err(Error::InvalidPath.into());
    }
    let made_up;
    let name = if basename.is_empty() {
        made_up = format!("{prefix}{}", uuid::Uuid::new_v4().simple());
        &made_up
    } else {
        basename
    };
    // Each by itself first: a name must not complete what the directory began.
    TreePath::parse(directory)?;
    Ok(TreePath::parse(&format!("{directory}/{name}"))?)
}

/// How the type of an upload is chosen (section 7, "Content type of an upload"). `part` is the type of a form's part.
pub(super) fn type_rule(headers: &HeaderMap, part: Option<ContentType>) -> Result<TypeRule, Fault> {
    let detect = headers::detect(headers)?;
    Ok(match (headers::content_type(headers)?, detect) {
        (Some(TypeSaid::Type(given)), _) => TypeRule::Given(given),
        (Some(TypeSaid::Look(detect)), _) | (None, Some(detect)) => TypeRule::Detect(detect),
        (None, None) => headers::legacy_content_type(headers)
            .or(part.filter(|part| !part.is_octet_stream()))
            .map_or(TypeRule::Detect(Detect::Auto), TypeRule::Given),
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn map(list: &[(HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(HeaderName, &str)| {
            (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        list.iter().map(pair).collect()
    }

    fn named(directory: &str, basename: &str) -> Result<String, Fault> {
        let map = map(&[(headers::DIRECTORY, directory), (headers::BASENAME, basename)]);
        put(&map, Coding::Plain, "post-").map(|spec| spec.path.as_str().to_owned())
    }

    #[test]
    fn names() {
        for (directory, basename, path) in [
            ("/", "a.txt", "a.txt"),
            ("", "/file.mp3", "file.mp3"),
            ("/foo/", "///a", "foo/a"),
            ("//a//b/", "c d", "a/b/c d"),
            ("a..b", "a.b", "a..b/a.b"),
            ("/", "C:\\a", "C:\\a"),
        ] {
            assert_eq!(named(directory, basename).as_deref(), Ok(path));
        }
        for (directory, basename) in [
            ("/", "a/b"),
            ("/", "a/"),
            ("/", "a..b"),
            ("/", ".."),
            ("/", "."),
            ("/../x", "a"),
            ("/", "\u{e9}"),
        ] {
            let refused = named(directory, basename);
            assert_eq!(refused, Err(Fault::Fact(Error::InvalidPath)), "{directory} {basename}");
        }
        assert!(named("/", &"a".repeat(4096)).is_ok());
        assert!(named("/b", &"a".repeat(4095)).is_err());
    }

    #[test]
    fn a_name_is_made_up() {
        for basename in ["", "/", "//"] {
            let name = named("/d", basename).unwrap();
            let hex = name.strip_prefix("d/post-").unwrap();
            assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        }
    }

    #[test]
    fn encoded_names() {
        let map = map(&[(headers::DIRECTORY, "/%e4%bb%8a+x"), (headers::BASENAME, "%2Fa%20b")]);
        assert_eq!(put(&map, Coding::Utf8, "").unwrap().path.as_str(), "今 x/a b");
        let escaping = self::map(&[(headers::DIRECTORY, "%2e%2e%2fx"), (headers::BASENAME, "a")]);
        let refused = put(&escaping, Coding::Utf8, "").map(|spec| spec.path);
        assert_eq!(refused, Err(Fault::Fact(Error::InvalidPath)));
    }

    #[test]
    fn types_in_their_order() {
        let given = |text: &str| TypeRule::Given(ContentType::parse(text).unwrap());
        let (kind, detect) = (headers::CONTENT_TYPE, headers::CONTENT_DETECT);
        let legacy = headers::LEGACY_CONTENT_TYPE;
        for (list, rule) in [
            (vec![], TypeRule::Detect(Detect::Auto)),
            (vec![(kind.clone(), "text/x"), (detect.clone(), "name")], given("text/x")),
            (
                vec![(kind.clone(), "application/octet-stream"), (detect.clone(), "content")],
                TypeRule::Detect(Detect::Name),
            ),
            (
                vec![(detect, "content"), (legacy.clone(), "text/x")],
                TypeRule::Detect(Detect::Content),
            ),
            (vec![(legacy.clone(), "text/x")], given("text/x")),
            (vec![(legacy, "auto")], TypeRule::Detect(Detect::Auto)),
            (vec![(kind, "content")], TypeRule::Detect(Detect::Content)),
        ] {
            assert_eq!(type_rule(&map(&list), None), Ok(rule), "{list:?}");
        }
        let part = |text: &str| type_rule(&HeaderMap::new(), ContentType::parse(text).ok());
        assert_eq!(part("text/y"), Ok(given("text/y")));
        assert_eq!(part("application/octet-stream"), Ok(TypeRule::Detect(Detect::Auto)));
    }
}
