//! JSON-RPC from the body to bound parameters: see `front::fuzzing::jsonrpc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| front::fuzzing::jsonrpc(bytes));
