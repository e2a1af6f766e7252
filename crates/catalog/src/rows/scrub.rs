//! What is stored of scrubbing: the fields of its one record, in their order. What does not live here: all other
//! records (`record` and the files beside it).
//!
//! Invariant: whatever can be put can be read back equal.

use model::{
    AccountId, BlobId, Damage, DirId, InlineId, Result, Scrub, ScrubAt, ScrubPass, Subject, Time,
};

use super::codec::{In, Out, Record};
use super::record::{read_optional, write_optional};

impl Record<'_> for Scrub {
    const WHAT: &'static str = "scrub";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.pass);
        out.varint(self.begun.0);
        write_optional(self.ended.map(|time| time.0), out);
        out.varint(self.bytes);
        out.varint(self.objects);
        write_optional(self.rate, out);
        match &self.at {
            ScrubAt::Start => out.byte(0),
            ScrubAt::Blob(id) => {
                out.byte(1);
                out.fixed(&id.0);
            }
            ScrubAt::File(account, dir, name) => {
                out.byte(2);
                out.varint(account.0.into());
                out.varint(dir.0);
                out.text(name);
            }
        }
        out.flag(self.before.is_some());
        if let Some(pass) = &self.before {
            for n in [pass.begun.0, pass.ended.0, pass.bytes, pass.objects] {
                out.varint(n);
            }
        }
        out.varint(self.damaged.len() as u64);
        self.damaged.iter().for_each(|damage| write_damage(damage, out));
        out.varint(self.more);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            pass: from.varint()?,
            begun: Time(from.varint()?),
            ended: read_optional(from)?.map(Time),
            bytes: from.varint()?,
            objects: from.varint()?,
            rate: read_optional(from)?,
            at: match from.byte()? {
                0 => ScrubAt::Start,
                1 => ScrubAt::Blob(BlobId(from.array()?)),
                2 => ScrubAt::File(
                    AccountId(from.varint32()?),
                    DirId(from.varint()?),
                    from.text()?.to_owned(),
                ),
                other => return Err(from.damaged(&format!("has place {other}"))),
            },
            before: if from.flag()? {
                Some(ScrubPass {
                    begun: Time(from.varint()?),
                    ended: Time(from.varint()?),
                    bytes: from.varint()?,
                    objects: from.varint()?,
                })
            } else {
                None
            },
            damaged: {
                let count = from.varint()?;
                (0..count).map(|_| read_damage(from)).collect::<Result<_>>()?
            },
            more: from.varint()?,
        })
    }
}

fn write_damage(damage: &Damage, out: &mut Out) {
    match &damage.subject {
        Subject::Blob(id) => {
            out.byte(1);
            out.fixed(&id.0);
        }
        Subject::Inline(account, id) => {
            out.byte(2);
            out.varint(account.0.into());
            out.varint(id.0);
        }
        Subject::Catalog(what) => {
            out.byte(3);
            out.text(what);
        }
    }
    out.varint(damage.found.0);
    out.varint(damage.pass);
    out.text(&damage.why);
    out.varint(damage.paths.len() as u64);
    damage.paths.iter().for_each(|path| out.text(path));
}

fn read_damage(from: &mut In<'_>) -> Result<Damage> {
    Ok(Damage {
        subject: match from.byte()? {
            1 => Subject::Blob(BlobId(from.array()?)),
            2 => Subject::Inline(AccountId(from.varint32()?), InlineId(from.varint()?)),
            3 => Subject::Catalog(from.text()?.to_owned()),
            other => return Err(from.damaged(&format!("has subject {other}"))),
        },
        found: Time(from.varint()?),
        pass: from.varint()?,
        why: from.text()?.to_owned(),
        paths: {
            let count = from.varint()?;
            (0..count).map(|_| Ok(from.text()?.to_owned())).collect::<Result<_>>()?
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    #[test]
    fn records_come_back() {
        let damage = |subject| Damage {
            subject,
            found: Time(5),
            pass: 6,
            why: "block 7".to_owned(),
            paths: vec!["/acme/a".to_owned(), "/acme/b".to_owned()],
        };
        let full = Scrub {
            pass: 6,
            begun: Time(4),
            ended: Some(Time(9)),
            bytes: u64::MAX,
            objects: 8,
            rate: Some(1 << 20),
            at: ScrubAt::File(AccountId(1), DirId(2), "x".to_owned()),
            before: Some(ScrubPass { begun: Time(1), ended: Time(2), bytes: 3, objects: 4 }),
            damaged: vec![
                damage(Subject::Blob(BlobId([3; 16]))),
                damage(Subject::Inline(AccountId(1), InlineId(5))),
                damage(Subject::Catalog("names".to_owned())),
            ],
            more: 2,
        };
        let blob = Scrub { at: ScrubAt::Blob(BlobId([9; 16])), ..Scrub::default() };
        for scrub in [Scrub::default(), blob, full] {
            let bytes = encode(&scrub);
            assert_eq!(decode::<Scrub>(&bytes), Ok(scrub));
            assert!((0..bytes.len()).all(|end| decode::<Scrub>(&bytes[..end]).is_err()));
        }
    }
}
