//! Binding and reading, over a method that has a parameter of each kind.

use super::{super::answer::INVALID_PARAMS, *};

const PARAMS: &[Param] = &[
    req("token", Kind::Token, -10_001),
    req("path", Kind::Path, -8),
    opt("size", Kind::Int(1, 10), "5", -12),
    opt("cookie", Kind::Cookie, "0", -11),
    opt("stat", Kind::Bool, "false", INVALID_PARAMS),
];

const LONG: LongForm = LongForm {
    order: &["token", "path", "ignored", "stat", "ignored too", "size"],
    applies: |given| given.len() > 5,
};

fn values(json: Option<&str>) -> Option<[Option<&str>; PARAMS_MAX]> {
    bind(PARAMS, None, json).map(|args| args.values)
}

fn code<T>(read: Result<T, Failure>) -> Option<i32> {
    match read {
        Ok(_) => None,
        Err(Failure::Code(code)) => Some(code),
        Err(Failure::Fact(fact)) => panic!("{fact}"),
    }
}

#[test]
fn by_position_and_by_name() {
    let bound = Some([Some("\"t\""), Some("\"/\""), Some("3"), None, None, None, None]);
    assert_eq!(values(Some(r#"["t", "/", 3]"#)), bound);
    assert_eq!(values(Some(r#"{"size": 3, "path": "/", "tok\u0065n": "t"}"#)), bound);
    assert_eq!(values(Some(r#"["t", "/", 3, 0, true]"#)).unwrap()[4], Some("true"));
}

#[test]
fn what_does_not_fit() {
    for json in [
        r#"["t"]"#,
        "[]",
        "{}",
        "null",
        r#"["t", "/", 1, 2, 3, 4]"#,
        r#"{"token": "t"}"#,
        r#"{"token": "t", "path": "/", "x": 1}"#,
        r#"{"token": "t", "path": "/", "Path": "/"}"#,
        r#"{"token": "t", "path": "/", "path": "/"}"#,
        r#"{"token": "t", "path": "/", "\ud800": 1}"#,
        "5",
        "true",
        r#""token""#,
    ] {
        assert_eq!(values(Some(json)), None, "{json}");
    }
    assert_eq!(values(None), None);
    assert!(bind(&[], None, None).is_some());
    assert!(bind(&[], None, Some("null")).is_some());
    assert!(bind(&[], None, Some("[]")).is_some());
    assert!(bind(&[], None, Some("[1]")).is_none());
    let many = format!("[{}1]", "1,".repeat(1_000_000));
    assert_eq!(values(Some(&many)), None);
    let deep = format!(r#"["t", {}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
    let args = bind(PARAMS, None, Some(&deep)).unwrap();
    assert_eq!(code(args.path("path")), Some(-8));
}

#[test]
fn the_long_form() {
    let long = r#"["t", "/", 0, true, 0, 7]"#;
    let args = bind(PARAMS, Some(&LONG), Some(long)).unwrap();
    assert_eq!(args.values[..3], [Some("\"t\""), Some("\"/\""), Some("7")]);
    assert_eq!(args.values[3..5], [None, Some("true")]);
    let short = bind(PARAMS, Some(&LONG), Some(r#"["t", "/", 7]"#)).unwrap();
    assert_eq!(short.values[2], Some("7"));
    assert!(bind(PARAMS, Some(&LONG), Some("[1, 2, 3, 4, 5, 6, 7]")).is_none());
    assert!(bind(PARAMS, Some(&LONG), Some(r#"{"token": 1, "path": 1, "ignored": 1}"#)).is_none());
}

#[test]
fn left_out_and_null_are_the_default() {
    for json in [r#"["t", "/"]"#, r#"["t", "/", null, null, null]"#] {
        let args = bind(PARAMS, None, Some(json)).unwrap();
        assert_eq!(args.int("size").ok(), Some(5));
        assert_eq!(args.cookie("cookie").ok(), Some(0));
        assert_eq!(args.boolean("stat").ok(), Some(false));
        assert!(args.path("path").unwrap().is_root());
    }
    let args = bind(PARAMS, None, Some("[null, null]")).unwrap();
    assert_eq!(code(args.token("token")), Some(-10_001));
    assert_eq!(code(args.path("path")), Some(-8));
}

#[test]
fn what_cannot_be_read_has_the_code_of_its_parameter() {
    for value in ["5", "{}", "[]", "1e400", "true", r#""\ud800""#, r#""a/../b""#, r#""\u0000""#] {
        let json = format!("[{value}, {value}, {value}, {value}, {value}]");
        let args = bind(PARAMS, None, Some(&json)).unwrap();
        assert_eq!(code(args.path("path")), Some(-8), "{value}");
        if !value.starts_with('"') {
            assert_eq!(code(args.token("token")), Some(-10_001), "{value}");
        }
        if value != "5" && value != "true" {
            assert_eq!(code(args.int("size")), Some(-12), "{value}");
            assert_eq!(code(args.cookie("cookie")), Some(-11), "{value}");
            assert_eq!(code(args.boolean("stat")), Some(INVALID_PARAMS), "{value}");
        }
    }
    for value in ["0", "11", "-1", "9223372036854775808", "1.5", r#""11""#, r#""""#] {
        let json = format!(r#"["t", "/", {value}]"#);
        let args = bind(PARAMS, None, Some(&json)).unwrap();
        assert_eq!(code(args.int("size")), Some(-12), "{value}");
    }
    let long = format!(r#"["t", "{}"]"#, "a".repeat(1_000_000));
    assert_eq!(code(bind(PARAMS, None, Some(&long)).unwrap().path("path")), Some(-8));
}

#[test]
fn text_and_any() {
    const OTHERS: &[Param] =
        &[opt("name", Kind::Text, "null", -40), opt("any", Kind::Any, "\"pong\"", INVALID_PARAMS)];
    fn read(json: &str) -> Args<'_> {
        bind(OTHERS, None, Some(json)).unwrap()
    }
    assert_eq!(read("[]").text("name").unwrap(), None);
    assert_eq!(read("[null]").text("name").unwrap(), None);
    assert_eq!(read(r#"[""]"#).text("name").unwrap().as_deref(), Some(""));
    assert_eq!(code(read("[5]").text("name")), Some(-40));
    assert_eq!(read("[]").json("any").ok(), Some("\"pong\""));
    for any in ["null", "5", "1e400", "{ \"a\" : [1] }", r#""\ud800""#] {
        let json = format!("[null, {any} ]");
        assert_eq!(read(&json).json("any").unwrap(), any);
    }
}

#[test]
fn a_parameter_that_was_not_declared_so_is_our_fault() {
    let args = bind(PARAMS, None, Some(r#"["t", "/"]"#)).unwrap();
    assert_eq!(code(args.path("token")), Some(INTERNAL_ERROR));
    assert_eq!(code(args.text("nothing")), Some(INTERNAL_ERROR));
}
