//! What is stored of leases: the fields of one, in their order, as a record and as a part of another. What does not live here:
//! who takes one and for how long (`ops::lease`).

use model::{Lease, NodeId, Result, Time};

use super::codec::{In, Out, Record};

impl Record<'_> for Lease {
    const WHAT: &'static str = "lease";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        write_lease(*self, out);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        read_lease(from)
    }
}

/// A lease, also as a part of another record.
pub(crate) fn write_lease(lease: Lease, out: &mut Out) {
    out.fixed(&lease.holder.0.to_be_bytes());
    out.varint(lease.until.0);
}

/// Reads one back.
pub(crate) fn read_lease(from: &mut In<'_>) -> Result<Lease> {
    let holder = NodeId(u64::from_be_bytes(from.array()?));
    Ok(Lease { holder, until: Time(from.varint()?) })
}
