//! A line to the database: one connection at a time, used by one thread that waits.
//!
//! What lives here: connecting, and again after the connection was lost; sending statements and waiting for all that were
//! sent together; time-outs. What does not: which statements (`sql`), and transactions (`snapshot`).
//!
//! A line drives its connection itself, on a runtime of its own thread: no other thread has to wake up for an answer.
//! Statements are sent without a name, parsed and run in one journey: nothing is left behind in a session that a pooler
//! may hand to somebody else. Where there is no pooler they may have names (`target`): then the first of each kind on a
//! connection takes a journey more, and all others spare the server parsing and planning.
//!
//! Invariants: nothing waits longer than [`ANSWER`]; after a fault of the connection it is never used again; while the
//! database does not answer, most calls fail at once, and one now and then tries (`Health`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future;
use model::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement as Prepared};

use super::fault::Fault;
use super::target::Target;
use super::trails::Trails;

/// How long an answer is waited for; the server gives statements up a little earlier.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// Statements that are kept prepared on a connection: about as many as there are.
const PREPARED_MAX: usize = 300;
/// First and longest time between two attempts to connect.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What all lines of an engine share.
pub(super) struct Shared {
    target: Target,
    health: Mutex<Health>,
    trails: Trails,
    pub(super) statements: AtomicU64,
    pub(super) round_trips: AtomicU64,
    pub(super) rows: AtomicU64,
}

/// Whether the database answered last.
struct Health {
    /// Why not, and until when nobody tries again.
    down: Option<(String, Instant)>,
    back_off: Duration,
}

impl Shared {
    /// No line is open yet.
    pub(super) fn new(target: Target) -> Arc<Self> {
        Arc::new(Self {
            target,
            health: Mutex::new(Health { down: None, back_off: BACK_OFF.0 }),
            trails: Trails::default(),
            statements: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            rows: AtomicU64::new(0),
        })
    }

