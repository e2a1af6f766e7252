//! A full disk: uploads are refused with 503 and -22, everything else goes on, and so do uploads when there is room.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    disk::Disk,
    harness::{Answer, Client, Server, Setup, Stops, noise, sha256, wait_until},
};

const WRITERS: u64 = 16;

/// What was acknowledged: path and SHA-256.
type Acknowledged = Mutex<Vec<(String, String)>>;

fn put(client: &Client, path: &str, body: &[u8]) -> Answer {
    let (directory, name) = path.rsplit_once('/').unwrap();
    client.send(&client.raw(directory, name).with("X-Agile-Recursive", "true").body(body))
}

/// Uploads files with names that begin with `name`, until one is refused; remembers what was acknowledged.
fn fill(client: &Client, name: &str, writer: u64, acknowledged: &Acknowledged) {
    for i in 0..20_000 {
        let size = [300_000, 5_000, 0, 70_000][i % 4];
        let (path, body) = (format!("{name}-{writer}-{i}"), noise(writer << 20 | i as u64, size));
        let answer = put(client, &path, &body);
        match answer.told() {
            (200, 0) => acknowledged.lock().unwrap().push((path, sha256(&body))),
            told => return assert_eq!(told, (503, -22), "{answer:?}"),
        }
    }
    panic!("the disk is never full");
}

/// All writers at once, each until it is refused.
fn fill_up(client: &Client, name: &str, acknowledged: &Acknowledged) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || fill(client, name, writer, acknowledged));
        }
    });
}

fn check(client: &Client, acknowledged: &Acknowledged) {
    for (path, checksum) in acknowledged.lock().unwrap().iter() {
        assert_eq!(sha256(&client.content(path)), *checksum, "{path}");
    }
}

/// What a full disk must not stop.
fn goes_on(server: &Server, client: &Client, acknowledged: &Acknowledged) {
    let (path, checksum) = acknowledged.lock().unwrap()[0].clone();
    assert_eq!(sha256(&client.content(&path)), checksum);
    let another = server.login();
    assert_eq!(another.code("checkToken", json!([])), 0);
    assert_eq!(another.code("makeDir", json!(["/made-while-full"])), 0);
    assert_eq!(another.code("deleteDir", json!(["/made-while-full"])), 0);
    assert_eq!(another.code("logout", json!([])), 0);
}

fn files_below(dir: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        count += if path.is_dir() { files_below(&path) } else { 1 };
    }
    count
}

/// No byte is left that nobody knows of: blobs are what longer files need, and nothing is on its way.
fn nothing_leaked(server: &Server, client: &Client, dir: &str) {
    let page = client.call("listFile", json!([dir, 10_000, 0, true]));
    let files = page["list"].as_array().unwrap().iter();
    let blobs = files.filter(|f| f["stat"]["size"].as_u64().unwrap() > 8192).count();
    wait_until("no blob that nothing refers to", || {
        files_below(&server.data().join("blobs")) == blobs
    });
    wait_until("an empty stage", || files_below(&server.data().join("stage")) == 0);
}

fn full_and_back(disk: &Disk, is_full: impl Fn() -> bool) {
    let mut server = disk.serve(Setup::default());
    let anna = server.login();
    let acknowledged = Acknowledged::default();
    for round in 0..3 {
        fill_up(&anna, &format!("/d/{round}"), &acknowledged);
        assert!(is_full(), "round {round}: {:?}", disk.free());
        goes_on(&server, &anna, &acknowledged);
        nothing_leaked(&server, &anna, "/d");
        // Deleting makes room, and uploads go on by themselves.
        let mut list = acknowledged.lock().unwrap();
        let half = list.len() / 2;
        for (path, _) in list.drain(..half) {
            assert_eq!(anna.code("deleteFile", json!([path])), 0);
        }
        drop(list);
        wait_until("uploads are taken again", || {
            put(&anna, "/d/again", &noise(1, 200_000)).told() == (200, 0)
        });
        assert_eq!(anna.code("deleteFile", json!(["/d/again"])), 0);
    }
    check(&anna, &acknowledged);
    server.kill();
    server.start_again();
    let anna = Client { address: server.address(), ..anna };
    check(&anna, &acknowledged);
    nothing_leaked(&server, &anna, "/d");
}

#[test]
fn a_full_disk() {
    let Some(disk) = Disk::ext4(96) else { return };
    full_and_back(&disk, || (15..27).contains(&(disk.free().0 >> 20)));
}

#[test]
fn a_disk_out_of_files() {
    let Some(disk) = Disk::tmpfs(200, 1200) else { return };
    full_and_back(&disk, || (250..340).contains(&disk.free().1));
}

/// Somebody else takes the last byte of the disk, again and again, under load. The catalog cannot even write its log
/// then; it must not guess, nor be read-only for longer than the disk is full.
#[test]
fn a_disk_filled_by_somebody_else() {
    let Some(disk) = Disk::ext4(128) else { return };
    let mut server = disk.serve(Setup::default());
    let anna = server.login();
    let acknowledged = Acknowledged::default();
    anna.put("/first", &noise(7, 100_000));
    acknowledged.lock().unwrap().push(("/first".to_owned(), sha256(&noise(7, 100_000))));
    for round in 0..4_u64 {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..8_u64 {
                let (anna, acknowledged, over) = (&anna, &acknowledged, &over);
                scope.spawn(move || {
                    for i in 0.. {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let size = [5_000, 3_000, 20_000, 0][(i % 4) as usize];
                        let path = format!("/r{round}/{writer}-{i}");
                        let body = noise(round << 40 | writer << 32 | i, size);
                        let answer = put(anna, &path, &body);
                        match answer.told() {
                            (200, 0) => acknowledged.lock().unwrap().push((path, sha256(&body))),
                            told => assert_eq!(told, (503, -22), "{answer:?}"),
                        }
                        thread::sleep(Duration::from_millis(2));
                    }
                });
            }
            let _stops = Stops(&over);
            let ballast = disk.path().join("ballast");
            let mut file = File::create(&ballast).unwrap();
            let mut block = 1 << 20;
            // To the last byte, and for a while whatever is given back, too.
            for _ in 0..400 {
                match file.write(&vec![1; block]) {
                    Ok(n) if n > 0 => {}
                    _ if block > 512 => block /= 2,
                    _ => thread::sleep(Duration::from_millis(5)),
                }
            }
            assert!(disk.free().0 < (1 << 20), "{:?}", disk.free());
            assert_eq!(sha256(&anna.content("/first")), sha256(&noise(7, 100_000)), "reads go on");
            assert_eq!(put(&anna, "/refused", b"x").told(), (503, -22));
            let status = server.admin_ok(&["status"], "");
            for why in ["\"read_only\":\"no space", "\"refuses_uploads\":\"no space"] {
                assert!(status.contains(why), "{status}");
            }
            drop(file);
            std::fs::remove_file(&ballast).unwrap();
            wait_until("uploads are taken again", || {
                put(&anna, &format!("/again{round}"), &noise(round, 20_000)).told() == (200, 0)
            });
        });
        assert!(server.lives(), "{}", server.log());
        check(&anna, &acknowledged);
    }
    server.kill();
    server.start_again();
    check(&Client { address: server.address(), ..anna }, &acknowledged);
}
