//! Tells `checksum` whether RocksDB is a shared library: as crate `librocksdb-sys` finds it out.

use std::env::{var, var_os};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(rocksdb_is_shared)");
    for name in ["ROCKSDB_COMPILE", "ROCKSDB_LIB_DIR", "ROCKSDB_STATIC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let compiled = var("ROCKSDB_COMPILE").is_ok_and(|it| it == "1" || it.to_lowercase() == "true");
    let shared = var_os("ROCKSDB_LIB_DIR").is_some() && var_os("ROCKSDB_STATIC").is_none();
    // The name is mangled as on 64-bit Linux, and a definition of the program goes before a library's as ELF says.
    let target = |what, is: &str| var_os(what).is_some_and(|it| it == is);
    let linux =
        target("CARGO_CFG_TARGET_OS", "linux") && target("CARGO_CFG_TARGET_POINTER_WIDTH", "64");
    if shared && !compiled && linux {
        println!("cargo::rustc-cfg=rocksdb_is_shared");
    }
}