    /// # Errors
    /// [`Error::Unavailable`] while the database does not answer.
    pub(super) fn check(&self) -> Result<()> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match &health.down {
            Some((why, until)) if Instant::now() < *until => Err(Fault::Lost(why.clone()).error()),
            _ => Ok(()),
        }
    }

    fn note(&self, connected: std::result::Result<(), String>) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match connected {
            Ok(()) => {
                if health.down.take().is_some() {
                    tracing::info!("the catalog's database answers again");
                }
                health.back_off = BACK_OFF.0;
            }
            Err(why) => {
                if health.down.is_none() {
                    tracing::error!(why, "the catalog's database does not answer");
                }
                health.down = Some((why, Instant::now() + health.back_off));
                health.back_off = (health.back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// A statement with the values of its parameters.
pub(super) struct Statement<'a> {
    /// Text with `$1` and so on.
    pub(super) sql: &'a str,
    /// The values and their types.
    pub(super) values: &'a [Param],
}

/// A parameter's value.
pub(super) type Param = (Box<dyn ToSql + Sync + Send>, Type);

/// A parameter.
pub(super) fn param(value: impl ToSql + Sync + Send + 'static, kind: Type) -> Param {
    (Box::new(value), kind)
}

struct Session {
    client: Client,
    /// What was prepared on this connection, by its text.
    prepared: RefCell<HashMap<String, Prepared>>,
    // Behind the client: it drives the connection, which ends when the client is dropped.
    runtime: Runtime,
}

/// A line.
pub(super) struct Line {
    shared: Arc<Shared>,
    session: RefCell<Option<Session>>,
}

impl Line {
    /// Not connected yet.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, session: RefCell::new(None) }
    }

    /// Where rows led, on any of the engine's lines.
    pub(super) fn trails(&self) -> &Trails {
        &self.shared.trails
    }

    /// Ends the connection, if there is one.
    pub(super) fn hang_up(&self) {
        self.session.borrow_mut().take();
    }

    /// Whether there is a connection, as far as one knows.
    pub(super) fn is_connected(&self) -> bool {
        self.session.borrow().as_ref().is_some_and(|session| !session.client.is_closed())
    }

    /// Connects, unless there is a connection.
    pub(super) fn connect(&self) -> std::result::Result<(), Fault> {
        if self.is_connected() {
            return Ok(());
        }
        self.hang_up();
        self.shared.check().map_err(Fault::Refused)?;
        let connected = connect(&self.shared.target);
        self.shared.note(match &connected {
            Ok(_) => Ok(()),
            Err(fault) => Err(match fault.clone() {
                Fault::Lost(why) => why,
                other => other.error().to_string(),
            }),
        });
        // Whatever the server says to a connection: that it starts, stops, is full or knows nobody of that name.
        let session = connected.map_err(|fault| match fault {
            Fault::Refused(error) => {
                Fault::Refused(Error::Unavailable(format!("the database: {error}")))
            }
            other => other,
        })?;
        *self.session.borrow_mut() = Some(session);
        Ok(())
    }

    /// Sends plain text and statements, all together, and waits for the rows of each statement. The first that fails
    /// counts. A transaction's beginning or end is plain text.
    pub(super) fn send(
        &self,
        before: Option<&str>,
        statements: &[Statement<'_>],
        behind: Option<&str>,
        limit: Duration,
    ) -> std::result::Result<Vec<Vec<Row>>, Fault> {
        let shared = &self.shared;
        // A cursor is declared and gone.
        let named = shared.target.named && limit == ANSWER;
        let prepared = if named { self.prepare(statements)? } else { Vec::new() };
        let sent = self.answer(limit, async |client| {
            let begin = async {
                match before {
                    Some(text) => client.batch_execute(text).await,
                    None => Ok(()),
                }
            };
            let run = statements.iter().enumerate().map(|(i, statement)| {
                let prepared = prepared.get(i);
                async move {
                    let values = statement
                        .values
                        .iter()
                        .map(|(value, _)| -> &(dyn ToSql + Sync) { value.as_ref() });
                    if let Some(prepared) = prepared {
                        return client.query(prepared, &values.collect::<Vec<_>>()).await;
                    }
                    let kinds = statement.values.iter().map(|(_, kind)| kind.clone());
                    client.query_typed(statement.sql, &values.zip(kinds).collect::<Vec<_>>()).await
                }
            });
            let end = async {
                match behind {
                    Some(text) => client.batch_execute(text).await,
                    None => Ok(()),
                }
            };
            // Each is sent when it is first asked for its answer, and all are asked in this order before any is given.
            let ((begun, rows), ended) =
                future::join(future::join(begin, future::join_all(run)), end).await;
            begun?;
            let rows = rows.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
            ended?;
            Ok(rows)
        })?;
        let (count, rows) =
            (statements.len() as u64, sent.iter().map(|rows| rows.len() as u64).sum());
        shared.statements.fetch_add(count, Ordering::Relaxed);
        shared.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(sent)
    }

    /// Statements under their names on this connection.
    fn prepare(&self, statements: &[Statement<'_>]) -> std::result::Result<Vec<Prepared>, Fault> {
        let mut missing: Vec<&Statement<'_>> = Vec::new();
        {
            let session = self.session.borrow();
            let Some(session) = session.as_ref() else { return Ok(Vec::new()) };
            let mut known = session.prepared.borrow_mut();
            if known.len() > PREPARED_MAX {
                known.clear();
            }
            for statement in statements {
                if !known.contains_key(statement.sql)
                    && missing.iter().all(|other| other.sql != statement.sql)
                {
                    missing.push(statement);
                }
            }
        }
        if !missing.is_empty() {
            let new = self.answer(ANSWER, async |client| {
                let prepare = missing.iter().map(|statement| {
                    let types: Vec<Type> =
                        statement.values.iter().map(|(_, kind)| kind.clone()).collect();
                    async move { client.prepare_typed(statement.sql, &types).await }
                });
                future::join_all(prepare)
                    .await
                    .into_iter()
                    .collect::<std::result::Result<Vec<_>, _>>()
            })?;
            if let Some(session) = self.session.borrow().as_ref() {
                let texts = missing.iter().map(|statement| statement.sql.to_owned());
                session.prepared.borrow_mut().extend(texts.zip(new));
            }
        }
        let session = self.session.borrow();
        let Some(session) = session.as_ref() else { return Ok(Vec::new()) };
        let known = session.prepared.borrow();
        Ok(statements.iter().filter_map(|it| known.get(it.sql).cloned()).collect())
    }

    /// Sends plain text and waits for nothing: what it says comes before the next answer and is dropped.
    pub(super) fn toss(&self, text: &str) {
        let session = self.session.borrow();
        let Some(Session { client, runtime, .. }) = session.as_ref() else { return };
        runtime.block_on(async {
            let mut sending = std::pin::pin!(client.batch_execute(text));
            // Asked once, it is on its way to the connection; that writes it when it has its turn.
            let _ = std::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Waits for what `ask` asks of the connection.
    fn answer<T>(
        &self,
        limit: Duration,
        ask: impl AsyncFnOnce(&Client) -> std::result::Result<T, tokio_postgres::Error>,
    ) -> std::result::Result<T, Fault> {
        self.shared.round_trips.fetch_add(1, Ordering::Relaxed);
        let answer = {
            let session = self.session.borrow();
            let Some(Session { client, runtime, .. }) = session.as_ref() else {
                return Err(Fault::Lost("not connected".to_owned()));
            };
            in_time(runtime, limit, ask(client))
        };
        let fault = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(e)) => Fault::from(e),
            Err(late) => late,
        };
        if matches!(fault, Fault::Lost(_)) {
            self.hang_up();
        }
        Err(fault)
    }
}

/// A connection and the runtime that drives it.
fn connect(target: &Target) -> std::result::Result<Session, Fault> {
    let lost = |e: std::io::Error| Fault::Lost(e.to_string());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(lost)?;
    let connecting = target.config.connect(target.tls.clone());
    let (client, connection) = in_time(&runtime, ANSWER, connecting)??;
    // Its end is seen by the client, with the reason.
    drop(runtime.spawn(async move { drop(connection.await) }));
    Ok(Session { client, prepared: RefCell::default(), runtime })
}

fn in_time<T>(
    runtime: &Runtime,
    limit: Duration,
    ask: impl Future<Output = T>,
) -> std::result::Result<T, Fault> {
    let answer = runtime.block_on(async { tokio::time::timeout(limit, ask).await });
    answer.map_err(|_| Fault::late(limit))
}
