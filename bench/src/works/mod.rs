//! The works, a file each. A work starts fresh servers, drives them, checks answers, and returns what it has seen.

mod backup;
mod big_uploads;
mod get_hot;
mod get_large;
pub(crate) mod get_million;
mod listing;
mod million;
mod multipart;
mod rpc;
mod scale;
mod scale_out;
mod small_uploads;
pub(crate) mod stores;
mod tails;

use crate::{
    plan::{Plan, Work},
    report::Part,
    table::Table,
};
use stores::Stores;

/// Does one.
pub(crate) async fn run(work: Work, plan: &Plan, stores: &mut Stores) -> anyhow::Result<Vec<Part>> {
    let alone = |tables: Vec<Table>| tables.into_iter().map(Part::Table).collect();
    // Boxed: the futures are large.
    match work {
        // Settled before: it is in no plan.
        Work::All => Ok(Vec::new()),
        Work::GetHot => Box::pin(get_hot::run(plan)).await,
        Work::GetMillion => Box::pin(get_million::run(plan)).await,
        Work::GetLarge => Box::pin(get_large::run(plan)).await,
        Work::SmallUploads => Box::pin(small_uploads::run(plan)).await,
        Work::Tails => Box::pin(tails::run(plan)).await,
        Work::BigUploads => Box::pin(big_uploads::run(plan)).await,
        Work::Multipart => Box::pin(multipart::run(plan)).await,
        Work::Rpc => Box::pin(rpc::run(plan)).await,
        Work::Listing => Box::pin(listing::run(plan, stores)).await,
        Work::Scale => Box::pin(scale::run(plan, stores)).await,
        Work::Million => Ok(alone(Box::pin(million::run(plan)).await?)),
        Work::ScaleOut => Ok(alone(Box::pin(scale_out::run(plan)).await?)),
        Work::Backup => Ok(alone(Box::pin(backup::run(plan)).await?)),
    }
}

/// MiB of a number of bytes.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
