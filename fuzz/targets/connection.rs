//! The bytes of a connection: see `front::fuzzing::connection`.
#![no_main]

fuzz::target!(connection);
