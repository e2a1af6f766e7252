//! An authority of a test's own, and certificates from it, made by the program `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A key that takes no time to make.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority that vouches for servers of tests, in a directory that goes with the test.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// A new one, with its files in `dir`.
    ///
    /// # Panics
    /// Without `openssl`.
    pub fn new(dir: &Path) -> Self {
        let authority = Self { dir: dir.to_owned() };
        let (certificate, key) = authority.files("authority");
        let mut make = openssl("req");
        make.args(["-x509", "-days", "2", "-subj", "/CN=authority of a test"]).args(KEY);
        run(make.arg("-out").arg(certificate).arg("-keyout").arg(key));
        authority
    }

    /// What those must hold who are to believe it: its own certificate, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.files("authority").0
    }

    /// A certificate for a host and its key, PEM.
    ///
    /// # Panics
    /// Without `openssl`.
    pub fn certify(&self, host: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.files(host);
        let (request, about) = (self.dir.join("request"), self.dir.join("about"));
        fs::write(&about, format!("subjectAltName=DNS:{host}\n")).expect("a file");
        let mut ask = openssl("req");
        ask.args(["-subj", &format!("/CN={host}")]).args(KEY);
        run(ask.arg("-out").arg(&request).arg("-keyout").arg(&key));
        let (own, own_key) = self.files("authority");
        let mut sign = openssl("x509");
        sign.args(["-req", "-days", "2", "-CAcreateserial", "-CA"]).arg(own);
        sign.arg("-CAkey").arg(own_key).arg("-extfile").arg(about);
        run(sign.arg("-in").arg(request).arg("-out").arg(&certificate));
        (certificate, key)
    }

    fn files(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.dir.join(format!("{name}.crt")), self.dir.join(format!("{name}.key")))
    }
}

fn openssl(what: &str) -> Command {
    let mut command = Command::new("openssl");
    command.arg(what).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
