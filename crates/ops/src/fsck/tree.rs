//! Trees: the index by name, the index by number and the directories' records, walked side by side, a directory at a
//! time; then, an account at a time, that every directory is reached from the top, and what the account holds.
//!
//! What does not live here: the content of files beyond what their records say of it (`content`).

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use catalog::audit::{Index, Row};
use model::{
    AccountId, Content, Digest, DirId, Directory, File, FileAttrs, InlineId, Kind as Entry, Owner,
    Subject, Usage,
};

use super::{
    Kind,
    look::{Look, Stream, home},
    report::{Change, Spot},
};

/// Owner of a record that stands for its key alone.
const NOBODY: Owner = Owner { uid: 0, gid: 0 };

/// An account's tree, as far as it was walked.
struct Tree {
    account: AccountId,
    dirs: HashMap<DirId, Known>,
    usage: Usage,
    /// Small contents that files refer to, with their sizes.
    inline: Vec<(u64, u64)>,
    /// Listings of directories that have no name any more.
    unnamed: Vec<Row>,
}

/// What is known of a directory.
#[derive(Default, Clone, Copy)]
struct Known {
    above: Option<DirId>,
    /// Whether it has a record, and whether something stands in it.
    record: bool,
    holds: bool,
}

/// What a directory holds, seen from one of the indices.
#[derive(Default, PartialEq, Eq, Clone, Copy)]
struct Held {
    files: u64,
    directories: u64,
    last_file: u64,
    last_directory: u64,
    /// The sum of a hash of each: equal where the indices agree.
    sum: u64,
}

impl Held {
    fn file(&mut self, number: u64, name: &str, attrs: &FileAttrs) {
        let hashed = (attrs.owner.uid, attrs.owner.gid, attrs.size, attrs.checksum.0);
        let more = (attrs.content_type.as_str(), attrs.ctime, attrs.mtime);
        self.files += 1;
        self.last_file = self.last_file.max(number);
        self.add(&(2, number, name, hashed, more));
    }

    fn directory(&mut self, number: u64, name: &str, id: DirId) {
        self.directories += 1;
        self.last_directory = self.last_directory.max(number);
        self.add(&(1, number, name, id));
    }

