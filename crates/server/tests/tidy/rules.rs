//! The rules. A complaint names the file and says what to do instead.

use crate::source::File;

/// From files to complaints.
pub(crate) type Rule = fn(&[File]) -> Vec<String>;

/// Every rule that needs nothing but the files.
pub(crate) const ALL: &[Rule] = &[
    sizes,
    docs,
    names,
    dependencies,
    rooms,
    durability,
    environment,
    ignored,
    marks,
    code_tables,
];

/// Longest file, in lines.
const LINES_MAX: usize = 1000;
/// Lines above which a file must be named in [`LONG_FILES`].
const LINES_GOOD: usize = 500;
/// Files above 500 lines. This list may only shrink.
const LONG_FILES: [&str; 0] = [];

pub(crate) fn sizes(files: &[File]) -> Vec<String> {
    let count = |file: &File| file.text.lines().count();
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let (lines, path) = (count(file), &file.path);
        let listed = LONG_FILES.contains(&path.as_str());
        if lines > LINES_MAX {
            complaints.push(format!(
                "{path}: {lines} lines, {LINES_MAX} is the end: give each of its subjects a file"
            ));
        } else if lines > LINES_GOOD && !listed {
            complaints.push(format!(
                "{path}: {lines} lines: move a subject of its own out into another file (above {LINES_GOOD} nobody \
                 sees the way any more; the list of exceptions may only shrink)"
            ));
        } else if lines <= LINES_GOOD && listed {
            complaints.push(format!("{path}: short again: take it off the list of long files"));
        }
    }
    complaints
}

pub(crate) fn docs(files: &[File]) -> Vec<String> {
    let documented = |file: &&File| {
        let first = file.text.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_some_and(|words| !words.trim().is_empty())
    };
    files
        .iter()
        .filter(|file| file.is_rust() && !documented(file))
        .map(|file| {
            format!(
                "{}: open it with `//!` docs: what lives here, what does not, which invariant it keeps",
                file.path
            )
        })
        .collect()
}

pub(crate) fn names(files: &[File]) -> Vec<String> {
    let drawer =
        |part: &str| ["util", "utils", "common", "helper", "helpers", "misc"].contains(&part);
    files
        .iter()
        .filter(|file| file.path.trim_end_matches(".rs").split('/').any(drawer))
        .map(|file| {
            format!("{}: name the file after what it is about, not after a drawer", file.path)
        })
        .collect()
}

/// Which crate may not depend on which: crate, forbidden, what to do instead.
const STRANGERS: &[(&str, &[&str], &str)] = &[
    (
        "front",
        &["catalog", "blobs", "outbound"],
        "protocols call operations (crate ops): no protocol walks around the rules",
    ),
    (
        "catalog",
        &["blobs", "ops", "front", "server"],
        "names do not know bytes: let ops bring the two together",
    ),
    (
        "blobs",
        &["catalog", "ops", "front", "server"],
        "bytes do not know names: let ops bring the two together",
    ),
    (
        "ops",
        &["front", "server", "hyper", "http", "serde_json"],
        "operations know no protocol: translate in front",
    ),
    (
        "outbound",
        &["catalog", "blobs", "ops", "front", "server"],
        "it makes requests: what for, and what comes of them, is said in ops",
    ),
    (
        "model",
        &["serde", "serde_json", "tokio", "catalog", "blobs", "ops", "front", "server"],
        "facts are plain data: stored and sent forms belong to whoever stores and sends",
    ),
];

pub(crate) fn dependencies(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (krate, forbidden, instead) in STRANGERS {
        let manifest = format!("crates/{krate}/Cargo.toml");
        for file in files.iter().filter(|file| file.path == manifest) {
            for name in
                depends_on(&file.text).iter().filter(|name| forbidden.contains(&name.as_str()))
            {
                complaints
                    .push(format!("{manifest}: {krate} must not depend on {name}: {instead}"));
            }
        }
    }
    complaints
}

/// What a manifest depends on, tests aside.
fn depends_on(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            let last = table.split_once("dependencies").map(|(before, after)| {
                (!before.ends_with("dev-"), after.strip_prefix('.').unwrap_or_default())
            });
            inside = last.is_some_and(|(product, name)| product && name.is_empty());
            if let Some((true, name)) = last
                && !name.is_empty()
            {
                names.push(name.to_owned());
            }
        } else if inside && let Some(name) = line.split(['.', '=', ' ']).next() {
            names.push(name.trim_matches('"').to_owned());
        }
    }
    names
}

const ROOMS: [&str; 3] = ["rpc", "upload", "egress"];

pub(crate) fn rooms(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for room in ROOMS {
        let inside = format!("crates/front/src/{room}/");
        for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with(&inside)) {
            for other in ROOMS.iter().filter(|other| **other != room) {
                if imports(&file.words(), other) {
                    complaints.push(format!(
                        "{}: {room} must not know {other}: what both need is an operation (ops), or stands beside the \
                         rooms in front",
                        file.path
                    ));
                }
            }
        }
    }
    complaints
}

