//! Work on threads that may block, and what became of tasks.
//!
//! What does not live here: the work. The invariant: a task that was given up or panicked is an error, never a hang.

use model::{Error, Result};
use tokio::task::JoinError;

/// Runs `job` on a thread that may block. It runs to its end even if the future is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(tokio::task::spawn_blocking(job).await)
}

/// What became of a task; one that the runtime gave up, or that panicked, is a fault of storage.
pub(crate) fn joined<T>(ended: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    ended.unwrap_or_else(|e| Err(Error::Storage(format!("a task of the store ended early: {e}"))))
}