    fn add(&mut self, what: &impl Hash) {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// Checks the trees of all accounts.
pub(super) fn check(look: &mut Look<'_>) {
    let mut records = Stream::new(look, Index::Directories);
    let mut names = Stream::new(look, Index::Names);
    let mut numbers = Stream::new(look, Index::Numbers);
    let mut contents = Stream::new(look, Index::Inline);
    let mut tree: Option<Tree> = None;
    let mut walked = HashSet::new();
    loop {
        let heads = [records.head(), names.head(), numbers.head()];
        let at = heads.into_iter().flatten().filter_map(home).min();
        if let Some(done) = tree.take_if(|tree| at.is_none_or(|at| at.0 != tree.account)) {
            finish(look, done, &mut contents);
        }
        let Some(at) = at else { break };
        walked.insert(at.0);
        let tree = tree.get_or_insert_with(|| Tree::new(at.0));
        directory(look, tree, at, (&mut records, &mut names, &mut numbers));
    }
    let empty: Vec<AccountId> =
        look.accounts.keys().filter(|id| !walked.contains(id)).copied().collect();
    for account in empty {
        finish(look, Tree::new(account), &mut contents);
    }
    // Contents of accounts that have no tree.
    while let Some(row) = contents.take(look) {
        orphan(look, row);
    }
}

impl Tree {
    fn new(account: AccountId) -> Self {
        Self {
            account,
            dirs: HashMap::new(),
            usage: Usage::default(),
            inline: Vec::new(),
            unnamed: Vec::new(),
        }
    }
}

fn directory<'a>(
    look: &mut Look<'a>,
    tree: &mut Tree,
    at: (AccountId, DirId),
    (records, names, numbers): (&mut Stream<'a>, &mut Stream<'a>, &mut Stream<'a>),
) {
    let is_here = |row: &Row| home(row) == Some(at);
    let record = match records.take_if(look, is_here) {
        Some(Row::Directory(_, record)) => Some(record),
        _ => None,
    };
    let (mut named, mut listed) = (Held::default(), Held::default());
    while let Some(row) = names.take_if(look, is_here) {
        match row {
            Row::File(account, dir, name, file) => {
                named.file(file.number, &name, &file.attrs);
                content(look, tree, (account, dir, name), &file);
            }
            Row::DirectoryName(_, dir, name, id, number) => {
                named.directory(number, &name, id);
                below(look, tree, (at.0, dir, name), id, number);
            }
            _ => {}
        }
    }
    while let Some(row) = numbers.take_if(look, is_here) {
        match row {
            Row::FileRow(_, _, number, name, attrs) => listed.file(number, &name, &attrs),
            Row::DirectoryRow(_, _, number, name, id) => listed.directory(number, &name, id),
            _ => {}
        }
    }
    if named != listed {
        compare(look, tree, at);
    }
    tree.usage.files += named.files;
    tree.usage.directories += named.directories;
    look.report.counts.files += named.files;
    let known = tree.dirs.entry(at.1).or_default();
    known.holds = named.files + named.directories + listed.files + listed.directories > 0;
    let spot: Spot = (at.0, at.1, String::new());
    match record {
        Some(record) => {
            known.record = true;
            look.in_use(at.1.0);
            look.report.counts.directories += 1;
            counters(look, spot, record, named, listed);
        }
        None if known.holds => {
            let held = format!("{} files, {} directories", named.files, named.directories);
            look.report.report(Kind::NamesAstray, spot, (held, "a directory's record"));
        }
        None => {}
    }
}

/// Compares what a directory counts with what it holds.
fn counters(look: &mut Look<'_>, spot: Spot, record: Directory, named: Held, listed: Held) {
    let counts = |d: &Directory| format!("{} files, {} directories", d.files, d.directories);
    let lasts = |d: &Directory| format!("{} and {}", d.last_file, d.last_directory);
    let right = Directory {
        files: named.files,
        directories: named.directories,
        last_file: record.last_file.max(named.last_file).max(listed.last_file),
        last_directory: record.last_directory.max(named.last_directory).max(listed.last_directory),
        ..record
    };
    let put = || [Change::Put(Row::Directory(spot.0, right))];
    if (record.files, record.directories) != (right.files, right.directories) {
        let what = (counts(&record), counts(&right));
        look.report.note(Kind::DirectoryCount, spot.clone(), what, put());
    }
    if (record.last_file, record.last_directory) != (right.last_file, right.last_directory) {
        let what = (lasts(&record), format!("{} at least", lasts(&right)));
        look.report.note(Kind::DirectoryLast, spot.clone(), what, put());
    }
}

/// Takes a file's content into account.
fn content(look: &mut Look<'_>, tree: &mut Tree, spot: Spot, file: &File) {
    let size = file.attrs.size;
    tree.usage.bytes = tree.usage.bytes.saturating_add(size);
    let held = match &file.content {
        Content::Empty => 0,
        Content::Inline(id) => {
            tree.inline.push((id.0, size));
            look.in_use(id.0);
            size
        }
        Content::Blobs(extents) => {
            look.references.extend(extents.iter().map(|extent| (extent.blob, extent.len)));
            extents.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.len))
        }
    };
    if held != size {
        let what = (format!("{held} bytes"), format!("{size} bytes"));
        look.report.report(Kind::FileContent, spot, what);
    } else if file.content == Content::Empty && file.attrs.checksum != Digest::EMPTY {
        let what = (file.attrs.checksum.to_hex(), Digest::EMPTY.to_hex());
        look.report.report(Kind::FileContent, spot, what);
    }
}

/// Takes a directory that stands under a name into account.
fn below(look: &mut Look<'_>, tree: &mut Tree, spot: Spot, id: DirId, number: u64) {
    let known = tree.dirs.entry(id).or_default();
    if let Some(other) = known.above {
        let what = (format!("directory {}, also in directory {}", id.0, other.0), "one name");
        look.report.report(Kind::DirectoryTwice, spot, what);
        return;
    }
    known.above = Some(spot.1);
    let like = Row::Directory(spot.0, Directory::new(id, NOBODY, 0));
    match look.stored(&like) {
        Some(Row::Directory(account, record)) if record.number != number => {
            let what = (format!("number {}", record.number), format!("number {number}"));
            let right = Row::Directory(account, Directory { number, ..record });
            look.report.note(Kind::DirectoryNumber, spot, what, [Change::Put(right)]);
        }
        Some(_) => {}
        None => {
            let what = ("no record", format!("the record of directory {}", id.0));
            look.report.report(Kind::DirectoryLost, spot, what);
        }
    }
}

/// The row of a listing that a name should have, its number and kind.
fn row_of(row: &Row) -> Option<(Row, u64, Entry)> {
    match row.clone() {
        Row::File(account, dir, name, file) => {
            let row = Row::FileRow(account, dir, file.number, name, file.attrs);
            Some((row, file.number, Entry::File))
        }
        Row::DirectoryName(account, dir, name, id, number) => {
            let row = Row::DirectoryRow(account, dir, number, name, id);
            Some((row, number, Entry::Directory))
        }
        _ => None,
    }
}

fn name_of(row: &Row) -> &str {
    match row {
        Row::FileRow(_, _, _, name, _)
        | Row::DirectoryRow(_, _, _, name, _)
        | Row::File(_, _, name, _)
        | Row::DirectoryName(_, _, name, ..) => name,
        _ => "",
    }
}

