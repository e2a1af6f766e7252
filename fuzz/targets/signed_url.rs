//! The signed URL in a query, and the page it was followed from: see `front::fuzzing::signed_url`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::signed_url(bytes));
