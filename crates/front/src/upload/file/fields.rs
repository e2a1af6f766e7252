//! The fields of an upload's form, beside the file: what each is called, and what came in it.
//!
//! Pure. What is kept is bounded, and so is what comes in fields without a meaning, which are dropped. What does not live
//! here: what a value means (`said`).

use super::super::codes::Fault;
use crate::FormLimits;

/// A field that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Basename,
    Directory,
    Recursive,
    Mtime,
    ExposeEgress,
    ReturnUrl,
    ReturnReferer,
}

/// Every field that means something, in the order of [`Field`].
const NAMES: [&str; 7] = [
    "basename",
    "directory",
    "recursive",
    "mtime",
    "expose_egress",
    "return_url",
    "return_referer",
];

/// The fields that came so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    limits: FormLimits,
    values: [Option<Vec<u8>>; NAMES.len()],
    /// Which of them is coming in; `None`: one without a meaning.
    open: Option<usize>,
    /// Bytes of the one that is coming in.
    bytes: usize,
    /// Bytes of all.
    total: usize,
}

impl Fields {
    /// None yet.
    pub(super) fn new(limits: FormLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A field begins.
    pub(super) fn begin(&mut self, name: Option<&str>) -> Result<(), Fault> {
        self.bytes = 0;
        self.open = NAMES.iter().position(|known| Some(*known) == name);
        match self.open.and_then(|open| self.values[open].replace(Vec::new())) {
            Some(_) => Err(Fault::FieldTwice),
            None => Ok(()),
        }
    }

    /// Takes the next bytes of it.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes += bytes.len();
        self.total += bytes.len();
        if self.bytes > self.limits.field_bytes_max || self.total > self.limits.fields_bytes_max {
            return Err(Fault::FormTooLarge);
        }
        if let Some(value) = self.open.and_then(|open| self.values[open].as_mut()) {
            value.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// A field's text. An empty one counts as left out: browsers send what nobody filled in.
    pub(super) fn text(&self, field: Field) -> Result<Option<&str>, Fault> {
        let value = self.values[field as usize].as_deref().unwrap_or_default();
        let text = std::str::from_utf8(value).map_err(|_| Fault::FieldText)?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(list: &[(&str, &[u8])]) -> Result<Fields, Fault> {
        let mut fields = Fields::default();
        for (name, value) in list {
            fields.begin(Some(name))?;
            for byte in value.chunks(1000) {
                fields.data(byte)?;
            }
        }
        Ok(fields)
    }

    #[test]
    fn each_name_is_its_field() {
        let every = [
            Field::Basename,
            Field::Directory,
            Field::Recursive,
            Field::Mtime,
            Field::ExposeEgress,
            Field::ReturnUrl,
            Field::ReturnReferer,
        ];
        for (field, name) in every.into_iter().zip(NAMES) {
            let fields = with(&[("x", b"1"), (name, b"2"), ("Basename", b"3")]).unwrap();
            assert_eq!(fields.text(field), Ok(Some("2")), "{name}");
            for other in every.into_iter().filter(|other| *other != field) {
                assert_eq!(fields.text(other), Ok(None), "{name}");
            }
        }
    }

    #[test]
    fn twice_empty_and_not_text() {
        assert_eq!(with(&[("mtime", b""), ("mtime", b"")]).err(), Some(Fault::FieldTwice));
        let fields =
            with(&[("x", b"1"), ("x", b"2"), ("mtime", b""), ("basename", b"\xff")]).unwrap();
        assert_eq!(fields.text(Field::Mtime), Ok(None));
        assert_eq!(fields.text(Field::Basename), Err(Fault::FieldText));
    }

    #[test]
    fn bounds() {
        let FormLimits { field_bytes_max, fields_bytes_max, .. } = FormLimits::default();
        let long = vec![b'a'; field_bytes_max + 1];
        for name in ["x", "basename"] {
            assert!(with(&[(name, &long[1..])]).is_ok());
            assert_eq!(with(&[(name, &long)]).err(), Some(Fault::FormTooLarge));
        }
        let four = vec![("x", &long[1..]); fields_bytes_max / field_bytes_max];
        assert!(with(&four).is_ok());
        assert_eq!(with(&[&four[..], &[("x", b"1")]].concat()).err(), Some(Fault::FormTooLarge));
    }
}