fn shown(row: &Row) -> String {
    match row {
        Row::FileRow(_, _, number, name, attrs) => {
            let sum = &attrs.checksum.to_hex()[..8];
            let FileAttrs { size, mtime, .. } = attrs;
            format!("file {number} {name:?}, {size} bytes, {sum}…, mtime {mtime}")
        }
        Row::DirectoryRow(_, _, number, name, id) => {
            format!("directory {number} {name:?}, id {}", id.0)
        }
        _ => "nothing".to_owned(),
    }
}

/// Where the two indices of a directory disagree: both ways, name by name.
fn compare<'a>(look: &mut Look<'a>, tree: &mut Tree, at: (AccountId, DirId)) {
    let is_here = |row: &Row| home(row) == Some(at);
    let unnamed = |name: &str| Row::DirectoryName(at.0, at.1, name.to_owned(), DirId(0), 0);
    let mut names = Stream::after(look, Index::Names, Some(&unnamed("")));
    while let Some(entry) = names.take_if(look, is_here) {
        let Some((right, number, kind)) = row_of(&entry) else { continue };
        let spot: Spot = (at.0, at.1, name_of(&entry).to_owned());
        let found = look.stored(&right);
        let other = found.as_ref().filter(|row| name_of(row) != spot.2);
        let owner = other.and_then(|row| look.audit.stored(&unnamed(name_of(row))).ok().flatten());
        if found.as_ref() == Some(&right) {
        } else if owner.as_ref().and_then(row_of).is_some_and(|(_, n, k)| (n, k) == (number, kind))
        {
            let what = (format!("{number}, as {:?}", name_of(&right)), "a number of its own");
            look.report.report(Kind::NumberTwice, spot, what);
        } else {
            let kind = if found.is_some() && other.is_none() {
                Kind::ListingDiffers
            } else {
                Kind::Unlisted
            };
            let what = (found.as_ref().map_or_else(|| "nothing".to_owned(), shown), shown(&right));
            look.report.note(kind, spot, what, [Change::Put(right)]);
        }
    }
    let first = Row::DirectoryRow(at.0, at.1, 0, String::new(), DirId(0));
    let mut rows = Stream::after(look, Index::Numbers, Some(&first));
    while let Some(row) = rows.take_if(look, is_here) {
        let spot: Spot = (at.0, at.1, name_of(&row).to_owned());
        let (number, kind) = match &row {
            Row::DirectoryRow(_, _, number, ..) => (*number, Entry::Directory),
            Row::FileRow(_, _, number, ..) => (*number, Entry::File),
            _ => continue,
        };
        match look.stored(&unnamed(&spot.2)).as_ref().and_then(row_of) {
            Some((_, n, k)) if (n, k) == (number, kind) => {}
            Some((right, ..)) => {
                let what = (shown(&row), shown(&right));
                look.report.note(Kind::ListingStale, spot, what, [Change::Remove(row)]);
            }
            None if kind == Entry::Directory => tree.unnamed.push(row),
            None => look.report.report(Kind::NameLost, spot, ("nothing", shown(&row))),
        }
    }
}

/// What can be said of an account when all of its tree was walked.
fn finish<'a>(look: &mut Look<'a>, mut tree: Tree, contents: &mut Stream<'a>) {
    let id = tree.account;
    let root = look.accounts.get(&id).map(|account| account.root);
    match root {
        None => {
            let what = ("a tree", "an account");
            look.report.report(Kind::OwnerMissing, format!("(account {})", id.0), what);
        }
        Some(root) if !tree.dirs.get(&root).is_some_and(|known| known.record) => {
            let at = format!("/{}", look.account_name(id));
            let what = ("nothing", format!("directory {}", root.0));
            look.report.report(Kind::RootMissing, at, what);
        }
        Some(_) => {}
    }
    unnamed(look, &mut tree);
    reach(look, &tree, root);
    let like = Row::Usage(id, Usage::default());
    let counted = match look.stored(&like) {
        Some(Row::Usage(_, usage)) => usage,
        _ => Usage::default(),
    };
    if counted != tree.usage {
        let say = |u: &Usage| {
            format!("{} files, {} directories, {} bytes", u.files, u.directories, u.bytes)
        };
        let what = (say(&counted), say(&tree.usage));
        let put = Change::Put(Row::Usage(id, tree.usage));
        look.report.note(Kind::Usage, format!("/{}", look.account_name(id)), what, [put]);
    }
    small(look, &mut tree, contents);
}

