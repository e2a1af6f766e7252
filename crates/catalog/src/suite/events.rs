//! The law of callbacks and of the events that wait for them.

use ::model::{
    AccountId, Callback, CallbackId, CallbackState, Digest, Event, EventFile, EventKind, Time,
    TreePath, UserId,
};

use super::{ACCOUNT, LARGEST, Open};

const OTHER: AccountId = AccountId(2);

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn callback(account: AccountId, id: u64) -> Callback {
    Callback {
        id: CallbackId(id),
        account,
        user: UserId(7),
        root: path(if id.is_multiple_of(2) { "a/今日は" } else { "" }),
        uri: format!("https://example.com/{id}?x"),
        sealed_secret: vec![9; 60],
        flags: 63,
        threshold: u64::MAX,
        created: Time(1_700_000_000_123),
        state: [CallbackState::Active, CallbackState::Paused, CallbackState::Deleted]
            [usize::try_from(id % 3).unwrap()],
        dead: id,
        last_event: id,
    }
}

/// An event that differs with its id; every kind and shape comes up.
fn event(id: u64) -> Event {
    Event {
        id,
        kind: EventKind::ALL[usize::try_from(id % 6).unwrap()],
        path: path("d/new name"),
        old_path: id.is_multiple_of(2).then(|| path("old")),
        file: (!id.is_multiple_of(3)).then_some(EventFile { size: id, checksum: Digest([5; 32]) }),
        time: Time(id),
        attempts: 3,
        next: Time(u64::MAX),
    }
}

/// Callbacks are an account's own, and all of them can be listed.
pub(crate) async fn callbacks(open: Open<'_>) {
    let catalog = open();
    let mine = vec![callback(ACCOUNT, 1), callback(ACCOUNT, 2), callback(ACCOUNT, 3)];
    let theirs = vec![callback(OTHER, 4)];
    let (put, other) = (mine.clone(), theirs.clone());
    catalog
        .write(move |tx| {
            assert!(tx.callbacks(ACCOUNT)?.is_empty() && tx.all_callbacks()?.is_empty());
            tx.put_callbacks(ACCOUNT, &put)?;
            tx.put_callbacks(OTHER, &other)?;
            assert_eq!(tx.callbacks(ACCOUNT)?, put, "seen by the transaction itself");
            Ok(())
        })
        .await
        .unwrap();
    drop(catalog);
    let catalog = open();
    let (expected, all) = (mine.clone(), [mine.clone(), theirs].concat());
    catalog
        .write(move |tx| {
            assert_eq!(tx.callbacks(ACCOUNT)?, expected);
            assert_eq!(tx.all_callbacks()?, all);
            tx.put_callbacks(ACCOUNT, &[])
        })
        .await
        .unwrap();
    let left = catalog.read(|tx| tx.all_callbacks()).await.unwrap();
    assert_eq!(left, [callback(OTHER, 4)]);
}

/// Events wait in the order of their ids, each callback's apart, and are counted.
pub(crate) async fn events(open: Open<'_>) {
    let catalog = open();
    let (one, two) = (CallbackId(1), CallbackId(2));
    catalog
        .write(move |tx| {
            for id in [300, 5, 256, 1, 77, LARGEST] {
                tx.put_event(ACCOUNT, one, &event(id))?;
            }
            tx.put_event(ACCOUNT, two, &event(6))?;
            tx.put_event(OTHER, CallbackId(3), &event(7))?;
            assert_eq!((tx.waiting_events(one)?, tx.waiting_events(two)?), (6, 1));
            // Tried in vain: the same event again.
            tx.put_event(ACCOUNT, one, &Event { attempts: 4, ..event(77) })?;
            assert_eq!(tx.waiting_events(one)?, 6);
            tx.remove_event(ACCOUNT, one, 5)
        })
        .await
        .unwrap();
    drop(catalog);
    let catalog = open();
    catalog
        .read(move |tx| {
            let ids = |events: Vec<Event>| events.iter().map(|e| e.id).collect::<Vec<_>>();
            assert_eq!(
                tx.events(ACCOUNT, one, 0, 2)?,
                [event(1), Event { attempts: 4, ..event(77) }]
            );
            assert_eq!(ids(tx.events(ACCOUNT, one, 77, 9)?), [256, 300, LARGEST]);
            assert!(tx.events(ACCOUNT, one, u64::MAX, 9)?.is_empty());
            assert_eq!(ids(tx.events(ACCOUNT, two, 0, 9)?), [6]);
            assert_eq!(ids(tx.events(OTHER, CallbackId(3), 0, 9)?), [7]);
            assert_eq!((tx.waiting_events(one)?, tx.waiting_events(two)?), (5, 1));
            Ok(())
        })
        .await
        .unwrap();
    let gone = catalog.write(move |tx| tx.remove_event(ACCOUNT, one, 5)).await;
    assert!(gone.is_err(), "it is not there");
    catalog.write(move |tx| tx.remove_event(ACCOUNT, two, 6)).await.unwrap();
    assert_eq!(catalog.read(move |tx| tx.waiting_events(two)).await.unwrap(), 0);
}
