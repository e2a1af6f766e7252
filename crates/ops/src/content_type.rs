//! Telling a file's content type: by what the client says, by the name, by the content (protocol.md, sections 7 and 12).
//!
//! Not here: when a type given by a client is valid (`model::ContentType`).

use model::ContentType;

/// What a type is told from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detect {
    /// The name's extension.
    Name,
    /// The first bytes.
    Content,
    /// The name's extension, else the first bytes.
    Auto,
}

/// How an upload's type is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeRule {
    /// The client said.
    Given(ContentType),
    /// It is detected.
    Detect(Detect),
}

/// The type of a file named `name` that begins with `head`.
pub fn detect(rule: &TypeRule, name: &str, head: &[u8]) -> ContentType {
    let found = match rule {
        TypeRule::Given(given) => Some(given.clone()),
        TypeRule::Detect(Detect::Name) => by_name(name),
        TypeRule::Detect(Detect::Content) => by_content(head),
        TypeRule::Detect(Detect::Auto) => by_name(name).or_else(|| by_content(head)),
    };
    found.unwrap_or_else(ContentType::octet_stream)
}

/// The type that a name's extension tells, if it tells one.
pub fn by_name(name: &str) -> Option<ContentType> {
    let (stem, extension) = name.rsplit_once('.')?;
    if stem.is_empty() || extension.is_empty() {
        return None;
    }
    let extension = extension.to_ascii_lowercase();
    let known = TABLE
        .iter()
        .chain(STREAMING)
        .find(|(_, extensions)| extensions.contains(&extension.as_str()))
        .map(|(content_type, _)| *content_type);
    let known = known.or_else(|| mime_guess::from_ext(&extension).first_raw())?;
    ContentType::parse(known).ok()
}

fn by_content(head: &[u8]) -> Option<ContentType> {
    ContentType::parse(infer::get(head)?.mime_type()).ok()
}

/// Segments and playlists of HTTP streaming, which the database does not know or calls by names that players do not
/// take: RFC 8216 (HLS), ISO/IEC 23009-1 (DASH), ISO/IEC 23000-19 (CMAF).
const STREAMING: &[(&str, &[&str])] = &[
    ("application/vnd.apple.mpegurl", &["m3u8"]),
    ("video/mp2t", &["ts"]),
    ("video/iso.segment", &["m4s"]),
    ("video/mp4", &["cmfv"]),
    ("audio/mp4", &["cmfa"]),
];

