//! Reading `Range`: see `front::fuzzing::range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::range(bytes));
