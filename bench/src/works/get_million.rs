//! `get-million`: a million files of 4 KiB, read uniformly at random, beside nginx on files of the same names and contents. The
//! files are uploaded over 128 connections, and written into a tree for nginx.

use std::fs;

use crate::{
    api::{Session, append},
    compare::{Amount, Comparison, Role, Side, Unit, take_turns},
    content::Stamped,
    http::Connection,
    load::Load,
    nginx::Nginx,
    plan::Plan,
    report::Part,
    requests::{Files4k, Uploads},
    server::{ACCOUNT, Home},
    table::say,
    target::{Against, Target},
    works::mib,
};

/// Bytes of a file.
pub(crate) const BYTES: usize = 4096;
const REQUESTS: u64 = 150_000;
const CONNECTIONS: usize = 32;
/// Files in a directory.
const DIRECTORY: u64 = 1000;
const TARGETS: [Target; 1] = [Target::at_least(Against::Peer, 0.6, 1.0)];
/// Files that are uploaded before it is said how far they are.
const SAY_EVERY: u64 = 50_000;

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let contents = Stamped::new(BYTES);
    let home = Home::new(plan)?;
    let root = home.beside("www");
    upload(plan, &home, &contents).await?;
    say("get-million, writing the same files into a tree for nginx");
    for number in 0..plan.files {
        let (directory, name) = place(number);
        let directory = root.join(ACCOUNT).join(&directory[1..]);
        if number.is_multiple_of(DIRECTORY) {
            fs::create_dir_all(&directory)?;
        }
        fs::write(directory.join(name), contents.whole(number))?;
    }
    let nginx = Nginx::start(plan, &root, &home.beside("nginx"))?;

    let amount =
        Amount { requests: plan.count(REQUESTS), connections: CONNECTIONS, unit: Unit::Requests };
    let title = format!("get-million: {} files of 4 KiB at random, 32 connections", plan.files);
    let mut comparison = Comparison::new(title);
    let each = Files4k { random: false, files: plan.files, path, contents: &contents };
    let script = Files4k { random: true, files: plan.files, path, contents: &contents };
    for (what, level) in [("", "warn"), (", access log", "info")] {
        let ours = home.serve_with(level, &[])?;
        let side = |role, name, pid, address| Side { role, name, pid, address, script: &script };
        let mut sides = vec![side(Role::Ours, "headwater", ours.pid(), ours.address)];
        if let Some(nginx) = &nginx {
            let address = if level == "warn" { nginx.quiet } else { nginx.logged };
            sides.push(side(Role::Peer, "nginx", nginx.pid(), address));
        }
        // nginx finds names and contents in the kernel's memory, where writing them left them; what a server of ours that just
        // started has in its own is nothing. Both are asked for each file once.
        say("get-million, reading each file once");
        for side in &sides {
            Load::open(side.address, CONNECTIONS)?.send(&each, 0..plan.files)?;
        }
        let work = format!("GET 4 KiB of {}{what}", plan.files);
        comparison.rows.push(take_turns(plan, &work, &amount, &sides, &TARGETS)?);
        ours.stop()?;
    }
    comparison.notes.push(format!("Data directory: {:.0} MiB.", mib(home.disk_bytes()?)));
    Ok(vec![Part::Comparison(comparison)])
}

/// Directory and name of a file.
fn place(number: u64) -> (String, String) {
    (format!("/million/{:04}", number / DIRECTORY), format!("{number:08}.bin"))
}

/// Appends the path of a file.
pub(crate) fn path(number: u64, out: &mut Vec<u8>) {
    append(out, format_args!("/million/{:04}/{number:08}.bin", number / DIRECTORY));
}

async fn upload(plan: &Plan, home: &Home, contents: &Stamped) -> anyhow::Result<()> {
    let server = home.serve_with("warn", &[])?;
    let session = Session::login(server.address).await?;
    let mut connection = Connection::open(server.address).await?;
    for number in (0..plan.files).step_by(usize::try_from(DIRECTORY)?) {
        session.make_dir(&mut connection, &place(number).0).await?;
    }
    let uploads = Uploads { session, place: &place, contents };
    let mut load = Load::open(server.address, plan.connections)?;
    for from in (0..plan.files).step_by(usize::try_from(SAY_EVERY)?) {
        say(&format!("get-million, uploading, {from} of {}", plan.files));
        load.send(&uploads, from..(from + SAY_EVERY).min(plan.files))?;
    }
    server.stop()
}
