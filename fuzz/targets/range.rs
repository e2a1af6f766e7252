//! Reading `Range`: see `front::fuzzing::range`.
#![no_main]

fuzz::target!(range);