/// The reference's table, extensions by type; where it and the database both know, it wins.
const TABLE: &[(&str, &[&str])] = &[
    ("application/atom+xml", &["atom"]),
    ("application/java-archive", &["jar", "war", "ear"]),
    ("application/json", &["json"]),
    ("application/mac-binhex40", &["hqx"]),
    ("application/msword", &["doc"]),
    (
        "application/octet-stream",
        &["bin", "exe", "dll", "deb", "dmg", "eot", "iso", "img", "msi", "msp", "msm"],
    ),
    ("application/ogg", &["ogx"]),
    ("application/pdf", &["pdf"]),
    ("application/postscript", &["ps", "eps", "ai"]),
    ("application/rtf", &["rtf"]),
    ("application/vnd.google-earth.kml+xml", &["kml"]),
    ("application/vnd.google-earth.kmz", &["kmz"]),
    ("application/vnd.ms-excel", &["xls"]),
    ("application/vnd.ms-powerpoint", &["ppt"]),
    ("application/vnd.wap.wmlc", &["wmlc"]),
    ("application/x-7z-compressed", &["7z"]),
    ("application/x-cocoa", &["cco"]),
    ("application/xhtml+xml", &["xhtml"]),
    ("application/x-java-archive-diff", &["jardiff"]),
    ("application/x-java-jnlp-file", &["jnlp"]),
    ("application/x-javascript", &["js"]),
    ("application/x-makeself", &["run"]),
    ("application/x-perl", &["pl", "pm"]),
    ("application/x-pilot", &["prc", "pdb"]),
    ("application/x-rar-compressed", &["rar"]),
    ("application/x-redhat-package-manager", &["rpm"]),
    ("application/x-sea", &["sea"]),
    ("application/x-stuffit", &["sit"]),
    ("application/x-tcl", &["tcl", "tk"]),
    ("application/x-x509-ca-cert", &["der", "pem", "crt"]),
    ("application/x-xpinstall", &["xpi"]),
    ("application/zip", &["zip"]),
    ("audio/midi", &["mid", "midi", "kar"]),
    ("audio/mpeg", &["mpga", "mpega", "mp2", "mp3", "m4a"]),
    ("audio/ogg", &["oga", "ogg", "spx"]),
    ("audio/webm", &["weba"]),
    ("audio/x-realaudio", &["ra"]),
    ("image/gif", &["gif"]),
    ("image/jpeg", &["jpeg", "jpg"]),
    ("image/png", &["png"]),
    ("image/svg+xml", &["svg", "svgz"]),
    ("image/tiff", &["tif", "tiff"]),
    ("image/vnd.wap.wbmp", &["wbmp"]),
    ("image/x-icon", &["ico"]),
    ("image/x-jng", &["jng"]),
    ("image/x-ms-bmp", &["bmp"]),
    ("text/css", &["css"]),
    ("text/html", &["html", "htm", "shtml"]),
    ("text/mathml", &["mml"]),
    ("text/plain", &["txt"]),
    ("text/vnd.sun.j2me.app-descriptor", &["jad"]),
    ("text/vnd.wap.wml", &["wml"]),
    ("text/x-component", &["htc"]),
    ("text/xml", &["xml", "rss"]),
    ("video/3gpp", &["3gpp", "3gp"]),
    ("video/mp4", &["mp4"]),
    ("video/mpeg", &["mpeg", "mpg", "mpe"]),
    ("video/ogg", &["ogv"]),
    ("video/quicktime", &["mov"]),
    ("video/webm", &["webm"]),
    ("video/x-flv", &["flv"]),
    ("video/x-mng", &["mng"]),
    ("video/x-ms-asf", &["asx", "asf"]),
    ("video/x-msvideo", &["avi"]),
    ("video/x-ms-wmv", &["wmv"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    fn told(rule: Detect, name: &str, head: &[u8]) -> String {
        detect(&TypeRule::Detect(rule), name, head).as_str().to_owned()
    }

    #[test]
    fn the_table_wins_over_the_database() {
        for (name, expected) in [
            ("a.js", "application/x-javascript"),
            ("A.JPG", "image/jpeg"),
            ("movie.tar.MP4", "video/mp4"),
            ("x.xml", "text/xml"),
            ("x.wasm", "application/wasm"),
            ("x.m3u8", "application/vnd.apple.mpegurl"),
            ("x.ts", "video/mp2t"),
        ] {
            assert_eq!(told(Detect::Name, name, b""), expected, "{name}");
        }
        for (name, types) in TABLE.iter().flat_map(|(t, es)| es.iter().map(move |e| (e, t))) {
            assert_eq!(told(Detect::Auto, &format!("a.{name}"), PNG), *types);
        }
    }

    #[test]
    fn name_content_auto() {
        assert_eq!(told(Detect::Name, "picture", PNG), "application/octet-stream");
        assert_eq!(told(Detect::Content, "picture.txt", PNG), "image/png");
        assert_eq!(told(Detect::Content, "picture.txt", b"hello"), "application/octet-stream");
        assert_eq!(told(Detect::Auto, "picture.txt", PNG), "text/plain");
        assert_eq!(told(Detect::Auto, "picture", PNG), "image/png");
        assert_eq!(told(Detect::Auto, ".png", b""), "application/octet-stream");
        assert_eq!(told(Detect::Auto, "png.", b""), "application/octet-stream");
        let given =
            TypeRule::Given(ContentType::parse("x/y").unwrap_or(ContentType::octet_stream()));
        assert!(detect(&given, "a.png", PNG).is_octet_stream());
    }
}
