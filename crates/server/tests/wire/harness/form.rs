//! Forms as clients put them on the wire.

use super::{Ask, Client};

/// The boundary of every form, long enough that no file holds it by accident.
pub(crate) const BOUNDARY: &str = "------------------------d74496d66958873e";

/// A form in the making: parts in their order.
#[derive(Clone, Default)]
pub(crate) struct Form {
    body: Vec<u8>,
}

impl Form {
    /// An empty form.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a part with header lines of its own.
    pub(crate) fn part(mut self, headers: &str, content: impl AsRef<[u8]>) -> Self {
        self.body.extend_from_slice(format!("--{BOUNDARY}\r\n{headers}\r\n\r\n").as_bytes());
        self.body.extend_from_slice(content.as_ref());
        self.body.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a field.
    pub(crate) fn field(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value)
    }

    /// Adds the file, as curl does.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let disposition = "Content-Disposition: form-data; name=\"uploadFile\"; filename";
        let kind = "Content-Type: application/octet-stream";
        self.part(&format!("{disposition}=\"{name}\"\r\n{kind}"), content)
    }

    /// The body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.body[..], b"--", BOUNDARY.as_bytes(), b"--\r\n"].concat()
    }

    /// The body without its end.
    pub(crate) fn unended(&self) -> Vec<u8> {
        self.body.clone()
    }
}

impl Client {
    /// A request that brings a form's bytes.
    pub(crate) fn form_bytes(&self, body: impl Into<Vec<u8>>) -> Ask {
        self.form_head().body(body)
    }

    /// A request that brings a form.
    pub(crate) fn form(&self, form: &Form) -> Ask {
        self.form_bytes(form.bytes())
    }

    /// A request for `/post/file` that has no body yet.
    pub(crate) fn form_head(&self) -> Ask {
        self.post("/post/file").with("Content-Type", content_type())
    }
}

/// The `Content-Type` of every form.
pub(crate) fn content_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}
