//! What makes a program of a fuzz target: libFuzzer, and without coverage a mutation of the seeds.
//!
//! cargo-fuzz builds with coverage, and libFuzzer finds its way. An ordinary build has none: every input looks the same, so
//! libFuzzer would mutate one byte for ever. There each input is made of a seed ([`blind`]).

use std::{fs, path::Path, sync::OnceLock};

#[doc(hidden)]
pub use libfuzzer_sys;

/// The target of this name: a function in `front::fuzzing`, a directory in `seeds`.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::$name(bytes));

        #[cfg(not(fuzzing))]
        $crate::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8],
                                              size: usize,
                                              max_size: usize,
                                              seed: u32| {
            $crate::blind(stringify!($name), data, size, max_size, seed)
        });
    };
}

/// Puts into `data` a seed of the target, or two that were joined, or leaves the `size` bytes that are there, and mutates
/// that. Says how long it became, at most `max_size`.
pub fn blind(target: &str, data: &mut [u8], size: usize, max_size: usize, random: u32) -> usize {
    let seeds = seeds(target);
    let mut random = random as usize;
    let mut draw = |below: usize| {
        let drawn = random % below;
        random /= below;
        drawn
    };
    // libFuzzer mutates five times in a row: on average two times what came of a seed before.
    let mut size = size;
    if size <= 1 || draw(2) == 0 {
        let first = &seeds[draw(seeds.len())];
        let mut made = first.clone();
        if draw(4) == 0 {
            let other = &seeds[draw(seeds.len())];
            made.truncate(draw(first.len().max(1)));
            made.extend_from_slice(&other[draw(other.len().max(1)).min(other.len())..]);
        }
        size = made.len().min(max_size);
        data[..size].copy_from_slice(&made[..size]);
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}

/// The seeds of a target, read once; one empty seed where there are none.
fn seeds(target: &str) -> &'static [Vec<u8>] {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let mut seeds: Vec<Vec<u8>> = entries.filter_map(|e| fs::read(e.path()).ok()).collect();
        seeds.sort_unstable();
        if seeds.is_empty() {
            seeds.push(Vec::new());
        }
        seeds
    })
}
