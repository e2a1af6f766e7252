//! Paths as calls and as GETs take them: see `front::fuzzing::paths`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::paths(bytes));
