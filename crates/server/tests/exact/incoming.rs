//! Uploads that are cut, altered on the way, or said to be something else: nothing of them is ever seen.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    harness::{Client, Connection, Form, Server, noise, sha256, wait_until},
    rounds,
};

/// What is wrong with an upload.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// A byte is another than the one that was hashed.
    Flipped,
    /// The checksum is of something else.
    Checksum,
    /// It ends before it said it would.
    Cut,
    /// It ends before its last chunk.
    CutChunks,
}

/// How it comes.
#[derive(Debug, Clone, Copy)]
enum Way {
    Raw,
    Form,
    Piece,
}

fn count_files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

/// Sends it; whether the answer, if one comes, is as the contract has it.
fn send(client: &Client, way: Way, wrong: Wrong, name: &str, body: &[u8], mpid: &str) {
    let said = match wrong {
        Wrong::Checksum => sha256(b"something else"),
        _ => sha256(body),
    };
    let mut sent = body.to_vec();
    let middle = sent.len() / 2;
    if matches!(wrong, Wrong::Flipped) {
        sent[middle] ^= 0x10;
    }
    let (ask, sent) = match way {
        Way::Raw => (client.raw("/", name).with("X-Agile-Checksum", said), sent),
        Way::Piece => {
            let ask = client.post("/multipart/piece").with("X-Agile-Multipart", mpid);
            (ask.with("X-Agile-Part", "1").with("X-Agile-Checksum", said), sent)
        }
        Way::Form => {
            let form = Form::new().field("directory", "/").field("basename", name);
            let form = form.file(name, &sent).bytes();
            let ask = client.form_head().with("X-Agile-Checksum", said);
            (ask, form)
        }
    };
    let mut connection = Connection::open(client.address);
    let (keep, framed) = match wrong {
        Wrong::Cut => (sent.len() * 2 / 3, ask.with("Content-Length", sent.len().to_string())),
        Wrong::CutChunks => {
            let chunked = ask.with("Transfer-Encoding", "chunked");
            connection.send_head(&chunked);
            let size = format!("{:x}\r\n", sent.len());
            connection.send(&[size.as_bytes(), &sent, b"\r\n"].concat()).unwrap();
            return;
        }
        Wrong::Flipped | Wrong::Checksum => {
            (sent.len(), ask.with("Content-Length", sent.len().to_string()))
        }
    };
    connection.send_head(&framed);
    connection.send(&sent[..keep]).unwrap();
    if matches!(wrong, Wrong::Flipped | Wrong::Checksum) {
        let answer = connection.answer("POST").unwrap();
        let code = if matches!(way, Way::Piece) { -6 } else { -26 };
        assert_eq!(
            answer.told(),
            (400, code),
            "{way:?} {wrong:?} {} bytes: {answer:?}",
            body.len()
        );
    }
}

#[test]
fn nothing_unverified_comes_in() {
    let server = Server::start();
    let anna = server.login();
    let created =
        anna.send(&anna.raw("/", "whole").with("X-Agile-Checksum", sha256(b"x")).body(b"x"));
    assert_eq!(created.told(), (200, 0), "what is right comes in");
    let target = anna.post("/multipart/create").with("X-Agile-Directory", "/");
    let created = anna.send(&target.with("X-Agile-Basename", "pieces"));
    let mpid = created.must("X-Agile-Multipart").to_owned();
    let sizes = [1, 300, 8_192, 8_193, 65_536, 70_001, 400_000];
    let (ways, wrongs) = (
        [Way::Raw, Way::Form, Way::Piece],
        [Wrong::Flipped, Wrong::Checksum, Wrong::Cut, Wrong::CutChunks],
    );
    let rounds = usize::try_from(rounds()).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (anna, mpid) = (&anna, &mpid);
            scope.spawn(move || {
                for i in (worker..rounds).step_by(4) {
                    let body = noise(i as u64, sizes[i % sizes.len()]);
                    let (way, wrong) = (ways[i % ways.len()], wrongs[i / 3 % wrongs.len()]);
                    send(anna, way, wrong, &format!("bad{i}"), &body, mpid);
                }
            });
        }
    });
    wait_until("nothing on its way", || count_files(&server.data().join("stage")) == 0);
    assert_eq!(anna.names("/"), (vec![], vec!["whole".to_owned()]));
    let pieces = anna.call("listMultipartPiece", json!([mpid, 0, 100]));
    assert_eq!(pieces["pieces"].as_array().map(Vec::len), Some(0), "{pieces}");
    wait_until("no blob", || count_files(&server.data().join("blobs")) == 0);
    assert_eq!(anna.content("/whole"), b"x");
    println!("{rounds} bad uploads, nothing of any of them seen");
}
