//! Where imported files come from: a directory tree, or a tar archive.
//!
//! Paths are told as they will be below the target: segments with `/` between. What is no file, no directory and no hard
//! link is told as a problem, never followed: a symbolic link may lead anywhere. What does not live here: sending.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tar::{Archive, EntryType};

use super::From;

/// Entries of an archive up to this size are read into memory and given to any courier.
const IN_MEMORY_MAX: u64 = 1 << 20;

/// Something found.
pub(super) struct Item<'a> {
    pub(super) path: String,
    /// Bytes; 0 for what is no file.
    pub(super) size: u64,
    /// Seconds since the epoch.
    pub(super) mtime: u64,
    pub(super) content: Content<'a>,
}

pub(super) enum Content<'a> {
    /// Can be carried by anybody, at any time.
    Ready(Ready),
    /// A file that can be read now, and once.
    Stream(&'a mut dyn Read),
}

pub(super) enum Ready {
    File(PathBuf),
    Bytes(Vec<u8>),
    Directory,
    /// The same file as one told before.
    Link(String),
}

/// What is found: an item, or a path and why it is none.
pub(super) type Found<'a> = Result<Item<'a>, (String, String)>;

/// Takes what is found; an error ends the walk.
pub(super) type Visit<'v> = dyn FnMut(Found<'_>) -> anyhow::Result<()> + 'v;

/// Tells all there is.
pub(super) fn walk(from: &From, visit: &mut Visit<'_>) -> anyhow::Result<()> {
    match from {
        From::Tree(root) => {
            let name = || format!("reading {}", root.display());
            // The first directory must be there; what is below may fail one by one.
            fs::read_dir(root).with_context(name)?;
            tree(root, "", visit)
        }
        From::Tar(file) if file.as_os_str() == "-" => archive(io::stdin().lock(), visit),
        From::Tar(file) => {
            let opened = File::open(file).with_context(|| format!("reading {}", file.display()))?;
            archive(io::BufReader::with_capacity(1 << 20, opened), visit)
        }
    }
}

fn tree(dir: &Path, below: &str, visit: &mut Visit<'_>) -> anyhow::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) => return visit(Err((below.to_owned(), e.to_string()))),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => return visit(Err((below.to_owned(), e.to_string()))),
        };
        let name = entry.file_name();
        let path = format!("{below}/{}", name.to_string_lossy());
        if name.to_str().is_none() {
            visit(Err((path, "the name is not UTF-8".to_owned())))?;
            continue;
        }
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            Err(e) => {
                visit(Err((path, e.to_string())))?;
                continue;
            }
        };
        let mtime = u64::try_from(meta.mtime()).unwrap_or(0);
        let ready = |path, size, ready| Item { path, size, mtime, content: Content::Ready(ready) };
        if meta.is_dir() {
            visit(Ok(ready(path.clone(), 0, Ready::Directory)))?;
            tree(&entry.path(), &path, visit)?;
        } else if meta.is_file() {
            visit(Ok(ready(path, meta.len(), Ready::File(entry.path()))))?;
        } else if meta.is_symlink() {
            visit(Err((path, "a symbolic link is not followed".to_owned())))?;
        } else {
            visit(Err((path, "neither a file nor a directory".to_owned())))?;
        }
    }
    Ok(())
}

fn archive(file: impl Read, visit: &mut Visit<'_>) -> anyhow::Result<()> {
    let mut archive = Archive::new(file);
    for entry in archive.entries()? {
        let mut entry = entry.context("reading the archive")?;
        let path = match path_in(&entry.path_bytes()) {
            Ok(path) => path,
            Err(why) => {
                visit(why)?;
                continue;
            }
        };
        let (size, mtime) = (entry.size(), entry.header().mtime().unwrap_or(0));
        let ready =
            |path, size, ready| Ok(Item { path, size, mtime, content: Content::Ready(ready) });
        match entry.header().entry_type() {
            // The top of the archive is the target itself.
            EntryType::Directory if path.is_empty() => {}
            EntryType::Directory => visit(ready(path, 0, Ready::Directory))?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                if size <= IN_MEMORY_MAX {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).context("reading the archive")?;
                    visit(ready(path, bytes.len() as u64, Ready::Bytes(bytes)))?;
                } else {
                    let content = Content::Stream(&mut entry);
                    visit(Ok(Item { path, size, mtime, content }))?;
                }
            }
            EntryType::Link => match entry.link_name_bytes().as_deref().map(path_in) {
                Some(Ok(from)) => visit(ready(path, 0, Ready::Link(from)))?,
                _ => visit(Err((path, "a hard link to nowhere".to_owned())))?,
            },
            EntryType::Symlink => {
                visit(Err((path, "a symbolic link is not followed".to_owned())))?;
            }
            EntryType::XGlobalHeader => {}
            _ => visit(Err((path, "neither a file nor a directory".to_owned())))?,
        }
    }
    Ok(())
}

/// The path of an entry below the target; the error is what to tell of it. What leads out of the archive is refused by
/// the rules for paths.
fn path_in(bytes: &[u8]) -> Result<String, Found<'static>> {
    let text = String::from_utf8_lossy(bytes);
    if let std::borrow::Cow::Owned(text) = text {
        return Err(Err((text, "the name is not UTF-8".to_owned())));
    }
    let segments = text.split('/').filter(|segment| !segment.is_empty() && *segment != ".");
    Ok(segments.flat_map(|segment| ["/", segment]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_archives() {
        for (given, path) in
            [("a/b", "/a/b"), ("./a//b/", "/a/b"), ("/abs", "/abs"), ("./", ""), ("../x", "/../x")]
        {
            assert_eq!(path_in(given.as_bytes()).ok().as_deref(), Some(path), "{given}");
        }
        assert!(path_in(b"a/\xff").is_err());
    }
}
