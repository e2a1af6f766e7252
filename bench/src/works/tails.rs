//! `tails`: how long the slowest uploads of 4 KiB wait while, over the same 128 connections, others overwrite files and delete
//! larger ones, so that the catalog compacts and the server removes what is no longer referred to; and while files of 1 GiB
//! are deleted.

use std::ops::Range;

use super::big_uploads;
use crate::{
    api::{Session, append},
    compare::{Comparison, Role, Row, Turn, Unit},
    content::Stamped,
    http::{Answer, Connection},
    load::{Load, Script},
    plan::Plan,
    process::Meter,
    report::Part,
    requests::{Calls, Uploads},
    server::{Home, Listening},
    table::say,
    target::{Against, Target},
};

const CONNECTIONS: usize = 128;
/// Requests of a turn: of ten, seven upload, two overwrite and one deletes.
const REQUESTS: u64 = 300_000;
/// Of a file that is deleted: it does not live in the catalog.
const LARGER: usize = 20_000;
/// Uploads of a turn while very large files are deleted, and how many of these.
const UPLOADS: u64 = 100_000;
const LARGEST: u64 = 4;
const TARGETS: [Target; 1] = [Target::at_most(Against::LongestWait, 50.0, 50.0)];

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let home = Home::new(plan)?;
    let server = home.serve()?;
    let session = Session::login(server.address).await?;
    let mut connection = Connection::open(server.address).await?;
    for directory in ["/new", "/old", "/larger"] {
        session.make_dir(&mut connection, directory).await?;
    }
    let (small, larger) = (Stamped::new(4096), Stamped::new(LARGER));
    let requests = plan.count(REQUESTS);
    let (olds, turns) = (requests / 5, u64::from(plan.rounds));
    let uploads = |place, contents| Uploads { session: session.clone(), place, contents };

    say("tails, making what is overwritten and deleted");
    let old = |number: u64| ("/old".to_owned(), format!("{:07}.bin", number % olds));
    let gone = |number: u64| ("/larger".to_owned(), format!("{number:07}.bin"));
    let mut load = Load::open(server.address, CONNECTIONS)?;
    // Twice: by the end, half of what the catalog holds is of no use.
    load.send(&uploads(&old, &small), 0..2 * olds)?;
    load.send(&uploads(&gone, &larger), 0..turns * requests / 10 + 1)?;

    let new = |number: u64| ("/new".to_owned(), format!("{number:08}.bin"));
    let token = session.token();
    let (added, overwritten) = (uploads(&new, &small), uploads(&old, &small));
    let mix = Mix {
        upload: Box::new(|number| match number % 10 {
            0..7 => Some(&added),
            7..9 => Some(&overwritten),
            _ => None,
        }),
        delete: Calls::new("deleteFile", r#""result":0"#, |number, out| {
            append(
                out,
                format_args!(r#""token":"{token}","path":"/larger/{:07}.bin""#, number / 10),
            );
        }),
    };
    let work = "upload 4 KiB, 128 conn., with overwriting and deleting";
    let mut row = Row::new(work, Unit::Requests, &TARGETS);
    for round in 0..turns {
        say(&format!("{work}, round {}", round + 1));
        mix.take_turn(&mut row, &server, round * requests..(round + 1) * requests)?;
    }
    let second = while_the_largest_go(plan, &server, &session).await?;
    server.stop()?;
    let mut comparison = Comparison::new("tails: the longest waits");
    comparison.notes.push(
        "Of ten requests seven upload a new file and two overwrite one; one deletes a file of 20 kB, \
         its wait does not count."
            .to_owned(),
    );
    comparison.rows.extend([row, second]);
    Ok(vec![Part::Comparison(comparison)])
}

/// Uploads of 4 KiB, among which files of 1 GiB are deleted, one in so many requests.
async fn while_the_largest_go(
    plan: &Plan,
    server: &Listening,
    session: &Session,
) -> anyhow::Result<Row> {
    let work =
        format!("upload 4 KiB, {CONNECTIONS} conn., while files of {} MiB are deleted", plan.mib);
    let mut row = Row::new(work.clone(), Unit::Requests, &TARGETS);
    let mut connection = Connection::open(server.address).await?;
    for directory in [big_uploads::DIRECTORY, "/meanwhile"] {
        session.make_dir(&mut connection, directory).await?;
    }
    let (requests, small) = (plan.count(UPLOADS), Stamped::new(4096));
    let place = |number: u64| ("/meanwhile".to_owned(), format!("{number:07}.bin"));
    let token = session.token();
    let largest = |number: u64| number * LARGEST / requests;
    let uploads = Uploads { session: session.clone(), place: &place, contents: &small };
    // In the middle between two of them.
    let every = requests / LARGEST;
    let mix = Mix {
        upload: Box::new(|number| (number % every != every / 2).then_some(&uploads as &dyn Script)),
        delete: Calls::new("deleteFile", r#""result":0"#, |number, out| {
            let (directory, name) = (big_uploads::DIRECTORY, largest(number));
            append(out, format_args!(r#""token":"{token}","path":"{directory}/{name}""#));
        }),
    };
    for round in 0..u64::from(plan.rounds) {
        say(&format!("{work}, round {}", round + 1));
        for number in round * LARGEST..(round + 1) * LARGEST {
            let name = number.to_string();
            big_uploads::upload(server.address, session.clone(), number, name, plan.mib).await?;
        }
        mix.take_turn(&mut row, server, round * requests..(round + 1) * requests)?;
    }
    Ok(row)
}

/// Uploads, among which something is deleted, whose wait does not count.
struct Mix<'a> {
    /// `None`: this one deletes.
    upload: Box<dyn Fn(u64) -> Option<&'a dyn Script> + 'a>,
    delete: Calls<'a>,
}

impl Mix<'_> {
    fn of(&self, number: u64) -> &dyn Script {
        (self.upload)(number).unwrap_or(&self.delete)
    }

    /// A turn of these requests.
    fn take_turn(
        &self,
        row: &mut Row,
        server: &Listening,
        numbers: Range<u64>,
    ) -> anyhow::Result<()> {
        let mut load = Load::open(server.address, CONNECTIONS)?;
        let meter = Meter::start(server.pid())?;
        let shown = load.send(self, numbers)?;
        row.turn(Role::Ours, "headwater", Turn::of(Unit::Requests, &shown, &meter.read()?));
        Ok(())
    }
}

impl Script for Mix<'_> {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        self.of(number).request(number, out);
    }

    fn tail(&self, number: u64) -> &[u8] {
        self.of(number).tail(number)
    }

    fn check(&self, number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        self.of(number).check(number, answer)
    }

    fn timed(&self, number: u64) -> bool {
        (self.upload)(number).is_some()
    }
}
