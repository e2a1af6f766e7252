//! What the operator can set of the front: limits with their units and defaults. What cannot be set lives beside its use.

use std::time::Duration;

/// Limits of the front, with their units.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest body of a JSON-RPC call, in bytes.
    pub rpc_body_bytes_max: usize,
    /// Connections served at once, over all listeners. More wait in the listeners' queues.
    pub connections_max: usize,
    /// Largest head of a request (request line and headers), in bytes.
    pub request_head_bytes_max: usize,
    /// Headers of a request.
    pub request_headers_max: usize,
    /// Largest file that is uploaded in one request, in bytes.
    pub upload_bytes_max: u64,
    /// Limits of uploads by form.
    pub form: FormLimits,
    /// Memory for answers to GET and HEAD that may be given again, contents of small files included, in bytes.
    pub answers_bytes: u64,
    /// Whether documents that users uploaded run in an origin of their own.
    pub sandbox: bool,
    /// How long the head of a request may take; also how long a connection may idle between requests.
    pub header_read_timeout: Duration,
    /// How long a request's body may pause.
    pub body_idle_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub answer_idle_timeout: Duration,
    /// How long a TLS handshake may take.
    pub tls_handshake_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rpc_body_bytes_max: 2 * 1024 * 1024,
            connections_max: 4096,
            request_head_bytes_max: 64 * 1024,
            request_headers_max: 100,
            // The longest file that a listing can tell of.
            upload_bytes_max: i64::MAX.cast_unsigned(),
            form: FormLimits::default(),
            answers_bytes: 24 << 20,
            sandbox: true,
            header_read_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            answer_idle_timeout: Duration::from_secs(30),
            tls_handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// Limits of a form, with their units: what of it is kept in memory, and how much may come that is not the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormLimits {
    /// Parts, the file included.
    pub parts_max: usize,
    /// Headers of one part, in bytes.
    pub part_header_bytes_max: usize,
    /// Value of one field, in bytes.
    pub field_bytes_max: usize,
    /// Values of all fields together, in bytes.
    pub fields_bytes_max: usize,
    /// What stands before the first part and after the last, in bytes.
    pub outside_bytes_max: usize,
}

impl Default for FormLimits {
    fn default() -> Self {
        Self {
            parts_max: 100,
            part_header_bytes_max: 16 * 1024,
            field_bytes_max: 64 * 1024,
            fields_bytes_max: 256 * 1024,
            outside_bytes_max: 64 * 1024,
        }
    }
}

impl FormLimits {
    /// Bytes of a form, at most, that are not the file's: what is longer than that has a file.
    pub(crate) fn beside_file_max(&self) -> u64 {
        // A boundary with what stands around it, its padding, and a header block.
        let part = self.part_header_bytes_max.saturating_mul(2).saturating_add(256);
        let parts = self.parts_max.saturating_add(1).saturating_mul(part);
        let bytes = parts.saturating_add(self.fields_bytes_max);
        u64::try_from(bytes.saturating_add(self.outside_bytes_max)).unwrap_or(u64::MAX)
    }
}
