//! What the C library's allocator is asked for. RocksDB allocates from it as well as we do.
//!
//! What lives here: the only unsafe code of ours, one call. What does not: an allocator. mimalloc was measured: what a
//! thread once had stays with the thread, 54 MiB more in a stream of 600 MB and 240 MiB with many threads that may block.

/// Has allocations from this size on, in bytes, mapped one by one and given back when they are freed.
const MAPPED_FROM: i32 = 1 << 20;

/// To be called before there is a second thread.
///
/// Left alone, glibc raises that size to the largest block that was ever freed, up to 32 MiB: from then on the memtables'
/// blocks lie between small allocations, and 60,000 uploads of 4 KiB left 61 MiB behind, not 31.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "no crate offers this call, which takes two integers")]
        // SAFETY: it takes no pointers, and the allocator locks itself.
        let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
        debug_assert_eq!(taken, 1, "glibc refuses only sizes above half of a heap");
    }
}
