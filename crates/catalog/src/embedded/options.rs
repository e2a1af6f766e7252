//! How RocksDB is set up, and why.
//!
//! What lives here: the numbers an operator may have a reason to change ([`Options`]), and the fixed choices. What does
//! not: what is stored.
//!
//! Invariant: the log is replayed in the mode that forgives a torn end (a write that was never acknowledged) and
//! nothing else.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRecoveryMode, DataBlockIndexType, LogLevel,
};

use model::Result;

use super::fault;
use crate::rows::keys::Family;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Blocks of tables that are scanned; the others have RocksDB's 4 KiB.
const SCANNED_BLOCK_BYTES: usize = 16 << 10;

/// In such steps memtables take memory, each of a dozen families by itself; RocksDB's are a megabyte, of which most have no use.
const ARENA_BLOCK_BYTES: usize = 256 << 10;
/// Memtables of a family, the one that is filled included, before writes wait for one to be a table. Memory is bounded for all
/// families together: with RocksDB's two, a short one was full before the one before was written, and uploads waited 0.1 s for that.
const WRITE_BUFFERS_MAX: i32 = 4;
/// What waits to be written to a table or a log, of each that is open: some logs are while their tables are written.
const FILE_BUFFER_BYTES: u64 = 256 << 10;

/// What an operator may have a reason to change; all in bytes, or bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Memory for blocks read from disk, indices and filters included.
    pub cache_bytes: usize,
    /// Memory for rows that readers looked up, ready to be used again.
    pub rows_bytes: usize,
    /// Memory for changes that are in the log and not yet in tables.
    pub memtable_bytes: usize,
    /// Size of the log after which tables are written so that it can be cut. Opening replays at most about this much.
    pub log_bytes: u64,
    /// How fast tables are written and merged in the background, so that merging leaves the disk to the log.
    pub background_bytes_per_second: i64,
    /// Inline content from this size on is kept in files of its own and not moved by merging.
    pub blob_bytes_min: u64,
    /// Room on the disk below which nothing is written: what the log and the memtables may still need. Of a small disk
    /// an eighth, if that is less.
    pub floor_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            rows_bytes: 8 << 20,
            memtable_bytes: 20 << 20,
            log_bytes: 64 * MIB,
            background_bytes_per_second: 200 << 20,
            blob_bytes_min: KIB,
            floor_bytes: 64 * MIB,
        }
    }
}

/// The share of the machine's memory that blocks read from disk may take, and the most.
const CACHE_SHARE: u64 = 16;
const CACHE_BYTES_MAX: u64 = 4 << 30;
/// The same for rows that are ready to be used.
const ROWS_SHARE: u64 = 64;
const ROWS_BYTES_MAX: u64 = 1 << 30;

impl Options {
    /// The defaults on a machine with so many bytes of memory. A directory of a million files has some 110 MiB of names: in a
    /// cache of 32 MiB most lookups of random ones read, check and unpack a block, which takes as long as all the rest of a
    /// small GET; as rows that are ready to be used they take 300 MiB and a tenth of the time of a block that is in memory. The
    /// memory is taken as names are read, not before.
    pub fn with_memory(bytes: u64) -> Self {
        let own = Self::default();
        let share = |least: usize, part: u64, most: u64| {
            let share = usize::try_from((bytes / part).min(most)).unwrap_or(least);
            share.max(least)
        };
        Self {
            cache_bytes: share(own.cache_bytes, CACHE_SHARE, CACHE_BYTES_MAX),
            rows_bytes: share(own.rows_bytes, ROWS_SHARE, ROWS_BYTES_MAX),
            ..own
        }
    }

    /// Options of the database as a whole.
    pub(super) fn database(&self) -> rocksdb::Options {
        let mut db = rocksdb::Options::default();
        db.create_if_missing(true);
        db.create_missing_column_families(true);
        db.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        db.set_paranoid_checks(true);
        db.set_db_write_buffer_size(self.memtable_bytes);
        db.set_max_total_wal_size(self.log_bytes);
        db.set_writable_file_max_buffer_size(FILE_BUFFER_BYTES);
        db.set_max_background_jobs(2);
        db.set_ratelimiter(self.background_bytes_per_second, 100_000, 10);
        // Write-back in small steps, so that the log's sync does not wait behind a table's worth of dirty pages.
        db.set_bytes_per_sync(MIB);
        // One thread writes: nothing to be concurrent with.
        db.set_allow_concurrent_memtable_write(false);
        db.set_max_open_files(open_files());
        // Its own diary: bounded, and quiet.
        db.set_log_level(LogLevel::Warn);
        db.set_keep_log_file_num(4);
        db.set_max_log_file_size(4 << 20);
        db.set_stats_dump_period_sec(0);
        db
    }

