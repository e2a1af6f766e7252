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
    model::{Caller, Error},
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
    Front,
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
    raw::check_there(headers, &body)?;
    let form = form(headers)?;
    let (fields, file) = (Fields::default(), None);
    let mut desk = Desk { front, caller, headers, coding, fields, file, in_file: false };
    desk.check().await?;
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
    /// The file, once it has begun.
    file: Option<(Part, Upload)>,
    /// Whether the part that is coming in is the file.
    in_file: bool,
}

impl Desk<'_> {
    /// Refuses an upload for what is known of it, before its bytes are read. (`&mut`: an `Upload` cannot be shared.)
    async fn check(&mut self) -> Result<(), Fault> {
        // Who changes nothing changes nothing anywhere.
        match self.said().early(self.caller.read_only)? {
            Some(spec) => Ok(self.front.store.check_put(&self.caller, &spec).await?),
            None => Ok(()),
        }
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
                if self.file.is_some() {
                    return Err(Fault::FileTwice);
                }
                self.check().await?;
                let upload = self.begin(&part).await;
                self.file = Some((part, upload));
            }
            Event::Data(bytes) => match &mut self.file {
                Some((_, upload)) if self.in_file => upload.write(bytes).await?,
                _ => self.fields.data(&bytes)?,
            },
            Event::PartEnd => {
                if self.in_file
                    && let Some((part, upload)) = &self.file
                    && part.file_name.as_deref().is_none_or(str::is_empty)
                    && upload.size() == 0
                {
                    return Err(Fault::EmptyFile);
                }
            }
            Event::End => {}
        }
        Ok(())
    }

    /// Begins the upload. It can be read meanwhile if all that was said before it comes to that.
    async fn begin(&mut self, part: &Part) -> Upload {
        let mut upload = self.front.store.upload(&self.caller);
        if let Ok(spec) = self.said().put(part)
            && self.front.store.check_put(&self.caller, &spec).await.is_ok()
        {
            upload.expose(&spec, None);
        }
        upload
    }

    /// Puts the file in its place: everything is known now.
    async fn store(mut self) -> Result<Done, Fault> {
        let (part, upload) = self.file.take().ok_or(Fault::NoFile)?;
        let (spec, back) = (self.said().put(&part)?, self.said().back()?);
        // Once more, so that a file that has no place is not made durable first.
        self.front.store.check_put(&self.caller, &spec).await?;
        let stored = upload.commit(spec).await?;
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
fn form(headers: &HeaderMap) -> Result<Form, Fault> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else { return Err(Fault::NotForm) };
    let boundary = Form::boundary(kind.as_bytes()).ok_or(Fault::NotForm)?;
    Form::new(&boundary).map_err(|_| Fault::NotForm)
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
