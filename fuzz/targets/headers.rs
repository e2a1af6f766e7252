//! Names and values in `X-Agile-*` headers: see `front::fuzzing::headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::headers(bytes));
