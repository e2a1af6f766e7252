//! From headers and fields to a [`PutSpec`]: what a client says of the file in a form. A header wins over a field.
//!
//! Pure, but for the name that is made up where none is given.

use http::{
    HeaderMap,
    header::{HeaderName, REFERER},
};
use ops::{
    PutSpec,
    model::{ContentType, TreePath},
};

use super::{
    super::{
        codes::Fault,
        coding::Coding,
        form::Part,
        headers::{self, read_expose, read_mtime, read_recursive},
        spec,
    },
    back,
    fields::{Field, Fields},
};

/// Begins the name that is made up where none is given.
const PREFIX: &str = "post-";

/// What is said so far: all headers, and the fields that came.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    /// Of the request.
    pub(super) headers: &'a HeaderMap,
    /// How names in the headers are written.
    pub(super) coding: Coding,
    /// Of the form.
    pub(super) fields: &'a Fields,
}

impl Said<'_> {
    /// What is to be stored, when everything came.
    pub(super) fn put(&self, part: &Part) -> Result<PutSpec, Fault> {
        let directory = self.directory()?.unwrap_or_default();
        let given = self.basename()?;
        let basename = given.as_deref().or(part.file_name.as_deref().map(last_segment));
        let path = spec::path(&directory, basename, PREFIX)?;
        self.spec(path, self.recursive()?.unwrap_or(false), part)
    }

    /// What is wrong already before the file comes, and an upload that is refused for sure if this one is. Fields that
    /// come later can still say what nothing has said yet: another directory, another name than the part's, or that
    /// missing directories are made. `anywhere`: it does not matter where to, for who is asking.
    pub(super) fn early(&self, anywhere: bool) -> Result<Option<PutSpec>, Fault> {
        let (directory, basename) = (self.directory()?, self.basename()?);
        let recursive = self.recursive()?.unwrap_or(true);
        let (parent, name) = (directory.as_deref().unwrap_or_default(), basename.as_deref());
        TreePath::parse(parent)?;
        // A name that is made up may be longer than the one that comes.
        let path = spec::path(if name.is_some() { parent } else { "" }, name, PREFIX)?;
        let spec = self.spec(path, recursive, &Part::default())?;
        self.back()?;
        let certain = directory.is_some() && basename.is_some();
        Ok((certain || anywhere).then_some(spec))
    }

    /// Where the client is sent when the file is stored.
    pub(super) fn back(&self) -> Result<Option<String>, Fault> {
        if let Some(url) = self.fields.text(Field::ReturnUrl)? {
            return back::location(url).map(Some);
        }
        let wanted = self.fields.text(Field::ReturnReferer)?.map(read_recursive);
        let referer = headers::text(self.headers, REFERER).filter(|url| !url.is_empty());
        match (wanted, referer) {
            (Some(Ok(true)), Some(referer)) => back::location(&referer).map(Some),
            _ => Ok(None),
        }
    }

    fn spec(&self, path: TreePath, recursive: bool, part: &Part) -> Result<PutSpec, Fault> {
        let mtime = match self.value(&headers::MTIME, Field::Mtime)? {
            Some(field) => read_mtime(field)?,
            None => headers::mtime(self.headers)?,
        };
        let checksum = headers::checksum(self.headers)?;
        let kind = part.content_type.as_deref().and_then(|kind| ContentType::parse(kind).ok());
        let content_type = spec::type_rule(self.headers, kind)?;
        let expose = match self.value(&headers::EXPOSE_EGRESS, Field::ExposeEgress)? {
            Some(field) => read_expose(field)?,
            None => headers::expose(self.headers)?,
        };
        let parents = spec::parents(recursive);
        Ok(PutSpec { path, parents, mtime, checksum, content_type, expose })
    }

    /// A field that counts because there is no such header.
    fn value(&self, header: &HeaderName, field: Field) -> Result<Option<&str>, Fault> {
        if self.headers.contains_key(header) {
            return Ok(None);
        }
        Ok(self.fields.text(field)?.map(str::trim_ascii))
    }

    fn directory(&self) -> Result<Option<String>, Fault> {
        match headers::name(self.headers, headers::DIRECTORY, self.coding)? {
            Some(directory) => Ok(Some(directory)),
            None => Ok(self.fields.text(Field::Directory)?.map(str::to_owned)),
        }
    }

    fn basename(&self) -> Result<Option<String>, Fault> {
        match headers::name(self.headers, headers::BASENAME, self.coding)? {
            Some(basename) => Ok(Some(basename)),
            None => {
                let name = self.fields.text(Field::Basename)?.map(last_segment);
                Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
            }
        }
    }

    fn recursive(&self) -> Result<Option<bool>, Fault> {
        match self.value(&headers::RECURSIVE, Field::Recursive)? {
            Some(field) => read_recursive(field).map(Some),
            None if self.headers.contains_key(headers::RECURSIVE) => {
                headers::recursive(self.headers, false).map(Some)
            }
            None => Ok(None),
        }
    }
}

/// What follows the last slash.
fn last_segment(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
