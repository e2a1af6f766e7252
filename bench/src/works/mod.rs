//! The works, a file each. A work starts fresh servers, drives them, checks answers, and returns tables.

pub(crate) mod backup;
pub(crate) mod big_uploads;
pub(crate) mod million;
pub(crate) mod multipart;
pub(crate) mod small_uploads;

/// MiB of a number of bytes.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
