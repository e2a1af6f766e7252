//! `rpc`: JSON-RPC calls over 32 connections, beside a bare server that reads the same calls and gives the same answers.
//! `stat` and `login` read, the others are durable changes.

use crate::{
    api::{Session, append},
    compare::{Amount, Comparison, Role, Side, Unit, numbers, take_turns},
    content::Stamped,
    http::Connection,
    load::{Load, Script},
    plan::Plan,
    report::Part,
    requests::{Calls, Uploads},
    server::{self, Home, Listening, PASSWORD, USER},
    table::say,
    target::{Against, Target},
};

const CONNECTIONS: usize = 32;
const STATS: u64 = 100_000;
const LOGINS: u64 = 400;
const CHANGES: u64 = 30_000;
const DONE: &str = r#""result":0"#;
/// Numbered past every turn's.
const RECORDED: u64 = 99_999_999;

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let home = Home::new(plan)?;
    let ours = home.serve()?;
    let session = Session::login(ours.address).await?;
    let mut connection = Connection::open(ours.address).await?;
    for directory in ["/files", "/renamed", "/dirs"] {
        session.make_dir(&mut connection, directory).await?;
    }
    let amount = |requests| Amount {
        requests: plan.count(requests),
        connections: CONNECTIONS,
        unit: Unit::Requests,
    };
    say("rpc, making the files");
    let empty = Stamped::new(0);
    let place = |number| ("/files".to_owned(), format!("{number:08}"));
    let uploads = Uploads { session: session.clone(), place: &place, contents: &empty };
    let files = numbers(plan, &amount(CHANGES)).max(1);
    Load::open(ours.address, plan.connections)?.send(&uploads, 0..files)?;

    let token = session.token();
    let stat = Calls::new("stat", r#""code":0"#, |_, out| {
        append(out, format_args!(r#""token":"{token}","path":"/files/00000000","detail":true"#));
    });
    let login = Calls::new("login", r#""uid""#, |_, out| {
        append(out, format_args!(r#""username":"{USER}","password":"{PASSWORD}""#));
    });
    let make_dir = Calls::new("makeDir", DONE, |number, out| {
        append(out, format_args!(r#""token":"{token}","path":"/dirs/{number:08}""#));
    });
    let rename = Calls::new("rename", DONE, |number, out| {
        let (old, new) = (format_args!("/files/{number:08}"), format_args!("/renamed/{number:08}"));
        append(out, format_args!(r#""token":"{token}","oldpath":"{old}","newpath":"{new}""#));
    });
    let delete = Calls::new("deleteFile", DONE, |number, out| {
        append(out, format_args!(r#""token":"{token}","path":"/renamed/{number:08}""#));
    });

    let mut comparison = Comparison::new("rpc: JSON-RPC calls, 32 connections");
    comparison
        .notes
        .push("The limit reads the call and gives headwater's answer to it.".to_owned());
    let echoed = [Target::at_least(Against::Limit, 0.5, 0.7)];
    let done = like(&home, &ours, &make_dir).await?;
    let stat_bare = like(&home, &ours, &stat).await?;
    let login_bare = like(&home, &ours, &login).await?;
    for (work, script, requests, bare, targets) in [
        ("stat", &stat, STATS, &stat_bare, &echoed[..]),
        ("login", &login, LOGINS, &login_bare, &[]),
        ("makeDir", &make_dir, CHANGES, &done, &[]),
        ("rename", &rename, CHANGES, &done, &[]),
        ("deleteFile", &delete, CHANGES, &done, &[]),
    ] {
        let side = |role, name, server: &Listening| Side {
            role,
            name,
            pid: server.pid(),
            address: server.address,
            script,
        };
        let sides = [side(Role::Ours, "headwater", &ours), side(Role::Limit, "bare", bare)];
        comparison.rows.push(take_turns(plan, work, &amount(requests), &sides, targets)?);
    }
    ours.stop()?;
    Ok(vec![Part::Comparison(comparison)])
}

async fn like(home: &Home, ours: &Listening, calls: &Calls<'_>) -> anyhow::Result<Listening> {
    let mut request = Vec::new();
    calls.request(RECORDED, &mut request);
    server::bare_like(home, ours, &request).await
}
