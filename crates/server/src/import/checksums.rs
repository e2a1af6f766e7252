//! A list of SHA-256 sums, as `sha256sum` writes and BSD's `shasum` reads it: 64 hex digits, two characters, a path.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, bail};
use model::Digest;

/// What files must hash to, by path below the target; those that were asked for are taken out.
#[derive(Default)]
pub(super) struct Checksums {
    unseen: Mutex<HashMap<String, Digest>>,
    given: usize,
}

impl Checksums {
    /// Reads a list; without one nothing is expected.
    pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let name = || format!("reading {}", file.display());
        let mut sums = HashMap::new();
        for (number, line) in
            BufReader::new(File::open(file).with_context(name)?).lines().enumerate()
        {
            let line = line.with_context(name)?;
            if line.is_empty() {
                continue;
            }
            let Some((path, digest)) = parse(&line) else {
                bail!("{}: line {} is not `<64 hex digits>  <path>`", file.display(), number + 1);
            };
            if sums.insert(path.clone(), digest).is_some_and(|other| other != digest) {
                bail!("{}: two checksums for {path:?}", file.display());
            }
        }
        Ok(Self { given: sums.len(), unseen: Mutex::new(sums) })
    }

    /// What a file must hash to.
    pub(super) fn take(&self, path: &str) -> Option<Digest> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner).remove(path)
    }

    /// How many there were.
    pub(super) fn given(&self) -> usize {
        self.given
    }

    /// Paths that nobody asked for, in order.
    pub(super) fn unseen(&self) -> Vec<String> {
        let unseen = self.unseen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut paths: Vec<String> = unseen.keys().cloned().collect();
        paths.sort();
        paths
    }
}

fn parse(line: &str) -> Option<(String, Digest)> {
    // A backslash in front says that the name has escapes.
    let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |rest| (rest, true));
    let (hex, rest) = line.split_at_checked(64)?;
    let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    let name = if escaped { unescape(name)? } else { name.to_owned() };
    let segments = name.split('/').filter(|segment| !segment.is_empty() && *segment != ".");
    let path: String = segments.flat_map(|segment| ["/", segment]).collect();
    (!path.is_empty()).then_some((path, Digest::from_hex(hex.as_bytes())?))
}

fn unescape(name: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let hex = "ab".repeat(32);
        let path = |line: String| parse(&line).map(|(path, _)| path);
        assert_eq!(path(format!("{hex}  ./a/b c")).as_deref(), Some("/a/b c"));
        assert_eq!(path(format!("{hex} *a")).as_deref(), Some("/a"));
        assert_eq!(path(format!("\\{hex}  a\\nb\\\\c")).as_deref(), Some("/a\nb\\c"));
        for bad in
            [format!("{hex} a"), format!("{}  a", &hex[2..]), format!("{hex}  "), "é".repeat(40)]
        {
            assert_eq!(path(bad.clone()), None, "{bad}");
        }
    }
}
