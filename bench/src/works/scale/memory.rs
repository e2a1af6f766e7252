//! What memory is taken, resident: idle, by idle connections, and how much more during uploads. Each on a server that was just
//! started and has answered once.

use std::{fs, thread, time::Duration};

use crate::{
    api::{self, Session},
    compare::{Comparison, Role, Row, Unit},
    content::Stamped,
    http::Connection,
    load::Load,
    plan::Plan,
    process::{self, Meter},
    requests::{Same, Uploads, read_request},
    server::{Home, Listening},
    table::say,
    target::{Against, Target},
    works::{
        big_uploads, mib,
        stores::{HOT, short},
    },
};

/// Without work, before memory is read.
const IDLE: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 10_000;
const UPLOADS: u64 = 60_000;
const IDLE_TARGET: [Target; 1] = [Target::at_most(Against::Figure, 100.0, 60.0)];
const CONNECTION_TARGET: [Target; 1] = [Target::at_most(Against::Figure, 64.0, 32.0)];
const GROWTH_TARGET: [Target; 1] = [Target::at_most(Against::Figure, 32.0, 16.0)];

/// Measures it on a store of `plan.files` entries.
pub(super) async fn measure(plan: &Plan, home: &Home) -> anyhow::Result<Comparison> {
    let files = short(plan.files);
    let mut comparison = Comparison::new("scale: memory");
    comparison.notes.push(
        "Resident memory of the process; what the kernel keeps for sockets is not in it. Growth is \
         the most that was resident during the work less what was before it."
            .to_owned(),
    );
    let mut figure = |work: String, unit, targets: &[Target], value| {
        let mut row = Row::new(work, unit, targets);
        row.value(Role::Ours, "headwater", value);
        comparison.rows.push(row);
    };

    say("scale, idle memory");
    let (server, session) = fresh(home, &[]).await?;
    let idle = mib(process::rss(server.pid())?);
    figure(format!("idle, {files} files"), Unit::Mebibytes, &IDLE_TARGET, idle);

    say("scale, memory of a large upload");
    let mut connection = Connection::open(server.address).await?;
    session.make_dir(&mut connection, "/big").await?;
    let meter = Meter::start(server.pid())?;
    let name = "growth.bin".to_owned();
    big_uploads::upload(server.address, session, 0, name, plan.mib).await?;
    let work = format!("growth, upload of {} MiB", plan.mib);
    figure(work, Unit::Mebibytes, &GROWTH_TARGET, mib(meter.read()?.peak) - idle);
    server.stop()?;

    say("scale, memory of small uploads");
    let (server, session) = fresh(home, &[]).await?;
    let before = mib(process::rss(server.pid())?);
    session.make_dir(&mut Connection::open(server.address).await?, "/growth").await?;
    let (small, place) = (Stamped::new(4096), |n: u64| ("/growth".to_owned(), format!("{n}.bin")));
    let uploads = Uploads { session, place: &place, contents: &small };
    let meter = Meter::start(server.pid())?;
    Load::open(server.address, 128)?.send(&uploads, 0..plan.count(UPLOADS))?;
    let work = format!("growth, {} uploads of 4 KiB, 128 conn.", plan.count(UPLOADS));
    figure(work, Unit::Mebibytes, &GROWTH_TARGET, mib(meter.read()?.peak) - before);
    server.stop()?;

    say("scale, memory of idle connections");
    let config = home.beside("many-connections.toml");
    fs::write(&config, "[limits]\nconnections = 20000\nheader_seconds = 600\n")?;
    let config = config.to_string_lossy().into_owned();
    let (server, _session) = fresh(home, &["--config", &config]).await?;
    let before = process::rss(server.pid())?;
    let mut load = Load::open(server.address, CONNECTIONS)?;
    let hot = Stamped::new(4096).whole(1);
    let get = Same { request: read_request("GET", HOT, ""), status: 200, body: hot };
    // Each has been used: it holds whatever it keeps between requests.
    load.send(&get, 0..CONNECTIONS as u64)?;
    thread::sleep(IDLE);
    let more = process::rss(server.pid())?.saturating_sub(before);
    let each = more as f64 / 1024.0 / CONNECTIONS as f64;
    figure(format!("idle connection, of {CONNECTIONS}"), Unit::Kibibytes, &CONNECTION_TARGET, each);
    drop(load);
    server.stop()?;
    Ok(comparison)
}

/// A server that was just started, has answered once, and then did nothing for a while.
async fn fresh(home: &Home, more: &[&str]) -> anyhow::Result<(Listening, Session)> {
    let server = home.serve_with("warn", more)?;
    let session = Session::login(server.address).await?;
    let mut connection = Connection::open(server.address).await?;
    api::verify_bytes(&mut connection, HOT, &Stamped::new(4096).whole(1)).await?;
    thread::sleep(IDLE);
    Ok((server, session))
}
