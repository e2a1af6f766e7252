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
            header_read_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(60),
            answer_idle_timeout: Duration::from_secs(60),
            tls_handshake_timeout: Duration::from_secs(10),
        }
    }
}
