//! Through pgbouncer in transaction mode: transactions of one connection run on whichever of the pooler's is free.

use testbed::{Database, Pooler, shared};

use super::open;
use crate::Catalog;

struct Pooled {
    database: Database<'static>,
    pooler: Pooler,
}

impl Pooled {
    fn new() -> Self {
        let server = shared();
        // Fewer than an engine's lines, so that they take turns.
        Self { database: server.database(), pooler: Pooler::start(server, 3) }
    }

    fn open(&self) -> Catalog {
        open(&self.pooler.url(&self.database.name))
    }
}

crate::suite::hold_the_law! { Pooled::new();
    records::accounts, records::sessions, records::fresh_ids, records::inline_content,
    tree::directories, tree::files, tree::moves_between_directories, tree::names_of_any_kind, tree::resolving,
    paging::pages_follow_numbers, groups::a_failure_leaves_nothing, groups::failures_among_neighbours,
    groups::many_writers_in_one_directory, groups::a_snapshot_stands_still, groups::all_is_there_again,
    uploads::in_order_of_creation, jobs::jobs_by_account_and_time, pieces::many_pieces_at_once,
    events::events,
}

/// The other way: no pooler, and statements under names.
mod named {
    use super::{Catalog, open};
    use crate::postgres::tests::Storage;

    struct Named(Storage);

    impl Named {
        fn open(&self) -> Catalog {
            open(&(self.0.0.url() + "&statements=named"))
        }
    }

    crate::suite::hold_the_law! { Named(Storage::new());
        records::accounts, tree::files, tree::moves_between_directories, tree::resolving,
        paging::pages_follow_numbers, groups::failures_among_neighbours, groups::a_snapshot_stands_still,
        groups::many_writers_in_one_directory, uploads::in_order_of_creation, pieces::many_pieces_at_once,
    }
}
