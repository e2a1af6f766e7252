//! The allocator, RocksDB's and the C library's too, and how it is set up. What does not live here: what is kept in memory, and how
//! much of it.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How jemalloc is set up (its manual, "TUNING"), read by it before `main`; the environment's `MALLOC_CONF` comes after.
///
/// Few arenas, since what is free in one is not taken from another; what is free goes back to the system after 20 ms (after a
/// second, some 12 MiB more were held under many small uploads; at once, they cost 1.6 times as much), by a thread of its own, so
/// that no request waits for that; blocks above 8 KiB are not kept by each thread, of which there may be hundreds.
#[expect(unsafe_code, reason = "jemalloc looks for this name")]
// SAFETY: nothing else has this name. jemalloc reads there a pointer to text that ends with a zero, with which a slice
// begins, and does not write.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8] = b"narenas:2,background_thread:true,max_background_threads:1,\
    dirty_decay_ms:20,muzzy_decay_ms:0,tcache_max:8192\0";
