//! Where our program and native code meet: what that finds in it, an allocator (`memory`) and for RocksDB its checksum
//! (`checksum`), and what we ask of it that no crate asks (`sole`).
//!
//! What lives here: all of our code that the compiler does not vouch for. Whoever links this crate has the first two; there is
//! nothing to call for them. What does not: an allocator or a checksum of our own.

#[cfg(rocksdb_is_shared)]
mod checksum;
mod memory;
mod sole;

pub use sole::is_open_once;