    /// A descriptor for each family. They share one block cache.
    pub(super) fn families(&self) -> Result<Vec<ColumnFamilyDescriptor>> {
        let cache = Cache::new_lru_cache(self.cache_bytes).map_err(fault)?;
        let descriptor = |f: Family| ColumnFamilyDescriptor::new(f.name(), self.family(f, &cache));
        Ok(Family::ALL.into_iter().map(descriptor).collect())
    }

    fn family(&self, family: Family, cache: &Cache) -> rocksdb::Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_format_version(5);
        // In partitions of 4 KiB, the top level of each table's kept in the cache. Whole, the filter of a table is larger
        // than a shard of the cache: with a million names nearly every lookup read it from the file again (three
        // quarters of the time of adding files to the catalog).
        if family != Family::Inline {
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            table.set_partition_filters(true);
            table.set_metadata_block_size(4096);
            table.set_pin_top_level_index_and_filter(true);
        }
        let mut cf = rocksdb::Options::default();
        match family {
            // Looked up by whole key, often in vain: a new name is looked for in every upload.
            Family::Names
            | Family::Dirs
            | Family::Sessions
            | Family::Blobs
            | Family::Uploads
            | Family::Pieces => {
                table.set_bloom_filter(10.0, false);
                table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
                table.set_data_block_hash_ratio(0.75);
                cf.set_memtable_prefix_bloom_ratio(0.02);
                cf.set_memtable_whole_key_filtering(true);
            }
            // Only looked up where it is: a filter would say yes. Ids grow, so tables hardly overlap, and their rows say little
            // more than where the content is: long blocks keep the index small enough to stay in the cache.
            Family::Inline => {
                table.set_block_size(SCANNED_BLOCK_BYTES);
                table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
                table.set_data_block_hash_ratio(0.75);
            }
            // Scanned: longer blocks are fewer reads and fewer checks for a page, and compress better.
            Family::Numbers => table.set_block_size(SCANNED_BLOCK_BYTES),
            // Too small to matter.
            Family::Meta | Family::Doomed | Family::Events | Family::Jobs | Family::Moves => {}
        }
        cf.set_block_based_table_factory(&table);
        cf.set_compression_type(DBCompressionType::Lz4);
        cf.set_level_compaction_dynamic_level_bytes(true);
        cf.set_write_buffer_size(8 << 20);
        cf.set_arena_block_size(ARENA_BLOCK_BYTES);
        cf.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
        if family == Family::Inline {
            // Content is nearly all that is written. Memtables become blob files of their size, and logs are about as long: longer
            // ones save merging, shorter ones memory and the time that a file system takes to free them, for which every sync waits.
            cf.set_write_buffer_size(12 << 20);
            cf.set_enable_blob_files(true);
            cf.set_min_blob_size(self.blob_bytes_min);
            cf.set_blob_file_size(64 * MIB);
            cf.set_enable_blob_gc(true);
            cf.set_blob_gc_age_cutoff(0.25);
            cf.set_blob_gc_force_threshold(0.5);
        }
        cf
    }
}

/// The fewest and the most files that are kept open.
const OPEN_FILES: (u64, u64) = (1024, 16 << 10);
/// The part of the process's descriptors that they may be.
const DESCRIPTORS_SHARE: u64 = 8;

/// How many files are kept open. Ten million small files are thousands of files with their contents: one that is not
/// open is opened and its head read for each lookup.
fn open_files() -> i32 {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let share = descriptors.unwrap_or(u64::MAX) / DESCRIPTORS_SHARE;
    i32::try_from(share.clamp(OPEN_FILES.0, OPEN_FILES.1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_follows_the_memory() {
        let mib = |memory: u64| {
            let options = Options::with_memory(memory << 20);
            (options.cache_bytes >> 20, options.rows_bytes >> 20)
        };
        let shares = [(32, 8), (128, 32), (512, 128), (4096, 1024)];
        assert_eq!([256, 2048, 8192, 1 << 20].map(mib), shares);
    }
}
