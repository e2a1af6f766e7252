//! For `fuzz/` alone: the bytes of a connection, and what has to be true of what is let in.

use super::{framing::Framing, head::Limits};

/// The bytes of a connection; the first byte says in how large pieces they come.
pub fn connection(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let whole = passed(bytes, bytes.len().max(1));
    let pieces = passed(bytes, usize::from(*size).max(1));
    assert_eq!(whole, pieces, "however they come, the same ones are let in");
    // Nothing that was let in is different without what came after it.
    let (len, ..) = whole;
    let (alone, refused) = passed(&bytes[..len], len.max(1));
    assert!(alone == len && !refused, "what was let in is a beginning of good requests");
}

/// How many bytes are let in, and whether what follows is refused.
fn passed(bytes: &[u8], size: usize) -> (usize, bool) {
    let mut framing = Framing::new(Limits { bytes: 2000, headers: 20 });
    let (mut begin, mut end, mut refused) = (0, 0, false);
    while end < bytes.len() && !framing.is_over() {
        end = (end + size).min(bytes.len());
        let (more, refusal) = framing.pass(&bytes[begin..end]);
        begin += more;
        refused |= refusal.is_some();
    }
    (begin, refused)
}
