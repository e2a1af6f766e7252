//! Paths as calls and as GETs take them: see `front::fuzzing::paths`.
#![no_main]

fuzz::target!(paths);
