//! Events on the wire: what a callback is posted (docs/events.md).
//!
//! What lives here: the JSON of an event, its signature, and the POST. What does not: which event is due for whom, and what
//! becomes of it (`ops::event`); which addresses may be posted to (crate `outbound`).

use std::pin::Pin;

use ops::{
    event::{Delivery, Teller},
    model::{Error, Result, Secret, Time},
    signature::sign,
};
use outbound::{Client, Header, Location, Post};
use serde_json::{Map, Value, json};

/// Carries the time and the signature: `t=<epoch seconds>,v1=<HMAC-SHA256 of "<t>.<body>", hex>`.
const SIGNATURE: &str = "X-Headwater-Signature";

/// Posts events.
pub struct Poster {
    client: Client,
    now: fn() -> Time,
}

impl Poster {
    /// Posts with this client. `now`: the time that signatures are made at.
    pub fn new(client: Client, now: fn() -> Time) -> Self {
        Self { client, now }
    }
}

impl Teller for Poster {
    fn tell(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(async move {
            let body = body(&delivery).to_string();
            let header = |name: &str, value: String| Header {
                name: name.to_owned(),
                value: Secret::new(value),
            };
            let post = Post {
                location: Location::parse(&delivery.uri)?,
                headers: vec![
                    header("Content-Type", "application/json".to_owned()),
                    header(SIGNATURE, signature(&delivery.secret, (self.now)().secs(), &body)?),
                ],
                body: body.into(),
            };
            match self.client.post(post).await? {
                200..300 => Ok(()),
                status => Err(Error::Upstream(format!("answered {status}"))),
            }
        })
    }
}

/// The value of the signature's header.
fn signature(secret: &Secret, now_secs: u64, body: &str) -> Result<String> {
    let mac = sign(secret, format!("{now_secs}.{body}").as_bytes())?;
    Ok(format!("t={now_secs},v1={}", mac.to_hex()))
}

/// An event as JSON. Directories have neither size nor checksum, renames have the path before.
fn body(delivery: &Delivery) -> Value {
    let event = &delivery.event;
    let absolute = |path: &ops::model::TreePath| format!("/{}/{}", delivery.account, path.as_str());
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("id", json!(event.id));
    put("callbackid", json!(delivery.callback.0));
    put("event", json!(event.kind.name()));
    put("time", json!(event.time.secs()));
    put("path", json!(absolute(&event.path)));
    put("type", json!(event.entry_kind() as u8));
    if let Some(old) = &event.old_path {
        put("oldpath", json!(absolute(old)));
    }
    if let Some(file) = &event.file {
        put("size", json!(file.size));
        put("checksum", json!(file.checksum.to_hex()));
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use ops::model::{CallbackId, Digest, Event, EventFile, EventKind, TreePath};

    use super::*;

    fn delivery(file: Option<EventFile>, old: Option<&str>) -> Delivery {
        let path = |text: &str| TreePath::parse(text).unwrap();
        Delivery {
            uri: String::new(),
            secret: Secret::new("key"),
            callback: CallbackId(3),
            account: "acme".to_owned(),
            event: Event {
                id: 77,
                kind: if old.is_some() { EventKind::Rename } else { EventKind::Upload },
                path: path("d/a \"b\".txt"),
                old_path: old.map(path),
                file,
                time: Time::from_secs(1_700_000_000),
                attempts: 0,
                next: Time(0),
            },
        }
    }

    #[test]
    fn bodies() {
        let file = EventFile { size: 5, checksum: Digest::EMPTY };
        let expected = json!({
            "id": 77, "callbackid": 3, "event": "upload", "time": 1_700_000_000, "type": 2,
            "path": "/acme/d/a \"b\".txt", "size": 5, "checksum": Digest::EMPTY.to_hex(),
        });
        assert_eq!(body(&delivery(Some(file), None)), expected);
        let expected = json!({
            "id": 77, "callbackid": 3, "event": "rename", "time": 1_700_000_000, "type": 1,
            "path": "/acme/d/a \"b\".txt", "oldpath": "/acme/x",
        });
        assert_eq!(body(&delivery(None, Some("x"))), expected);
    }

    /// `printf '5.{}' | openssl dgst -sha256 -hmac key`
    #[test]
    fn signatures() {
        let expected = "t=5,v1=9be615aec64f0d044b5ad6854ab1d893ec88617fb728d2149dcd3a3428e8c45d";
        assert_eq!(signature(&Secret::new("key"), 5, "{}").unwrap(), expected);
    }
}
