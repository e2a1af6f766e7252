//! `POST /post/file` (protocol.md, section 7): a form whose part `uploadFile` is the file.
//!
//! Fields may come before and after the file. What is known before its bytes come can refuse it before they are asked
//! for; the rest is decided when the form is whole, and until then the file is staged, visible to nobody. Whatever fails,
//! dropping the upload discards it. What does not live here: how a form is read (`form`), what its fields mean (`said`).

mod back;
mod fields;
mod said;
#[cfg(test)]
mod tests;

use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_TYPE, LOCATION},
    request::Parts,
};
use http_body_util::BodyExt;
use ops::{
    Upload,
    model::{Caller, Error, TreePath},
};
use percent_encoding::percent_decode_str;

use self::{fields::Fields, said::Said};
use super::{
    answer::Done,
    authorize,
    codes::Fault,
    coding::{self, Coding},
    form::{Event, Form, FormError, Part},
    headers, raw, signature,
};
use crate::{
    FormLimits, Front,
    request::{Request, RequestBody},
};

/// The part that is the file.
const FILE: &str = "uploadFile";

/// Stores the file of a form.
pub(super) async fn post(front: &Front, request: Request) -> Result<Done, Fault> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let caller = caller(front, &parts).await?;
    headers::once_each(headers)?;
    let coding = headers::coding(headers, headers::ENCODING)?;
    let settings = &front.settings;
    let beside = settings.form.beside_file_max();
    raw::check_there(headers, &body, settings.upload_bytes_max.saturating_add(beside))?;
    let form = form(headers, settings.form)?;
    // The length of the form says how long its file is at least.
    let len = http_body::Body::size_hint(&body).lower().saturating_sub(beside).max(1);
    let (fields, upload) = (Fields::new(settings.form), front.store.upload(&caller)?);
    let (part, in_file) = (None, false);
    let mut desk = Desk { front, caller, headers, coding, fields, upload, part, in_file };
    desk.check(len).await?;
    desk.read(form, body).await?;
    desk.store().await
}

/// A form on its way in.
struct Desk<'a> {
    front: &'a Front,
    caller: Caller,
    headers: &'a HeaderMap,
    coding: Coding,
    fields: Fields,
    upload: Upload,
    /// What the file's part says, once it has begun.
    part: Option<Part>,
    /// Whether the part that is coming in is the file.
    in_file: bool,
}

