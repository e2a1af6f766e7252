//! Reading multipart/form-data, cut into chunks in three ways: see `front::fuzzing::form`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::form(bytes));
