//! Accounts, users, key pairs, sessions, events and jobs: what finds them, and what counts them.
//!
//! What does not live here: trees (`tree`), multipart uploads (`uploads`).

use std::collections::{BTreeMap, HashMap};

use catalog::audit::{Index, Row};
use model::{AccountId, JobState, UserId};

use super::{
    Kind,
    look::{Look, Stream},
    report::Change,
};

/// What an index of few and small records holds, beside the accounts and users themselves.
#[derive(Default)]
pub(super) struct Meta {
    links: Vec<Row>,
    /// Counters as they are stored.
    pub(super) unfinished: BTreeMap<AccountId, u64>,
    pub(super) last_uploads: BTreeMap<UserId, u64>,
    waiting: BTreeMap<u64, u64>,
    last_id: u64,
}

/// Reads accounts and users, and checks what finds them.
pub(super) fn check(look: &mut Look<'_>) -> Meta {
    let mut meta = Meta::default();
    let mut rows = Stream::new(look, Index::Meta);
    while let Some(row) = rows.take(look) {
        match row {
            Row::LastId(id) => meta.last_id = id,
            Row::Account(account) => {
                look.in_use(account.root.0);
                look.accounts.insert(account.id, account);
            }
            Row::User(user) => {
                look.users.insert(user.id, user);
            }
            Row::UnfinishedUploads(account, n) => {
                meta.unfinished.insert(account, n);
            }
            Row::LastUpload(user, n) => {
                meta.last_uploads.insert(user, n);
            }
            Row::WaitingEvents(callback, n) => {
                look.in_use(callback.0);
                meta.waiting.insert(callback.0, n);
            }
            Row::Callbacks(_, all) => all.iter().for_each(|callback| look.in_use(callback.id.0)),
            row @ (Row::AccountName(..)
            | Row::UserName(..)
            | Row::KeyPair(_)
            | Row::AccessKey(..)) => meta.links.push(row),
            _ => {}
        }
    }
    look.report.counts.accounts = look.accounts.len() as u64;
    look.report.counts.users = look.users.len() as u64;
    owners(look);
    links(look, std::mem::take(&mut meta.links));
    meta
}

fn owners(look: &mut Look<'_>) {
    let strays: Vec<_> =
        look.users.values().filter(|user| !look.accounts.contains_key(&user.account)).collect();
    for user in strays {
        let what = (format!("account {}", user.account.0), "an account that is there");
        look.report.report(Kind::OwnerMissing, format!("user {}", user.name), what);
    }
}

/// Checks that each record is found by its name, and that no name leads elsewhere.
fn links(look: &mut Look<'_>, links: Vec<Row>) {
    let mut right: Vec<(Kind, Row)> = Vec::new();
    for account in look.accounts.values() {
        right.push((Kind::AccountName, Row::AccountName(account.name.clone(), account.id)));
    }
    for user in look.users.values() {
        right.push((Kind::UserName, Row::UserName(user.name.clone(), user.id)));
    }
    for row in &links {
        let Row::KeyPair(pair) = row else { continue };
        right.push((Kind::AccessKey, Row::AccessKey(pair.access_key.clone(), pair.account)));
        if !look.accounts.contains_key(&pair.account) || !look.users.contains_key(&pair.user) {
            let what = (format!("user {}", pair.user.0), "a user that is there");
            let at = format!("key pair of /{}", look.account_name(pair.account));
            look.report.report(Kind::OwnerMissing, at, what);
        }
    }
    for (kind, row) in &right {
        let found = look.stored(row);
        if found.as_ref() != Some(row) {
            let what = (found.as_ref().map_or_else(|| "nothing".to_owned(), leads), leads(row));
            look.report.note(*kind, link_name(row), what, [Change::Put(row.clone())]);
        }
    }
    for row in links {
        let kind = match &row {
            Row::AccountName(..) => Kind::AccountName,
            Row::UserName(..) => Kind::UserName,
            Row::AccessKey(..) => Kind::AccessKey,
            _ => continue,
        };
        let wanted = right.iter().any(|(_, right)| link_key(right) == link_key(&row));
        if !wanted {
            let at = link_name(&row);
            look.report.note(kind, at, (leads(&row), "nothing"), [Change::Remove(row)]);
        }
    }
}

fn link_key(row: &Row) -> Option<(u8, &str)> {
    match row {
        Row::AccountName(name, _) => Some((0, name)),
        Row::UserName(name, _) => Some((1, name)),
        Row::AccessKey(key, _) => Some((2, key)),
        _ => None,
    }
}

fn link_name(row: &Row) -> String {
    match link_key(row) {
        Some((0, name)) => format!("account {name:?}"),
        Some((1, name)) => format!("user {name:?}"),
        Some((_, key)) => format!("access key {key}"),
        None => String::new(),
    }
}

fn leads(row: &Row) -> String {
    match row {
        Row::AccountName(_, id) | Row::AccessKey(_, id) => format!("account {}", id.0),
        Row::UserName(_, id) => format!("user {}", id.0),
        _ => "nothing".to_owned(),
    }
}

