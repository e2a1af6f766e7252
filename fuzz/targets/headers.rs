//! Names and values in `X-Agile-*` headers: see `front::fuzzing::headers`.
#![no_main]

fuzz::target!(headers);
