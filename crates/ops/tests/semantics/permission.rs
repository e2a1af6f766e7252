//! Who may do what (protocol.md, section 1): read-only users, groups, restricted directories.

use model::{Error, TreePath};
use ops::{IfThere, Parents};

use super::harness::{Bench, path, put, spec};

#[tokio::test]
async fn a_read_only_user_changes_nothing() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    bench.add_user("reader", |user| user.read_only = true).await;
    let anna = bench.login("anna").await.unwrap().caller;
    let reader = bench.login("reader").await.unwrap().caller;
    put(&bench.store, &anna, spec(&path("/f"), Parents::Required), b"x").await.unwrap();
    let s = &bench.store;
    let (f, g) = (path("/f"), path("/g"));
    let html = model::ContentType::parse("text/html").unwrap();
    let made = s.make_directory(&reader, &g, Parents::Created, IfThere::Fine).await;
    assert_eq!(made, Err(Error::Denied));
    assert_eq!(put(s, &reader, spec(&g, Parents::Required), b"x").await, Err(Error::Denied));
    assert_eq!(put(s, &reader, spec(&f, Parents::Required), b"x").await, Err(Error::Denied));
    assert_eq!(s.delete_file(&reader, &f).await, Err(Error::Denied));
    assert_eq!(s.delete_object(&reader, &f).await, Err(Error::Denied));
    assert_eq!(s.delete_directory(&reader, &f).await, Err(Error::Denied));
    assert_eq!(s.rename(&reader, &f, &g).await, Err(Error::Denied));
    assert_eq!(s.copy(&reader, &f, &g, Parents::Required).await, Err(Error::Denied));
    assert_eq!(s.set_mtime(&reader, &f, 1).await, Err(Error::Denied));
    assert_eq!(s.set_content_type(&reader, &f, &html).await, Err(Error::Denied));
    assert!(matches!(s.init_key_pair(&reader).await, Err(Error::Denied)));
    assert!(s.stat(&reader, &f).await.is_ok());
}

#[tokio::test]
async fn another_group_may_look_but_not_change() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    bench.add_user("other", |user| user.gid = Some(999)).await;
    let anna = bench.login("anna").await.unwrap().caller;
    let other = bench.login("other").await.unwrap().caller;
    let s = &bench.store;
    s.make_directory(&anna, &path("/d"), Parents::Required, IfThere::Refused).await.unwrap();
    put(s, &anna, spec(&path("/d/f"), Parents::Required), b"x").await.unwrap();
    let f = path("/d/f");
    assert_eq!(put(s, &other, spec(&f, Parents::Required), b"y").await, Err(Error::Denied));
    assert_eq!(s.delete_file(&other, &f).await, Err(Error::Denied));
    assert_eq!(s.rename(&other, &f, &path("/g")).await, Err(Error::Denied));
    assert_eq!(s.set_mtime(&other, &f, 1).await, Err(Error::Denied));
    assert_eq!(s.delete_directory(&other, &path("/d")).await, Err(Error::Denied));
    let inside = s.make_directory(&other, &path("/d/e"), Parents::Required, IfThere::Fine).await;
    assert_eq!(inside, Err(Error::Denied));
    // The top directory is everybody's, a copy is one's own, and what is one's own may be changed.
    s.copy(&other, &f, &path("/mine"), Parents::Required).await.unwrap();
    assert_eq!(s.delete_file(&anna, &path("/mine")).await, Err(Error::Denied));
    s.delete_file(&other, &path("/mine")).await.unwrap();
}

#[tokio::test]
async fn a_restricted_user_sees_its_directory_as_the_root() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    bench.add_user("guest", |user| user.directory = path("/home/guest")).await;
    let anna = bench.login("anna").await.unwrap().caller;
    let guest = bench.login("guest").await.unwrap().caller;
    let s = &bench.store;
    put(s, &anna, spec(&path("/secret"), Parents::Required), b"x").await.unwrap();
    put(s, &guest, spec(&path("/f"), Parents::Required), b"x").await.unwrap();
    assert_eq!(guest.absolute(&path("/f")), "/acme/home/guest/f");
    assert!(s.stat(&anna, &path("/home/guest/f")).await.is_ok());
    assert_eq!(s.stat(&guest, &path("/secret")).await, Err(Error::NotFound));
    assert_eq!(s.delete_directory(&guest, &TreePath::root()).await, Err(Error::Denied));
    assert_eq!(s.rename(&guest, &TreePath::root(), &path("/x")).await, Err(Error::Denied));
}