/// Sessions, and those of each user.
pub(super) fn sessions(look: &mut Look<'_>) {
    let hex = |hash: &[u8; 32]| model::Digest(*hash).to_hex()[..16].to_owned();
    let mut rows = Stream::new(look, Index::Sessions);
    while let Some(row) = rows.take(look) {
        match &row {
            Row::Session(hash, session) => {
                look.report.counts.sessions += 1;
                let at = format!("session {}…", hex(&hash.0));
                if !look.users.contains_key(&session.user) {
                    let what = (format!("user {}", session.user.0), "a user that is there");
                    look.report.report(Kind::OwnerMissing, at.clone(), what);
                }
                let right = Row::SessionOf(session.user, *hash);
                if look.stored(&right).is_none() {
                    let what = ("not among its user's", "among its user's");
                    look.report.note(Kind::SessionOfUser, at, what, [Change::Put(right)]);
                }
            }
            Row::SessionOf(user, hash) => {
                let like = model::Session {
                    user: *user,
                    origin: model::SessionOrigin::Login,
                    subdir: model::TreePath::root(),
                    created: model::Time(0),
                    expires: None,
                    updated: false,
                };
                let found = look.stored(&Row::Session(*hash, like));
                if !matches!(found, Some(Row::Session(_, session)) if session.user == *user) {
                    let at = format!("session {}…", hex(&hash.0));
                    let what = (format!("a session of user {}", user.0), "nothing");
                    look.report.note(Kind::SessionOfUser, at, what, [Change::Remove(row)]);
                }
            }
            _ => {}
        }
    }
}

/// Events that wait, and how many are counted.
pub(super) fn events(look: &mut Look<'_>, meta: &Meta) {
    let mut waiting: BTreeMap<u64, u64> = BTreeMap::new();
    let mut rows = Stream::new(look, Index::Events);
    while let Some(row) = rows.take(look) {
        if let Row::Event(_, callback, _) = row {
            look.report.counts.events += 1;
            *waiting.entry(callback.0).or_default() += 1;
        }
    }
    let all = meta.waiting.keys().chain(waiting.keys()).copied();
    let all: std::collections::BTreeSet<u64> = all.collect();
    for id in all {
        let (counted, right) = (meta.waiting.get(&id), waiting.get(&id));
        if counted.copied().unwrap_or(0) != right.copied().unwrap_or(0) {
            let (stored, expected) = (counted.copied().unwrap_or(0), right.copied().unwrap_or(0));
            let row = Row::WaitingEvents(model::CallbackId(id), expected);
            let change = if expected == 0 { Change::Remove(row) } else { Change::Put(row) };
            let at = format!("callback {id}");
            look.report.note(Kind::EventsWaiting, at, (stored, expected), [change]);
        }
    }
}

/// Jobs, those that are due, and how many are counted.
pub(super) fn jobs(look: &mut Look<'_>) {
    let mut counted: HashMap<AccountId, u64> = HashMap::new();
    let mut right: HashMap<AccountId, u64> = HashMap::new();
    let mut due = Vec::new();
    let mut rows = Stream::new(look, Index::Jobs);
    while let Some(row) = rows.take(look) {
        match row {
            Row::UnfinishedJobs(account, n) => {
                counted.insert(account, n);
            }
            // They come before the jobs: looked at when all is read.
            row @ Row::JobDue(..) => due.push(row),
            Row::Job(job) => {
                look.report.counts.jobs += 1;
                look.in_use(job.id.number);
                *right.entry(job.id.account).or_default() += u64::from(job.state.is_unfinished());
                let due = job.due_at().map(|at| Row::JobDue(at, job.id));
                if let Some(row) = due.filter(|row| look.stored(row).is_none()) {
                    let what = ("not among those due", "among those due");
                    let at = format!("job {}", job.id);
                    look.report.note(Kind::JobDue, at, what, [Change::Put(row)]);
                }
            }
            _ => {}
        }
    }
    for row in due {
        let Row::JobDue(at, id) = &row else { continue };
        let found = look.stored(&Row::Job(like(*id)));
        let is = |job: &model::Job| job.due_at() == Some(*at);
        if !matches!(&found, Some(Row::Job(job)) if is(job)) {
            let what = ("among those due", "no such job, or not due at that time");
            let at = format!("job {id}");
            look.report.note(Kind::JobDue, at, what, [Change::Remove(row)]);
        }
    }
    let mut accounts: Vec<AccountId> = counted.keys().chain(right.keys()).copied().collect();
    accounts.sort_unstable();
    accounts.dedup();
    for id in accounts {
        let of = |all: &HashMap<AccountId, u64>| all.get(&id).copied().unwrap_or(0);
        let (stored, expected) = (of(&counted), of(&right));
        if stored != expected {
            let put = Change::Put(Row::UnfinishedJobs(id, expected));
            let at = format!("/{}", look.account_name(id));
            look.report.note(Kind::JobsUnfinished, at, (stored, expected), [put]);
        }
    }
}

/// A job that stands for its id.
fn like(id: model::JobId) -> model::Job {
    model::Job {
        id,
        user: UserId(0),
        owner: model::Owner { uid: 0, gid: 0 },
        path: model::TreePath::root(),
        make_directories: false,
        source: String::new(),
        sealed_request: Vec::new(),
        checksum: None,
        state: JobState::Done,
        attempts: 0,
        next_at: model::Time(0),
        created: model::Time(0),
        changed: model::Time(0),
        error: String::new(),
        bytes: 0,
        lease: None,
    }
}

/// Last of all: ids that are in use were given.
pub(super) fn last_id(look: &mut Look<'_>, meta: &Meta) {
    let (given, highest) = (meta.last_id, look.highest_id);
    if given < highest {
        let what = (given, format!("{highest} at least"));
        let put = Change::Put(Row::LastId(highest));
        look.report.note(Kind::LastId, "the catalog".to_owned(), what, [put]);
    }
}
