//! JSON-RPC from the body to bound parameters: see `front::fuzzing::jsonrpc`.
#![no_main]

fuzz::target!(jsonrpc);
