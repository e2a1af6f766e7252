//! Where our program and native code meet: what that finds in it, an allocator (`memory`) and for RocksDB its checksum
//! (`checksum`), and what we ask of the system and of the CPU that no crate asks (`sole`, `sha256`).
//!
//! What lives here: all of our code that the compiler does not vouch for. Whoever links this crate has the first two; there is
//! nothing to call for them. What does not: an allocator of our own.

#[cfg(rocksdb_is_shared)]
mod checksum;
mod memory;
pub mod sha256;
mod sole;

pub use sole::is_open_once;
