//! What a signed request says it signs: see `front::fuzzing::signature`.
#![no_main]

fuzz::target!(signature);
