//! What a signed request says it signs: see `front::fuzzing::signature`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::signature(bytes));
