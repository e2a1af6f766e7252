//! Files brought in from elsewhere, by the operator's `headwater import`.

#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of the wire tests, of which this takes a part"
)]
#[path = "../wire/harness/mod.rs"]
mod harness;
mod import;
