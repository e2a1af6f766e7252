//! Reading multipart/form-data, cut into chunks in three ways: see `front::fuzzing::form`.
#![no_main]

fuzz::target!(form);
