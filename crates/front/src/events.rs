//! Events on the wire: what a callback is posted (docs/events.md).
//!
//! What lives here: the JSON of an event and its signature. What does not: which event is due for whom, the POST, and what
//! becomes of it (`ops::event`).

use ops::{
    event::{Delivery, Letter},
    model::{Result, Secret, Time},
    signature::sign,
};
use serde_json::{Map, Value, json};

/// Carries the time and the signature: `t=<epoch seconds>,v1=<HMAC-SHA256 of "<t>.<body>", hex>`.
const SIGNATURE: &str = "X-Headwater-Signature";

/// What a callback is posted for an event, signed at `now`.
///
/// # Errors
/// [`ops::model::Error::Storage`] for a secret that cannot sign.
pub fn letter(delivery: &Delivery, now: Time) -> Result<Letter> {
    let body = body(delivery).to_string();
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        (SIGNATURE, signature(&delivery.secret, now.secs(), &body)?),
    ];
    Ok(Letter { headers, body: body.into() })
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
