//! From each kind of engine to others, under load.

use crate::house::{Clients, Place};

/// Moves a store from the first place to each of the others, one after the other, while clients change it.
fn through(places: impl IntoIterator<Item = (bool, bool)>) {
    let mut places = places.into_iter().map(|(database, store)| Place::new(database, store));
    let (first, mut next) = (places.next().unwrap(), places.next());
    let mut home = first.serve(next.as_ref());
    let mut clients = Clients::at(&home);
    while let Some(place) = next {
        let deep: &[&str] = &["--deep"];
        let report = clients.during(&home, || home.move_to(&place, deep));
        eprintln!("{report}");
        assert!(report["rows_equal"].as_u64().unwrap() > 50, "{report}");
        clients.find_closed(&home);
        // Asked for again, it is told so.
        let again = home.begin(&place, &[]).wait_with_output().unwrap();
        assert_eq!(crate::house::report(again)["was_done"], true);
        next = places.next();
        home = place.serve(next.as_ref());
        clients.judge(&home);
        clients.during(&home, || std::thread::sleep(std::time::Duration::from_millis(500)));
        clients.judge(&home);
    }
    home.fsck();
}

#[test]
fn to_many_nodes_and_back() {
    through([(false, false), (true, true), (false, false)]);
}

#[test]
fn blobs_to_an_object_store() {
    through([(false, false), (false, true)]);
}

#[test]
fn from_an_object_store_to_a_disk() {
    through([(true, true), (true, false)]);
}
