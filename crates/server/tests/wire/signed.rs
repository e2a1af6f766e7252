//! Signed requests (protocol.md, section 8), made by a script as clients make them, and replayed after a restart.

use crate::{
    flows::python,
    harness::{Server, ask},
};

#[test]
fn signed_once() {
    let mut server = Server::start();
    let printed = python(&server, "signed.py", &[]);
    let signature = printed.lines().find_map(|line| line.strip_prefix("SIGNATURE ")).unwrap();
    let secret = signature.split("&signature=").nth(1).unwrap();
    assert!(!server.log().contains(secret), "a signature stands in the log");
    server.kill();
    server.start_again();
    let request = ask("POST", "/post/directory")
        .with("X-Agile-Directory", "/signed")
        .with("X-Agile-Signature", signature)
        .body("");
    let answer = request.send(server.address());
    assert_eq!(answer.told(), (403, -10001), "used before the restart: {answer:?}");
}
