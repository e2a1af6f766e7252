//! What native code finds in our program: an allocator (`memory`), and RocksDB its checksum (`checksum`).
//!
//! What lives here: the only lines of ours that the compiler does not vouch for, all of them names that others look for.
//! Whoever links this crate has both; there is nothing to call. What does not: an allocator or a checksum of our own.

#[cfg(rocksdb_is_shared)]
mod checksum;
mod memory;
