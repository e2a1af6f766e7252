//! The rules of the house that can be read off the files: sizes, docs, who may know whom, where durability and the
//! environment live (ARCHITECTURE.md says why). Each rule is a function from files to complaints, and a complaint says
//! what to do instead; each is shown to complain about a made-up violation.
//!
//! What does not live here: what clippy, rustfmt and cargo-deny check already.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rules::Rule;
use source::File;

/// Directories that hold nothing of ours.
const SKIPPED: [&str; 4] = ["target", ".git", ".cargo", "data"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Every text file of the repository that a rule may want to read.
fn read(dir: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                read(&path, files);
            }
        } else if name == "README.md" || name == "Cargo.toml" || name.ends_with(".rs") {
            let path_from_root = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            files.push(File::new(&path_from_root, &fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let mut files = Vec::new();
    read(root(), &mut files);
    assert!(files.len() > 100, "only {} files were found", files.len());
    let executable = |path: &str| {
        fs::metadata(root().join(path))
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let mut complaints: Vec<String> = rules::ALL.iter().flat_map(|rule| rule(&files)).collect();
    complaints.extend(rules::readme_commands(&files, &executable));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// How often a rule complains about one made-up file.
fn complaints(rule: Rule, path: &str, text: &str) -> usize {
    rule(&[File::new(path, text)]).len()
}

#[test]
fn sizes() {
    let lines = |n| "//! x\n".repeat(n);
    assert_eq!(complaints(rules::sizes, "crates/a/src/x.rs", &lines(500)), 0);
    assert_eq!(complaints(rules::sizes, "crates/a/src/x.rs", &lines(501)), 1);
    assert_eq!(complaints(rules::sizes, "crates/a/tests/x.rs", &lines(1001)), 1);
    assert_eq!(complaints(rules::sizes, "README.md", &lines(5000)), 0);
}

#[test]
fn docs() {
    let path = "crates/a/src/x.rs";
    assert_eq!(complaints(rules::docs, path, "//! What lives here.\nfn f() {}\n"), 0);
    for bad in
        ["fn f() {}\n", "", "// not docs\n", "\n//! late\n", "#![allow(x)]\n//! late\n", "//!\n"]
    {
        assert_eq!(complaints(rules::docs, path, bad), 1, "{bad:?}");
    }
}

#[test]
fn names() {
    for bad in ["crates/a/src/utils.rs", "crates/a/src/common/x.rs", "crates/a/src/helpers/mod.rs"]
    {
        assert_eq!(complaints(rules::names, bad, ""), 1, "{bad}");
    }
    assert_eq!(complaints(rules::names, "crates/a/src/commons.rs", ""), 0);
}

#[test]
fn dependencies() {
    let manifest = |krate: &str, text: &str| {
        complaints(rules::dependencies, &format!("crates/{krate}/Cargo.toml"), text)
    };
    assert_eq!(manifest("front", "[dependencies]\nops.workspace = true\nhyper = \"1\"\n"), 0);
    for (krate, line) in [
        ("front", "catalog.workspace = true"),
        ("front", "blobs = { path = \"../blobs\" }"),
        ("front", "outbound.workspace = true"),
        ("outbound", "ops.workspace = true"),
        ("catalog", "blobs.workspace = true"),
        ("catalog", "ops = { workspace = true }"),
        ("blobs", "catalog.workspace = true"),
        ("ops", "front.workspace = true"),
        ("ops", "hyper.workspace = true"),
        ("model", "serde.workspace = true"),
        ("model", "tokio = \"1\""),
        ("model", "ops.workspace = true"),
    ] {
        assert_eq!(manifest(krate, &format!("[dependencies]\n{line}\n")), 1, "{krate}: {line}");
        let own_table = format!("[dependencies.{}]\n", line.split(['.', ' ']).next().unwrap());
        assert_eq!(manifest(krate, &own_table), 1, "{krate}: {own_table}");
        let only_tests = format!("[dev-dependencies]\n{line}\n");
        assert_eq!(manifest(krate, &only_tests), 0, "{krate}: {only_tests}");
    }
}

#[test]
fn rooms() {
    let room = |path: &str, text: &str| complaints(rules::rooms, path, text);
    let rpc = "crates/front/src/rpc/mod.rs";
    assert_eq!(room(rpc, "use crate::{Front, reply::Reply};\nlet upload = 5; // egress::x\n"), 0);
    for bad in [
        "use crate::upload::Spec;",
        "use crate::{Front, egress};",
        "use crate::{\n    reply::Reply,\n    upload::{a, b},\n};",
        "fn f() { crate::egress::serve() }",
        "use super::super::upload as other;",
    ] {
        assert_eq!(room(rpc, bad), 1, "{bad}");
    }
    assert_eq!(room("crates/front/src/upload/raw.rs", "use crate::rpc::json;"), 1);
    assert_eq!(room("crates/front/src/egress/x.rs", "use crate::upload::x;"), 1);
    assert_eq!(room("crates/front/src/route.rs", "use crate::{egress, rpc, upload};"), 0);
}

#[test]
fn durability() {
    let at = |path: &str, text: &str| complaints(rules::durability, path, text);
    for bad in [
        "fs::rename(a, b)?;",
        "std::fs::rename(a, b)?;",
        "use std::fs::{self, rename};",
        "file.sync_all()?;",
        "file.sync_data()?;",
        "rustix::fs::fsync(&file)?;",
    ] {
        assert_eq!(at("crates/server/src/jobs.rs", bad), 1, "{bad}");
        assert_eq!(at("crates/blobs/src/local/durable.rs", bad), 0, "{bad}");
        assert_eq!(at("crates/a/tests/x.rs", bad), 0, "{bad}");
    }
    assert_eq!(at("crates/server/src/key.rs", "file.sync_all()?;"), 0);
    assert_eq!(at("crates/ops/src/x.rs", "store.rename(a, b); // fs::rename, sync_all"), 0);
}

#[test]
fn environment() {
    let at = |path: &str, text: &str| complaints(rules::environment, path, text);
    for bad in
        ["let x = std::env::var(\"X\");", "use std::env;", "env::vars()", "use std::{env, fs};"]
    {
        assert_eq!(at("crates/ops/src/x.rs", bad), 1, "{bad}");
        assert_eq!(at("crates/server/src/config/x.rs", bad), 0, "{bad}");
    }
    let fine = "let x = env!(\"X\"); #[arg(long, env = \"X\")] y: u8; // std::env\n";
    assert_eq!(at("crates/ops/src/x.rs", fine), 0);
}

#[test]
fn attributes_and_marks() {
    let bad = ["#[ignore]", "#[ignore = \"slow\"]", "#[cfg_attr(x, ignore)]", "#[ ignore ]"];
    for text in bad {
        let found =
            complaints(rules::ignored, "crates/a/tests/x.rs", &format!("{text}\nfn f() {{}}"));
        assert_eq!(found, 1, "{text}");
    }
    assert_eq!(complaints(rules::ignored, "a.rs", "#[clippy::x] fn f() { ignore(); }"), 0);
    for mark in ["TO DO", "FIX ME", "XX X"].map(|mark| mark.replace(' ', "")) {
        for text in [format!("// {mark}: later"), format!("//! {mark}"), format!("f(\"{mark}\")")] {
            assert_eq!(complaints(rules::marks, "crates/a/src/x.rs", &text), 1, "{text}");
        }
        assert_eq!(complaints(rules::marks, "a.rs", &format!("// pre{mark}")), 0);
    }
}

#[test]
fn code_tables() {
    let bad = "match e {\n    Error::Full => -22,\n    _ => -5,\n}";
    assert_eq!(complaints(rules::code_tables, "crates/front/src/rpc/codes.rs", bad), 1);
    assert_eq!(complaints(rules::code_tables, "crates/front/src/rpc/json.rs", bad), 0);
}

#[test]
fn commands_of_the_readme() {
    let readme = |text: &str| {
        let executable = |path: &str| path == "run" || path == "scripts/setup";
        rules::readme_commands(&[File::new("README.md", text)], &executable).len()
    };
    assert_eq!(
        readme("Text\n```sh\n./run --data x\nscripts/setup test\ncurl x | ./run\n```\n./gone\n"),
        0
    );
    for bad in
        ["./gone", "    ./gone x", "scripts/gone", "$ ./gone", "A=b ./gone", "make && ./gone"]
    {
        assert_eq!(readme(&format!("```sh\n./run\n{bad}\n```\n")), 1, "{bad}");
    }
    assert_eq!(readme("nothing to run\n"), 1, "a README shows how to run it");
    assert_eq!(rules::readme_commands(&[], &|_| true).len(), 1, "there is a README");
}

/// Tests that profiles leave out by name are there: one that was renamed would run where it cannot hold.
#[test]
fn profiles_name_tests_that_are_there() {
    let profiles = fs::read_to_string(root().join(".config/nextest.toml")).unwrap();
    let named: Vec<&str> = profiles.split("test(=").skip(1).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        let name = name.split_once(')').unwrap().0;
        let (module, test) = name.split_once("::").unwrap();
        let file = root().join(format!("crates/server/tests/wire/{module}.rs"));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{name} is not in {}", file.display());
    }
}
