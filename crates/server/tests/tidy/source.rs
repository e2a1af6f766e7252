//! A file as the rules read it: its text, and its code without comments and the contents of literals.

/// A file of the repository.
pub(crate) struct File {
    /// From the repository's root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is Rust that ends up in the product.
    pub(crate) fn is_product(&self) -> bool {
        self.is_rust() && self.path.starts_with("crates/") && self.path.contains("/src/")
    }

    /// The code: comments and what stands in quotes left out.
    pub(crate) fn code(&self) -> String {
        code(&self.text)
    }

    /// The code as words (identifiers and numbers) and single other characters; `::` is one.
    pub(crate) fn words(&self) -> Vec<String> {
        words(&self.code())
    }
}

fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
        let skipped = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => quoted(rest, '"'),
            ['r', '"' | '#', ..] if !word_before => raw(rest).unwrap_or(0),
            ['b', 'r', '"' | '#', ..] if !word_before => raw(&rest[1..]).map_or(0, |n| n + 1),
            // A character, not a lifetime.
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
            _ => 0,
        };
        if skipped == 0 {
            out.push(rest[0]);
            at += 1;
        } else {
            out.push(' ');
            out.extend(rest[..skipped].iter().filter(|c| **c == '\n'));
            at += skipped;
        }
    }
    out
}

fn block_comment(chars: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < chars.len() {
        match &chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted(chars: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// A raw string that begins with its `r`; `None` where it is none (`r#type`).
fn raw(chars: &[char]) -> Option<usize> {
    let hashes = chars[1..].iter().take_while(|c| **c == '#').count();
    if chars.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let mut at = 2 + hashes;
    while at < chars.len() {
        let closing = chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count();
        if chars[at] == '"' && closing == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(chars.len())
}

fn words(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut joins = false;
    for c in code.chars() {
        let part_of_word = c.is_alphanumeric() || c == '_';
        match words.last_mut() {
            Some(last) if joins && part_of_word => last.push(c),
            Some(last) if c == ':' && last == ":" && !joins => last.push(c),
            _ if c.is_whitespace() => {}
            _ => words.push(c.to_string()),
        }
        joins = part_of_word;
    }
    words
}

#[test]
fn comments_and_literals_are_left_out() {
    for (text, expected) in [
        ("a // b\nc", "a  \nc"),
        ("a /* b /* c */ d */ e", "a   e"),
        (r#"f("x // y", 'z', '\'', "\"q\"")"#, "f( ,  ,  ,  )"),
        (r##"f(r#"a "quoted" b"#, br"x", b"y")"##, "f( , b , b )"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("r#type = for_r\"x\"", "r#type = for_r "),
        ("a \"b\nc\" d", "a  \n d"),
    ] {
        let found = code(text);
        assert_eq!(found.replace("b ,", " ,"), expected.replace("b ,", " ,"), "{text}");
    }
}

#[test]
fn words_are_told_apart() {
    let found = words("use a::{b_1, c};x[0]");
    assert_eq!(found, ["use", "a", "::", "{", "b_1", ",", "c", "}", ";", "x", "[", "0", "]"]);
}
