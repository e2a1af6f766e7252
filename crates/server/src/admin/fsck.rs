//! `headwater fsck`: what is asked, how the report looks, and the exit code. The semantics are in `ops::fsck`.

use std::process::ExitCode;

use anyhow::bail;
use ops::{
    Store,
    fsck::{Counts, Options, Report},
};
use serde_json::{Value, json};

use super::{Command, Reach};
use crate::config::Site;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fsck {
    pub(crate) deep: bool,
    pub(crate) repair: bool,
    pub(crate) json: bool,
}

/// Findings are left.
const LEFT: u8 = 1;

/// Looks, by the running server where there is one, and prints what was found.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer to a command line")]
pub(crate) async fn run(site: Site, fsck: Fsck) -> anyhow::Result<ExitCode> {
    let Fsck { deep, repair, json } = fsck;
    let report = match Reach::find(site).await? {
        Reach::Running(data) if repair => {
            bail!("a server runs on {}: stop it to repair", data.display());
        }
        Reach::Own(opened, _) => {
            if repair && opened.store.is_served().await? {
                bail!("other nodes serve this catalog: stop them to repair");
            }
            value(&opened.store.fsck(Options { deep, repair, online: false }).await?)
        }
        running => running.ask(&Command::Fsck { deep }, |note| eprintln!("{note}")).await?.answer,
    };
    if json {
        println!("{report}");
    } else {
        lines(&report, repair).iter().for_each(|line| println!("{line}"));
    }
    let clean = report["left"] == 0;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(LEFT) })
}

/// Looks while others write.
pub(super) async fn online(store: &Store, deep: bool) -> anyhow::Result<Value> {
    Ok(value(&store.fsck(Options { deep, repair: false, online: true }).await?))
}

fn value(report: &Report) -> Value {
    let Counts {
        accounts,
        users,
        sessions,
        directories,
        files,
        inline,
        blobs,
        blob_bytes,
        uploads,
        pieces,
        events,
        jobs,
        verified_bytes,
    } = report.counts;
    let findings = report.findings.iter().map(|f| {
        json!({
            "kind": f.kind.name(), "at": f.at, "stored": f.stored, "expected": f.expected,
            "mendable": f.mendable, "mended": f.mended,
        })
    });
    let kinds = report.kinds.iter().map(|(kind, n)| (kind.name().to_owned(), json!(n)));
    json!({
        "clean": report.left == 0, "complete": !report.incomplete, "total": report.total(),
        "left": report.left, "findings": findings.collect::<Vec<_>>(),
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        "counts": {
            "accounts": accounts, "users": users, "sessions": sessions,
            "directories": directories, "files": files, "small_contents": inline,
            "blobs": blobs, "blob_bytes": blob_bytes, "uploads": uploads, "pieces": pieces,
            "events": events, "jobs": jobs, "verified_bytes": verified_bytes,
        },
    })
}

/// A line a finding, then what was looked at.
fn lines(report: &Value, repair: bool) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    let findings = report["findings"].as_array().map_or(&[][..], Vec::as_slice);
    for finding in findings {
        let fate = match (finding["mended"] == true, finding["mendable"] == true) {
            (true, _) => "mended",
            (false, true) if !repair => "--repair mends it",
            _ => "not mended",
        };
        let [kind, at, stored, expected] =
            ["kind", "at", "stored", "expected"].map(|key| text(&finding[key]));
        let expected =
            if expected.is_empty() { String::new() } else { format!(", should be: {expected}") };
        lines.push(format!("{kind}: {at}: {stored}{expected} ({fate})"));
    }
    let total = report["total"].as_u64().unwrap_or(0);
    let shown = findings.len() as u64;
    if total > shown {
        lines.push(format!("… and {} more", total - shown));
    }
    let counts = report["counts"].as_object();
    let looked: Vec<String> = counts
        .into_iter()
        .flatten()
        .map(|(what, n)| format!("{n} {}", what.replace('_', " ")))
        .collect();
    lines.push(format!("looked at: {}", looked.join(", ")));
    if report["complete"] == false {
        lines.push("something could not be read: nothing is mended".to_owned());
    }
    lines.push(match (total, report["left"].as_u64().unwrap_or(0)) {
        (0, _) => "clean".to_owned(),
        (total, 0) => format!("clean: {total} findings, all mended"),
        (_, left) => format!("{left} findings are left"),
    });
    lines
}