/// Whether a `use` names `module`, or a path leads there from the crate or from above.
fn imports(words: &[String], module: &str) -> bool {
    let mut in_use = false;
    words.iter().enumerate().any(|(i, word)| {
        in_use = word == "use" || (in_use && word != ";");
        let from = i.checked_sub(2).map(|before| words[before].as_str());
        let by_path =
            from.is_some_and(|from| (from == "crate" || from == "super") && words[i - 1] == "::");
        word == module && (in_use || by_path)
    })
}

pub(crate) fn durability(files: &[File]) -> Vec<String> {
    // The first key is made before there is a blob store to make it durable; a log is cut before RocksDB has it.
    let allowed = |path: &str| {
        path.starts_with("crates/blobs/src/local/")
            || ["crates/server/src/key.rs", "crates/catalog/src/embedded/logs.rs"].contains(&path)
    };
    let banned = |words: &[String]| {
        let mut in_use = false;
        words.iter().enumerate().any(|(i, word)| {
            in_use = word == "use" || (in_use && word != ";");
            let path =
                i.checked_sub(2).map(|before| (words[before].as_str(), words[i - 1].as_str()));
            let of_fs = path == Some(("fs", "::")) || in_use;
            ["sync_all", "sync_data", "fsync", "fdatasync"].contains(&word.as_str())
                || (word == "rename" && of_fs)
        })
    };
    files
        .iter()
        .filter(|file| file.is_product() && !allowed(&file.path) && banned(&file.words()))
        .map(|file| {
            format!(
                "{}: renaming and syncing live in blobs/src/local/durable.rs alone: call it, or keep the data in the \
                 catalog",
                file.path
            )
        })
        .collect()
}

pub(crate) fn environment(files: &[File]) -> Vec<String> {
    let allowed = |path: &str| {
        path.starts_with("crates/server/src/config/") || path == "crates/server/src/logging.rs"
    };
    let reads = |words: &[String]| {
        imports(words, "env")
            || words.windows(2).any(|pair| pair[0] == "env" && pair[1] == "::")
            || words.windows(3).any(|three| three[0] == "std" && three[2] == "env")
    };
    files
        .iter()
        .filter(|file| file.is_product() && !allowed(&file.path))
        .filter(|file| reads(&file.words()))
        .map(|file| {
            format!(
                "{}: only server/src/config and logging.rs read the environment: take the value as an argument",
                file.path
            )
        })
        .collect()
}

pub(crate) fn ignored(files: &[File]) -> Vec<String> {
    let ignores = |words: &[String]| {
        let mut attribute = false;
        words.windows(2).any(|pair| {
            attribute = (pair[0] == "#" && pair[1] == "[") || (attribute && pair[0] != "]");
            attribute && pair[1] == "ignore"
        })
    };
    files
        .iter()
        .filter(|file| file.is_rust() && ignores(&file.words()))
        .map(|file| {
            format!("{}: a test that does not run is no test: mend it or delete it", file.path)
        })
        .collect()
}

pub(crate) fn marks(files: &[File]) -> Vec<String> {
    let marks = ["TO_DO", "FIX_ME", "XX_X"].map(|mark| mark.replace('_', ""));
    let marked = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric()).any(|word| marks.iter().any(|mark| mark == word))
    };
    files
        .iter()
        .filter(|file| file.is_rust() && marked(&file.text))
        .map(|file| {
            format!("{}: do what the note says, or open an issue and delete the note", file.path)
        })
        .collect()
}

pub(crate) fn code_tables(files: &[File]) -> Vec<String> {
    let wild = |file: &&File| file.code().lines().any(|line| line.trim_start().starts_with("_ =>"));
    files
        .iter()
        .filter(|file| file.is_product() && file.path.ends_with("/codes.rs") && wild(file))
        .map(|file| {
            format!(
                "{}: name every fact: a wildcard arm would give a new fact a code without a decision",
                file.path
            )
        })
        .collect()
}

/// The programs of ours that the README's code blocks run are there, and can be run.
pub(crate) fn readme_commands(files: &[File], executable: &dyn Fn(&str) -> bool) -> Vec<String> {
    let Some(readme) = files.iter().find(|file| file.path == "README.md") else {
        return vec!["README.md: missing: say what this is, how it is run and tested".to_owned()];
    };
    let (mut inside, mut commands) = (false, Vec::new());
    for line in readme.text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            commands.extend(line.split_whitespace().filter_map(program));
        }
    }
    let mut complaints: Vec<String> = commands
        .iter()
        .filter(|command| !executable(command))
        .map(|command| {
            format!("README.md: {command} is no program of ours: mend the example, or its mode (chmod +x)")
        })
        .collect();
    if commands.is_empty() {
        complaints.push("README.md: show in a code block how the server is run".to_owned());
    }
    complaints
}

/// A word of a command line that names a program of the repository.
fn program(word: &str) -> Option<&str> {
    let ours = word.strip_prefix("./").or(word.starts_with("scripts/").then_some(word))?;
    (!ours.is_empty() && !ours.starts_with("data")).then_some(ours)
}
