//! `get-large`: files of 1 MiB and 1 GiB, and ranges of 64 KiB of the latter at random offsets, beside nginx with sendfile on
//! the same files. Every answer's length is checked, and a stamp in every 4 KiB of what comes.

use std::{fs, io::Write, path::Path};

use crate::{
    api::{self, Session},
    compare::{Amount, Comparison, Role, Side, Unit, take_turns},
    content::{self, CHUNK},
    http::Connection,
    nginx::Nginx,
    plan::Plan,
    report::Part,
    requests::Long,
    server::{ACCOUNT, Home, Listening},
    table::say,
    target::{Against, Target},
};

const TARGETS: [Target; 1] = [Target::at_least(Against::Peer, 0.9, 1.0)];
const SEED: u64 = 1;
const RANGE: u64 = 64 << 10;

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let home = Home::new(plan)?;
    let ours = home.serve_with("warn", &[])?;
    let root = home.beside("www");
    fs::create_dir_all(root.join(ACCOUNT))?;
    for (path, chunks) in [("/medium.bin", 1), ("/large.bin", plan.mib)] {
        say(&format!("get-large, making {path}"));
        put(&ours, path, chunks).await?;
        write(&root.join(ACCOUNT).join(&path[1..]), chunks)?;
    }
    let nginx = Nginx::start(plan, &root, &home.beside("nginx"))?;

    let mut comparison = Comparison::new("get-large: 1 MiB and 1 GiB");
    comparison.notes.push(
        "Neither writes an access log. nginx: `tcp_nopush on`, but `off` for ranges, where it makes \
         every answer wait 40 ms over loopback."
            .to_owned(),
    );
    let (medium, large) = (CHUNK as u64, plan.mib * CHUNK as u64);
    let of_large = format!("GET {} MiB", plan.mib);
    for (work, path, bytes, range, connections, requests) in [
        ("GET 1 MiB", "/medium.bin", medium, None, 8, plan.count(8000)),
        (&of_large, "/large.bin", large, None, 1, 6),
        (&of_large, "/large.bin", large, None, 2, 8),
        ("Range 64 KiB", "/large.bin", large, Some(RANGE), 32, plan.count(400_000)),
    ] {
        let script = Long { path: path.to_owned(), seed: SEED, bytes, range };
        let side = |role, name, pid, address| Side { role, name, pid, address, script: &script };
        let mut sides = vec![side(Role::Ours, "headwater", ours.pid(), ours.address)];
        if let Some(nginx) = &nginx {
            let address = if range.is_some() { nginx.ranges } else { nginx.quiet };
            sides.push(side(Role::Peer, "nginx, sendfile", nginx.pid(), address));
        }
        let amount =
            Amount { requests, connections, unit: Unit::Gigabytes(range.unwrap_or(bytes)) };
        let plural = if connections == 1 { "" } else { "s" };
        let work = format!("{work}, {connections} connection{plural}");
        comparison.rows.push(take_turns(plan, &work, &amount, &sides, &TARGETS)?);
    }
    Ok(vec![Part::Comparison(comparison)])
}

async fn put(server: &Listening, path: &str, chunks: u64) -> anyhow::Result<()> {
    let session = Session::login(server.address).await?;
    let mut connection = Connection::open(server.address).await?;
    let (mut head, mut body) = (Vec::new(), content::Long::new(SEED));
    session.upload("/", &path[1..], chunks * CHUNK as u64, &mut head);
    connection.send(&head).await?;
    for number in 0..chunks {
        connection.send(body.chunk(number)).await?;
    }
    api::uploaded(connection.answer(false).await?, chunks * CHUNK as u64)
}

fn write(path: &Path, chunks: u64) -> anyhow::Result<()> {
    let (mut file, mut body) = (fs::File::create(path)?, content::Long::new(SEED));
    for number in 0..chunks {
        file.write_all(body.chunk(number))?;
    }
    Ok(())
}