impl Desk<'_> {
    /// Refuses an upload for what is known of it before its bytes are read: the file has `len` of them or more. (`&mut`:
    /// an `Upload` cannot be shared.)
    async fn check(&mut self, len: u64) -> Result<(), Fault> {
        // Who changes nothing changes nothing anywhere.
        if let Some(spec) = self.said().early(self.caller.read_only)? {
            self.front.store.check_put(&self.caller, &spec, Some(len)).await?;
        }
        Ok(())
    }

    /// The file begins. How large it may be is known now or never: a field that comes after it, and names another file
    /// that it replaces, makes no more room.
    async fn begin(&mut self, part: Part) -> Result<(), Fault> {
        if self.part.is_some() {
            return Err(Fault::FileTwice);
        }
        self.check(0).await?;
        let (said, store) = (self.said().put(&part).ok(), &self.front.store);
        let path = said.as_ref().map_or_else(TreePath::root, |spec| spec.path.clone());
        self.upload.bound(store.room(&self.caller, &path).await?);
        // It can be read meanwhile if all that was said before it comes to that.
        if let Some(spec) = said
            && store.check_put(&self.caller, &spec, Some(0)).await.is_ok()
        {
            self.upload.expose(&spec, None);
        }
        self.part = Some(part);
        Ok(())
    }

    /// Reads the form to its end.
    async fn read(&mut self, mut form: Form, mut body: RequestBody) -> Result<(), Fault> {
        while let Some(frame) = body.frame().await {
            let Ok(mut bytes) = frame?.into_data() else { continue };
            while let Some(event) = form.next(&mut bytes)? {
                self.take(event).await?;
            }
        }
        Ok(form.finish()?)
    }

    async fn take(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::PartBegin(part) => {
                self.in_file = part.name.as_deref() == Some(FILE);
                if !self.in_file {
                    return self.fields.begin(part.name.as_deref());
                }
                self.begin(part).await?;
            }
            Event::Data(bytes) if self.in_file => {
                let bytes_max = self.front.settings.upload_bytes_max;
                raw::take(&mut self.upload, bytes, bytes_max).await?;
            }
            Event::Data(bytes) => self.fields.data(&bytes)?,
            Event::PartEnd => {
                if self.in_file
                    && let Some(part) = &self.part
                    && part.file_name.as_deref().is_none_or(str::is_empty)
                    && self.upload.size() == 0
                {
                    return Err(Fault::EmptyFile);
                }
            }
            Event::End => {}
        }
        Ok(())
    }

    /// Puts the file in its place: everything is known now.
    async fn store(mut self) -> Result<Done, Fault> {
        let part = self.part.take().ok_or(Fault::NoFile)?;
        let (spec, back) = (self.said().put(&part)?, self.said().back()?);
        // Once more, so that a file that has no place is not made durable first.
        let len = Some(self.upload.size());
        self.front.store.check_put(&self.caller, &spec, len).await?;
        let stored = self.upload.commit(spec).await?;
        let mut done = vec![
            (HeaderName::from_static("x-agile-path"), coding::encode(&stored.path, self.coding)),
            (HeaderName::from_static("x-agile-size"), stored.size.to_string()),
            (headers::CHECKSUM, stored.checksum.to_hex()),
        ];
        done.extend(back.map(|url| (LOCATION, url)));
        Ok(done)
    }

    fn said(&self) -> Said<'_> {
        Said { headers: self.headers, coding: self.coding, fields: &self.fields }
    }
}

impl From<FormError> for Fault {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Broken | FormError::Unended => Fault::BrokenForm,
            FormError::TooLarge => Fault::FormTooLarge,
        }
    }
}

/// The form that a request says its body is.
fn form(headers: &HeaderMap, limits: FormLimits) -> Result<Form, Fault> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else { return Err(Fault::NotForm) };
    let boundary = Form::boundary(kind.as_bytes()).ok_or(Fault::NotForm)?;
    Form::new(&boundary, limits).map_err(|_| Fault::NotForm)
}

/// Who is calling: by a token in the query string, too, which must not differ from the one in the header. A signature
/// stands for itself: beside it, no token counts.
async fn caller(front: &Front, parts: &Parts) -> Result<Caller, Fault> {
    if parts.headers.contains_key(signature::SIGNATURE) {
        return authorize(front, parts.uri.path(), &parts.headers).await;
    }
    let by_query = query_token(parts.uri.query().unwrap_or_default())?;
    let by_header =
        parts.headers.get(headers::AUTHORIZATION).map(|token| token.as_bytes().trim_ascii());
    match (by_query, by_header) {
        (None, _) => authorize(front, parts.uri.path(), &parts.headers).await,
        (Some(token), None) => Ok(front.store.caller(&token).await?),
        (Some(token), Some(other)) if token.as_bytes() == other => {
            authorize(front, parts.uri.path(), &parts.headers).await
        }
        (Some(_), Some(_)) => Err(Error::BadToken.into()),
    }
}

/// The token in a query string. More than one must agree.
fn query_token(query: &str) -> Result<Option<String>, Fault> {
    let mut tokens = query.split('&').filter_map(|term| term.strip_prefix("token="));
    let Some(token) = tokens.next() else { return Ok(None) };
    if tokens.any(|other| other != token) {
        return Err(Error::BadToken.into());
    }
    let token = percent_decode_str(token).decode_utf8().map_err(|_| Error::BadToken)?;
    Ok(Some(token.into_owned()))
}
