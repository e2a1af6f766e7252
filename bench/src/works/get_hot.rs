//! `get-hot`: one file of 4 KiB, read again and again over 32 connections: GET, HEAD, and GET that is answered 304. Beside
//! nginx on the same bytes, both without access log and both with one, and beside a bare server that gives headwater's answer.

use std::fs;

use anyhow::{Context, ensure};

use crate::{
    api::{self, Session},
    compare::{Amount, Comparison, Role, Side, Unit, take_turns},
    content::Stamped,
    http::Connection,
    nginx::Nginx,
    plan::Plan,
    report::Part,
    requests::{Same, read_request},
    server::{self, ACCOUNT, Home, Listening},
    target::{Against, Target},
};

const REQUESTS: u64 = 200_000;
const CONNECTIONS: usize = 32;
const TARGETS: [Target; 1] = [Target::at_least(Against::Peer, 0.9, 1.1)];
const PATH: &str = "/hot.bin";

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let body = Stamped::new(4096).whole(1);
    let homes = [Home::new(plan)?, Home::new(plan)?];
    let (quiet, logged) = (homes[0].serve_with("warn", &[])?, homes[1].serve_with("info", &[])?);
    for server in [&quiet, &logged] {
        put(server, &body).await?;
    }
    let root = homes[0].beside("www");
    fs::create_dir_all(root.join(ACCOUNT))?;
    fs::write(root.join(ACCOUNT).join(&PATH[1..]), &body)?;
    let nginx = Nginx::start(plan, &root, &homes[0].beside("nginx"))?;
    let bare = server::bare_like(&homes[0], &quiet, &read_request("GET", PATH, "")).await?;

    let amount =
        Amount { requests: plan.count(REQUESTS), connections: CONNECTIONS, unit: Unit::Requests };
    let mut comparison = Comparison::new("get-hot: one file of 4 KiB, 32 connections");
    comparison.notes.push(
        "`access log`: both write a line a request to a file, as they come; else neither does \
         (headwater: `HEADWATER_LOG=warn`, nginx: `access_log off`). The bare server answers with \
         headwater's head and body and logs nothing."
            .to_owned(),
    );
    for (what, ours, log) in [("", &quiet, false), (", access log", &logged, true)] {
        let peer = nginx.as_ref().map(|nginx| if log { nginx.logged } else { nginx.quiet });
        for kind in [Kind::Get, Kind::Head, Kind::NotModified] {
            let (mine, its) = (
                kind.script(ours.address, &body).await?,
                match peer {
                    Some(address) => Some((address, kind.script(address, &body).await?)),
                    None => None,
                },
            );
            let like = kind.script(bare.address, &body).await?;
            let side = |role, name, pid, address, script| Side { role, name, pid, address, script };
            let mut sides =
                vec![side(Role::Ours, "headwater", ours.pid(), ours.address, &mine as _)];
            if let (Some(nginx), Some((address, script))) = (&nginx, &its) {
                sides.push(side(Role::Peer, "nginx", nginx.pid(), *address, script));
            }
            sides.push(side(Role::Limit, "bare", bare.pid(), bare.address, &like));
            let work = format!("{} 4 KiB hot{what}", kind.name());
            comparison.rows.push(take_turns(plan, &work, &amount, &sides, &TARGETS)?);
        }
    }
    Ok(vec![Part::Comparison(comparison)])
}

async fn put(server: &Listening, body: &[u8]) -> anyhow::Result<()> {
    let session = Session::login(server.address).await?;
    let mut connection = Connection::open(server.address).await?;
    let mut request = Vec::new();
    session.upload("/", &PATH[1..], body.len() as u64, &mut request);
    request.extend_from_slice(body);
    api::uploaded(connection.exchange(&request).await?, body.len() as u64)
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The file.
    Get,
    /// Its head.
    Head,
    /// The file, which the client has.
    NotModified,
}

impl Kind {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::NotModified => "GET, 304,",
        }
    }

    async fn script(self, address: std::net::SocketAddr, body: &[u8]) -> anyhow::Result<Same> {
        self.script_of(address, PATH, body).await
    }

    /// The request, with the entity tag of that server.
    pub(super) async fn script_of(
        self,
        address: std::net::SocketAddr,
        path: &str,
        body: &[u8],
    ) -> anyhow::Result<Same> {
        let mut connection = Connection::open(address).await?;
        let answer = connection.exchange(&read_request("GET", path, "")).await?;
        ensure!(answer.status == 200 && answer.body == body, "{}", answer.describe());
        let tag = answer.header("etag").context("no entity tag")?;
        let (request, status, body) = match self {
            Self::Get => (read_request("GET", path, ""), 200, body),
            Self::Head => (read_request("HEAD", path, ""), 200, &[][..]),
            Self::NotModified => {
                (read_request("GET", path, &format!("If-None-Match: {tag}\r\n")), 304, &[][..])
            }
        };
        Ok(Same { request, status, body: body.to_vec() })
    }
}
