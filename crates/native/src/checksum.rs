//! CRC32C for RocksDB, by instructions of the CPU.
//!
//! Debian's RocksDB is built for every CPU of its kind and computes the checksum of each record of its log and of its blob files
//! by a table: 13 % of the CPU of an upload of 4 KiB. It calls the function by its name, and a name that the program defines goes
//! before a library's. Where RocksDB is linked otherwise this is not built; where a RocksDB has another name for it, or calls it
//! some other way, nobody calls this.

use std::slice;

/// `rocksdb::crc32c::Extend(uint32_t, const char*, size_t)`: the CRC32C of some bytes and `length` more that begin at `data`,
/// where `sum` is that of the first.
#[expect(unsafe_code, reason = "the caller is not Rust")]
// SAFETY: it does what RocksDB's own function of this name and signature does (util/crc32c.h).
#[unsafe(export_name = "_ZN7rocksdb6crc32c6ExtendEjPKcm")]
extern "C" fn extend(sum: u32, data: *const u8, length: usize) -> u32 {
    if length == 0 {
        return sum;
    }
    // SAFETY: the caller gives `length` bytes that nobody changes meanwhile.
    let bytes = unsafe { slice::from_raw_parts(data, length) };
    crc32c::crc32c_append(sum, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4, whole and in two parts.
    #[test]
    fn it_is_crc32c() {
        let counted: Vec<u8> = (0..32).collect();
        for (bytes, sum) in
            [(vec![0; 32], 0x8a91_36aa), (vec![0xff; 32], 0x62a8_ab43), (counted, 0x46dd_794e)]
        {
            for first in 0..=bytes.len() {
                let (one, other) = bytes.split_at(first);
                let begun = extend(0, one.as_ptr(), one.len());
                assert_eq!(extend(begun, other.as_ptr(), other.len()), sum, "{first}");
            }
        }
        assert_eq!(extend(7, std::ptr::null(), 0), 7);
    }
}