/// Directories that are listed and have no name: the listing and the record say together what the name was.
fn unnamed(look: &mut Look<'_>, tree: &mut Tree) {
    for row in std::mem::take(&mut tree.unnamed) {
        let Row::DirectoryRow(account, dir, number, name, id) = row.clone() else { continue };
        let spot: Spot = (account, dir, name.clone());
        let known = tree.dirs.get(&id).copied().unwrap_or_default();
        let like = Row::Directory(account, Directory::new(id, NOBODY, 0));
        let same = matches!(look.stored(&like), Some(Row::Directory(_, d)) if d.number == number);
        let what = ("nothing", shown(&row));
        if known.above.is_none() && same {
            let put = Change::Put(Row::DirectoryName(account, dir, name, id, number));
            look.report.note(Kind::NameLost, spot, what, [put]);
            tree.dirs.entry(id).or_default().above = Some(dir);
        } else {
            look.report.report(Kind::NameLost, spot, what);
        }
    }
}

/// Checks that every directory is reached from the top.
fn reach(look: &mut Look<'_>, tree: &Tree, root: Option<DirId>) {
    let mut good: HashSet<DirId> = root.into_iter().collect();
    let mut bad: HashSet<DirId> = HashSet::new();
    let mut ids: Vec<DirId> = tree.dirs.keys().copied().collect();
    ids.sort_unstable();
    for id in ids {
        let (mut at, mut way) = (id, Vec::new());
        let reached = loop {
            if good.contains(&at) {
                break true;
            }
            if bad.contains(&at) {
                break false;
            }
            if way.contains(&at) {
                let spot: Spot = (tree.account, at, String::new());
                let what = (format!("directory {} is below itself", at.0), "a way to the top");
                look.report.report(Kind::DirectoryCycle, spot, what);
                break false;
            }
            way.push(at);
            match tree.dirs.get(&at) {
                Some(Known { above: Some(above), .. }) => at = *above,
                Some(known) if known.record => {
                    let spot: Spot = (tree.account, at, String::new());
                    let what = (format!("directory {}", at.0), "a name that leads to it");
                    let record = Directory::new(at, NOBODY, 0);
                    // An empty one is of no use to anybody, and nobody can name it.
                    let gone = (!known.holds)
                        .then(|| Change::Remove(Row::Directory(tree.account, record)));
                    look.report.note(Kind::DirectoryOrphan, spot, what, gone);
                    break false;
                }
                // Reported where its name or what stands in it was seen.
                Some(_) | None => break false,
            }
        };
        if reached { good.extend(way) } else { bad.extend(way) }
    }
}

/// Compares the small contents that files refer to with those that are there.
fn small<'a>(look: &mut Look<'a>, tree: &mut Tree, contents: &mut Stream<'a>) {
    let account = tree.account;
    tree.inline.sort_unstable();
    let mut wanted = std::mem::take(&mut tree.inline).into_iter().peekable();
    let say = |id: u64| Subject::Inline(account, InlineId(id));
    loop {
        let before = |row: &Row| matches!(row, Row::Inline(a, ..) if *a < account);
        while let Some(row) = contents.take_if(look, before) {
            orphan(look, row);
        }
        let here = |row: &Row| matches!(row, Row::Inline(a, ..) if *a == account);
        let there = contents.head().filter(|row| here(row)).and_then(|row| match row {
            Row::Inline(_, id, bytes) => Some((id.0, bytes.len() as u64)),
            _ => None,
        });
        match (wanted.peek().copied(), there) {
            (None, None) => break,
            (Some((id, size)), there) if there.is_none_or(|(found, _)| id < found) => {
                let what = ("nothing", format!("{size} bytes"));
                look.report.report(Kind::InlineMissing, say(id), what);
                wanted.next();
            }
            (Some((id, size)), Some((found, len))) if id == found => {
                look.report.counts.inline += 1;
                if len != size {
                    let what = (format!("{len} bytes"), format!("{size} bytes"));
                    look.report.report(Kind::InlineSize, say(id), what);
                }
                wanted.next();
                while wanted.next_if(|(next, _)| *next == id).is_some() {
                    let what = ("another file", "one file");
                    look.report.report(Kind::InlineTwice, say(id), what);
                }
                contents.take(look);
            }
            (_, Some(_)) => {
                if let Some(row) = contents.take(look) {
                    orphan(look, row);
                }
            }
            // The first arm has it; the compiler does not see that.
            (Some(_), None) => {
                wanted.next();
            }
        }
    }
}

/// Small content that nothing refers to.
fn orphan(look: &mut Look<'_>, row: Row) {
    let Row::Inline(account, id, bytes) = &row else { return };
    look.in_use(id.0);
    let at = format!("/{}, small content {}", look.account_name(*account), id.0);
    let what = (format!("{} bytes", bytes.len()), "a file that refers to it");
    let change = Change::LetGo(vec![Change::Remove(row)]);
    look.report.note(Kind::InlineOrphan, at, what, [change]);
}
