//! `scale`: the same works on a store of ten thousand entries and on one of a million (or ten), in turns; how long starting
//! takes. What memory is taken is in `memory`.

mod memory;

use std::time::Instant;

use serde_json::json;

use crate::{
    api::{Session, append},
    compare::{Amount, Comparison, Role, Row, Side, Unit, take_turns},
    content::Stamped,
    http::Connection,
    limits::ms,
    load::Script,
    plan::Plan,
    process,
    report::Part,
    requests::{Calls, Files4k, Same, Uploads},
    server::{Home, Listening},
    table::say,
    target::{Against, Target},
    works::{
        get_hot::Kind,
        mib,
        stores::{ENTRIES, FEW, HOT, Stores, TEN_MILLION, ensure_enough, path, short},
    },
};

const CONNECTIONS: usize = 32;
const TARGETS: [Target; 1] = [Target::at_least(Against::Peer, 0.7, 0.9)];

/// A store that is being served.
struct Served {
    role: Role,
    name: String,
    entries: u64,
    server: Listening,
    session: Session,
}

/// What one side is sent.
type Scripts<'a> = Vec<Box<dyn Script + 'a>>;

/// Does the work.
pub(crate) async fn run(plan: &Plan, stores: &mut Stores) -> anyhow::Result<Vec<Part>> {
    ensure_enough(plan)?;
    let many = if plan.ten_million { TEN_MILLION } else { plan.files };
    for entries in [FEW, many, plan.files] {
        stores.make(plan, entries).await?;
    }
    let title = format!("scale: a directory of {} beside one of {}", short(many), short(FEW));
    let mut comparison = Comparison::new(title);
    let homes = [(Role::Ours, many, stores.get(many)?), (Role::Peer, FEW, stores.get(FEW)?)];
    comparison.rows.push(starts(plan, &homes).await?);
    let mut served = Vec::new();
    for (role, entries, home) in homes {
        let server = home.serve()?;
        let session = Session::login(server.address).await?;
        let name = format!("with {}", short(entries));
        served.push(Served { role, name, entries, server, session });
    }
    works(plan, &served, &mut comparison).await?;
    let mut loaded = Row::new(format!("RSS after that, {}", short(many)), Unit::Mebibytes, &[]);
    for side in &served {
        loaded.value(side.role, &side.name, mib(process::rss(side.server.pid())?));
    }
    comparison.rows.push(loaded);
    for side in served {
        side.server.stop()?;
    }
    let memory = memory::measure(plan, stores.get(plan.files)?).await?;
    Ok(vec![Part::Comparison(comparison), Part::Comparison(memory)])
}

/// From starting the process until it has answered for a file, after a stop.
async fn starts(plan: &Plan, homes: &[(Role, u64, &Home)]) -> anyhow::Result<Row> {
    let mut row = Row::new("start, until a first answer", Unit::Millis, &[]);
    for round in 0..plan.rounds {
        say(&format!("scale, starting, round {}", round + 1));
        for (role, entries, home) in homes {
            let begun = Instant::now();
            let server = home.serve()?;
            let mut connection = Connection::open(server.address).await?;
            let hot = Stamped::new(4096).whole(1);
            crate::api::verify_bytes(&mut connection, HOT, &hot).await?;
            row.value(*role, &format!("with {}", short(*entries)), ms(begun.elapsed()));
            server.stop()?;
        }
    }
    Ok(row)
}

async fn works(plan: &Plan, served: &[Served], comparison: &mut Comparison) -> anyhow::Result<()> {
    let (hot, byte, small) = (Stamped::new(4096).whole(1), Stamped::new(1), Stamped::new(4096));
    let new = |number: u64| (ENTRIES.to_owned(), format!("new-{number:08}.bin"));
    let mut scripts: Vec<Scripts<'_>> = Vec::new();
    for side in served {
        let token = side.session.token();
        let same = |kind: Kind| kind.script_of(side.server.address, HOT, &hot);
        let (get, head, not_modified): (Same, Same, Same) =
            (same(Kind::Get).await?, same(Kind::Head).await?, same(Kind::NotModified).await?);
        let stat = Calls::new("stat", r#""code":0"#, move |number, out| {
            append(out, format_args!(r#""token":"{token}","detail":true,"path":""#));
            path(crate::content::Random::new(number).next() % side.entries, out);
            out.push(b'"');
        });
        let page = move |method, size: u64, cookie| {
            Calls::new(method, r#""code":0"#, move |_, out| {
                let (path, cookie) = (json!(ENTRIES), json!(cookie));
                append(out, format_args!(r#""token":"{token}","path":{path},"pageSize":{size},"#));
                append(out, format_args!(r#""cookie":{cookie},"stat":true"#));
            })
        };
        scripts.push(vec![
            Box::new(get),
            Box::new(head),
            Box::new(not_modified),
            Box::new(Files4k { random: true, files: side.entries, path, contents: &byte }),
            Box::new(stat),
            Box::new(Uploads { session: side.session.clone(), place: &new, contents: &small }),
            Box::new(page("listFile", 100, side.entries / 2)),
            Box::new(page("listFile", 10_000, 0)),
        ]);
    }
    let kinds = [
        ("GET 4 KiB hot", 100_000, CONNECTIONS),
        ("HEAD hot", 100_000, CONNECTIONS),
        ("GET, 304, hot", 100_000, CONNECTIONS),
        ("GET of any entry", 200_000, CONNECTIONS),
        ("stat of any entry", 100_000, CONNECTIONS),
        ("upload 4 KiB into it", 20_000, CONNECTIONS),
        ("listFile 100 from its middle", 10_000, CONNECTIONS),
        ("listFile 10,000", 60, 1),
    ];
    for (i, (what, requests, connections)) in kinds.into_iter().enumerate() {
        let amount = Amount { requests: plan.count(requests), connections, unit: Unit::Requests };
        let mut sides = Vec::new();
        for (side, scripts) in served.iter().zip(&scripts) {
            sides.push(Side {
                role: side.role,
                name: &side.name,
                pid: side.server.pid(),
                address: side.server.address,
                script: scripts[i].as_ref(),
            });
        }
        let many = served.first().map_or(0, |side| side.entries);
        let work = format!("{what}, {}", short(many));
        comparison.rows.push(take_turns(plan, &work, &amount, &sides, &TARGETS)?);
    }
    Ok(())
}
