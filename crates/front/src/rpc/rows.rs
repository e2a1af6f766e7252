//! Rows of listings, written as they are scanned.
//!
//! What lives here: the two shapes of a row (`listDir` and `listFile`, `listPath`) and the fields they share with
//! `stat`. What does not: pages and cookies (`listing`).

use ops::{
    Rows,
    model::{Directory, FileAttrs, Owner},
};

use super::json::Json;

/// `"uid":…,"gid":…`
pub(super) fn owner(out: &mut Json, owner: Owner) {
    out.raw(r#""uid":"#).number(owner.uid.into()).raw(r#","gid":"#).number(owner.gid.into());
}

/// `"ctime":…,"mtime":…`
pub(super) fn times(out: &mut Json, ctime: u64, mtime: u64) {
    out.raw(r#""ctime":"#).number(ctime).raw(r#","mtime":"#).number(mtime);
}

fn directory_fields(out: &mut Json, dir: &Directory) {
    owner(out, dir.owner);
    out.raw(",");
    times(out, dir.ctime, dir.mtime);
}

fn file_fields(out: &mut Json, file: &FileAttrs) {
    owner(out, file.owner);
    out.raw(",");
    times(out, file.ctime, file.mtime);
    out.raw(r#","size":"#).number(file.size);
    out.raw(r#","checksum":"#).hex(&file.checksum.0);
    out.raw(r#","mimetype":"#).string(file.content_type.as_str());
}

/// Rows of `listDir` and `listFile`: with `stat`, the fields stand in an object of that name.
pub(super) struct KindRows {
    pub(super) out: Json,
    pub(super) stat: bool,
    pub(super) comma: &'static str,
}

/// Rows that room is made for before they come, at most.
const EXPECTED_MAX: usize = 16 * 1024;

/// About how much room rows take: names of two dozen bytes.
fn room(rows: usize, stat: bool) -> usize {
    rows.min(EXPECTED_MAX) * if stat { 256 } else { 56 }
}

impl Rows for KindRows {
    fn expect(&mut self, rows: usize) {
        self.out.expect(room(rows, self.stat));
    }

    fn directory(&mut self, name: &str, details: Option<&Directory>) {
        self.out.raw(self.comma).raw(r#"{"name":"#).string(name).raw(r#","type":1"#);
        if let Some(dir) = details.filter(|_| self.stat) {
            self.out.raw(r#","stat":{"#);
            directory_fields(&mut self.out, dir);
            self.out.raw("}");
        }
        self.out.raw("}");
        self.comma = ",";
    }

    fn file(&mut self, name: &str, attrs: &FileAttrs) {
        self.out.raw(self.comma).raw(r#"{"name":"#).string(name).raw(r#","type":2"#);
        if self.stat {
            self.out.raw(r#","stat":{"#);
            file_fields(&mut self.out, attrs);
            self.out.raw("}");
        }
        self.out.raw("}");
        self.comma = ",";
    }
}

/// Rows of `listPath`: with `stat`, the fields stand beside the name. Directories come first, so both lists are written
/// into one text.
pub(super) struct PathRows {
    pub(super) out: Json,
    pub(super) stat: bool,
    /// Callers of JSON-RPC 1.0 read the fields from an object `stat` (section 11); they get both.
    pub(super) nested: bool,
    /// What stands before the next row.
    pub(super) before: Before,
}

/// Where the text of a `listPath` is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    FirstDirectory,
    Directory,
    File,
}

impl PathRows {
    /// After the beginning of an answer.
    pub(super) fn new(mut out: Json, stat: bool, nested: bool) -> Self {
        out.raw(r#""dirs":["#);
        Self { out, stat, nested, before: Before::FirstDirectory }
    }

    /// The text, with both lists closed.
    pub(super) fn close(mut self) -> Json {
        self.end_directories();
        self.out.raw("]");
        self.out
    }

    /// Whether the directories were not ended before.
    fn end_directories(&mut self) -> bool {
        let ends = self.before != Before::File;
        if ends {
            self.out.raw(r#"],"files":["#);
            self.before = Before::File;
        }
        ends
    }
}

impl Rows for PathRows {
    fn expect(&mut self, rows: usize) {
        self.out.expect(room(rows, self.stat) * if self.nested { 2 } else { 1 });
    }

    fn directory(&mut self, name: &str, details: Option<&Directory>) {
        let out = &mut self.out;
        let comma = if self.before == Before::FirstDirectory { "" } else { "," };
        self.before = Before::Directory;
        out.raw(comma).raw(r#"{"name":"#).string(name);
        if let Some(dir) = details.filter(|_| self.stat) {
            out.raw(",");
            directory_fields(out, dir);
            if self.nested {
                out.raw(r#","stat":{"#);
                directory_fields(out, dir);
                out.raw("}");
            }
        }
        out.raw("}");
    }

    fn file(&mut self, name: &str, attrs: &FileAttrs) {
        let comma = if self.end_directories() { "" } else { "," };
        let out = &mut self.out;
        out.raw(comma).raw(r#"{"name":"#).string(name);
        if self.stat {
            out.raw(",");
            file_fields(out, attrs);
            if self.nested {
                out.raw(r#","stat":{"#);
                owner(out, attrs.owner);
                out.raw(",");
                times(out, attrs.ctime, attrs.mtime);
                out.raw(r#","size":"#).number(attrs.size);
                out.raw(r#","hash":"#).hex(&attrs.checksum.0).raw(r#","ctype":0}"#);
            }
        }
        out.raw("}");
    }
}

#[cfg(test)]
mod tests {
    use ops::model::{ContentType, Digest, DirId};

    use super::*;

    const OWNER: Owner = Owner { uid: 12_020, gid: 100 };
    const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn file() -> FileAttrs {
        FileAttrs {
            owner: OWNER,
            size: 659_819,
            checksum: Digest::EMPTY,
            content_type: ContentType::parse("image/jpeg").unwrap(),
            ctime: 1_423_676_679,
            mtime: 1_423_676_671,
        }
    }

    fn text(json: Json) -> String {
        String::from_utf8(json.into_bytes()).unwrap()
    }

    fn fill(rows: &mut impl Rows, details: bool) {
        let (dir, names) = (Directory::new(DirId(7), OWNER, 5), ["steve", "a\"\n\u{2028}"]);
        names.iter().for_each(|name| rows.directory(name, details.then_some(&dir)));
        names.iter().for_each(|name| rows.file(name, &file()));
    }

    #[test]
    fn kind_rows() {
        let mut rows = KindRows { out: Json::default(), stat: false, comma: "" };
        fill(&mut rows, false);
        let row = |name: &str, kind| format!(r#"{{"name":{name},"type":{kind}}}"#);
        let (plain, odd) = (r#""steve""#, r#""a\"\n\u2028""#);
        let all = [row(plain, 1), row(odd, 1), row(plain, 2), row(odd, 2)];
        assert_eq!(text(rows.out), all.join(","));
    }

    #[test]
    fn kind_rows_with_stat() {
        let mut rows = KindRows { out: Json::default(), stat: true, comma: "" };
        rows.directory("d", Some(&Directory::new(DirId(7), OWNER, 5)));
        rows.file("f", &file());
        let dir = r#"{"name":"d","type":1,"stat":{"uid":12020,"gid":100,"ctime":5,"mtime":5}}"#;
        let file = [
            r#"{"name":"f","type":2,"stat":{"uid":12020,"gid":100,"ctime":1423676679,"#,
            r#""mtime":1423676671,"size":659819,"checksum":""#,
            SHA,
            r#"","mimetype":"image/jpeg"}}"#,
        ];
        assert_eq!(text(rows.out), format!("{dir},{}", file.concat()));
    }

    #[test]
    fn path_rows() {
        let rows = |stat, nested| {
            let mut rows = PathRows::new(Json::default(), stat, nested);
            fill(&mut rows, stat);
            text(rows.close())
        };
        let odd = r#""a\"\n\u2028""#;
        let names = format!(r#"[{{"name":"steve"}},{{"name":{odd}}}]"#);
        assert_eq!(rows(false, false), format!(r#""dirs":{names},"files":{names}"#));
        for nested in [false, true] {
            let both = format!("{{{}}}", rows(true, nested));
            let both: serde_json::Value = serde_json::from_str(&both).unwrap();
            let (dirs, files) = (&both["dirs"], &both["files"]);
            assert_eq!(dirs[0]["uid"], 12_020);
            assert_eq!(files[1]["checksum"], SHA);
            assert_eq!(files[1]["mimetype"], "image/jpeg");
            assert_eq!(files[1]["name"], "a\"\n\u{2028}");
            if nested {
                assert_eq!(dirs[0]["stat"]["mtime"], 5);
                assert_eq!(files[0]["stat"]["hash"], SHA);
                assert_eq!(files[0]["stat"]["ctype"], 0);
                assert_eq!(files[0]["stat"]["size"], 659_819);
            } else {
                assert!(dirs[0].get("stat").is_none() && files[0].get("stat").is_none());
            }
        }
    }

    #[test]
    fn path_rows_of_one_kind_or_none() {
        let empty = || PathRows::new(Json::default(), false, false);
        assert_eq!(text(empty().close()), r#""dirs":[],"files":[]"#);
        let mut rows = empty();
        rows.file("f", &file());
        assert_eq!(text(rows.close()), r#""dirs":[],"files":[{"name":"f"}]"#);
        let mut rows = empty();
        rows.directory("d", None);
        assert_eq!(text(rows.close()), r#""dirs":[{"name":"d"}],"files":[]"#);
    }
}
