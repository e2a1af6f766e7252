//! Reading multipart/form-data (RFC 7578, RFC 2046) as it comes: chunks in, events out.
//!
//! Pure. File data is passed on as slices of the chunks it came in; only bytes that may begin a boundary, at the end of a
//! chunk, are kept and copied. What a client can make us keep is bounded ([`FormLimits`]). What does not live here: what
//! the parts mean (`file`), how a part's headers are read (`part`).

mod part;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memmem::Finder, memrchr};

use crate::FormLimits;

pub(super) use part::Part;

/// Longest boundary, in bytes (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// What comes in a form, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A part begins.
    PartBegin(Part),
    /// Bytes of the part, never none.
    Data(Bytes),
    /// The part is whole.
    PartEnd,
    /// The form is whole. What still comes means nothing.
    End,
}

/// Why a body is no form that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormError {
    /// Not what RFC 2046 says.
    Broken,
    /// It ended before its last boundary.
    Unended,
    /// More parts, or more bytes beside the parts' data, than we read.
    TooLarge,
}

/// A form that is being read.
pub(super) struct Form {
    /// `\r\n--boundary`. A carriage return stands at its beginning only: whatever begins like it and does not go on
    /// like it holds no other beginning of it.
    mark: Bytes,
    finder: Finder<'static>,
    limits: FormLimits,
    state: State,
    /// Bytes that may turn out to be a mark, at the end of what came.
    held: BytesMut,
    /// How many bytes of `held` never came: a mark at the very beginning needs no line break.
    unreal: usize,
    /// The padding or the header block that is coming in.
    block: BytesMut,
    /// Bytes so far that mean nothing.
    outside: usize,
    /// Parts so far.
    parts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first mark.
    Preamble,
    /// In a part's data.
    Data,
    /// A mark came, the rest of its line did not.
    Padding,
    /// In a part's headers.
    Headers,
    /// The last mark came; that is still to be said.
    Ending,
    /// After the last mark.
    Epilogue,
    Failed(FormError),
}

/// What bytes that begin like a mark are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// No mark.
    Other,
    /// There are too few to say.
    More,
    /// A mark that a part follows.
    Part,
    /// The mark that ends the form.
    Last,
}

impl Form {
    /// A form whose parts are divided by `boundary`.
    ///
    /// # Errors
    /// [`FormError::Broken`] when it cannot be a boundary.
    pub(super) fn new(boundary: &[u8], limits: FormLimits) -> Result<Self, FormError> {
        let visible = boundary.iter().all(|byte| (b' '..=b'~').contains(byte));
        if !visible || !(1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) {
            return Err(FormError::Broken);
        }
        let mark = [b"\r\n--", boundary].concat();
        Ok(Self {
            finder: Finder::new(&mark).into_owned(),
            mark: mark.into(),
            limits,
            state: State::Preamble,
            held: BytesMut::from(&b"\r\n"[..]),
            unreal: 2,
            block: BytesMut::new(),
            outside: 0,
            parts: 0,
        })
    }

    /// The boundary in the value of a `Content-Type` header, if that is one of a form.
    pub(super) fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
        part::boundary(content_type)
    }

    /// The next event, out of the next bytes of the body. `None`: they are used up.
    ///
    /// # Errors
    /// See [`FormError`]; it stays.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormError> {
        while !input.is_empty() || self.state == State::Ending {
            let step = match self.state {
                State::Preamble => self.preamble(input),
                State::Data => Ok(self.data(input)),
                State::Padding => self.padding(input).map(|()| None),
                State::Headers => self.headers(input),
                State::Ending => {
                    self.state = State::Epilogue;
                    Ok(Some(Event::End))
                }
                State::Epilogue => {
                    let rest = input.split_off(0);
                    self.outside(rest.len()).map(|()| None)
                }
                State::Failed(error) => Err(error),
            };
            match step {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`FormError::Unended`], unless [`Event::End`] came.
    pub(super) fn finish(&self) -> Result<(), FormError> {
        match self.state {
            State::Epilogue => Ok(()),
            State::Failed(error) => Err(error),
            State::Preamble | State::Data | State::Padding | State::Headers | State::Ending => {
                Err(FormError::Unended)
            }
        }
    }

    fn preamble(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormError> {
        let (skipped, verdict) = self.until_mark(input);
        self.outside(skipped.len())?;
        self.pass(verdict);
        Ok(None)
    }

    fn data(&mut self, input: &mut Bytes) -> Option<Event> {
        let (data, verdict) = self.until_mark(input);
        let passed = self.pass(verdict);
        if data.is_empty() { passed.then_some(Event::PartEnd) } else { Some(Event::Data(data)) }
    }

    /// Goes on behind a mark, if there was one.
    fn pass(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Other | Verdict::More => return false,
            Verdict::Part => self.state = State::Padding,
            Verdict::Last => self.state = State::Ending,
        }
        true
    }

    /// Takes a mark that the input begins with, or else the bytes before one. A mark comes without bytes.
    fn until_mark(&mut self, input: &mut Bytes) -> (Bytes, Verdict) {
        if !self.held.is_empty() {
            return self.held_mark(input);
        }
        let mut from = 0;
        let end = loop {
            let Some(at) = self.finder.find(&input[from..]).map(|at| from + at) else {
                break self.beginning(input, from);
            };
            match self.verdict(&input[at..]) {
                Verdict::Other => from = at + self.mark.len(),
                Verdict::More => break at,
                Verdict::Part | Verdict::Last if at > 0 => {
                    // It is found again, at the beginning of what is left.
                    return (input.split_to(at), Verdict::Other);
                }
                mark => {
                    self.take_mark(input, mark);
                    return (Bytes::new(), mark);
                }
            }
        };
        let data = input.split_to(end);
        self.held.extend_from_slice(input);
        input.clear();
        (data, Verdict::More)
    }

    /// The same, where what was kept of the last chunk may begin a mark.
    fn held_mark(&mut self, input: &mut Bytes) -> (Bytes, Verdict) {
        let held = self.held.len();
        let missing = (self.mark.len() + 2).saturating_sub(held).min(input.len());
        self.held.extend_from_slice(&input[..missing]);
        let verdict = self.verdict(&self.held);
        match verdict {
            Verdict::More => {
                input.advance(missing);
                (Bytes::new(), verdict)
            }
            Verdict::Other => {
                self.held.truncate(held);
                let mut data = self.held.split().freeze();
                data.advance(std::mem::take(&mut self.unreal));
                (data, verdict)
            }
            Verdict::Part | Verdict::Last => {
                self.held.truncate(held);
                self.take_mark(input, verdict);
                (Bytes::new(), verdict)
            }
        }
    }

    /// Takes the mark at the beginning of what is held and of the input; what follows it on its line stays, or is begun.
    fn take_mark(&mut self, input: &mut Bytes, mark: Verdict) {
        let len = self.mark.len() + if mark == Verdict::Last { 2 } else { 0 };
        input.advance(len.saturating_sub(self.held.len()));
        self.block.clear();
        self.block.extend_from_slice(self.held.get(len..).unwrap_or_default());
        self.held.clear();
        self.unreal = 0;
    }

    /// Where a mark may begin that the input does not end, looking from `from` on; the end of the input, if nowhere.
    fn beginning(&self, input: &[u8], from: usize) -> usize {
        let from = from.max(input.len().saturating_sub(self.mark.len()));
        let at = memrchr(b'\r', &input[from..]).map(|at| from + at);
        at.filter(|at| self.verdict(&input[*at..]) == Verdict::More).unwrap_or(input.len())
    }

    /// What bytes are that begin a mark.
    fn verdict(&self, bytes: &[u8]) -> Verdict {
        let (begun, rest) = bytes.split_at(bytes.len().min(self.mark.len()));
        if !self.mark.starts_with(begun) {
            return Verdict::Other;
        }
        match rest {
            [] | [b'-' | b'\r'] => Verdict::More,
            [b'-', b'-', ..] => Verdict::Last,
            [b'\r', b'\n', ..] | [b' ' | b'\t', ..] => Verdict::Part,
            [..] => Verdict::Other,
        }
    }

    fn padding(&mut self, input: &mut Bytes) -> Result<(), FormError> {
        if !self.line(input)? {
            return Ok(());
        }
        let padding = self.block.strip_suffix(b"\r\n").ok_or(FormError::Broken)?;
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(FormError::Broken);
        }
        self.block.clear();
        // The end of the line before, so that a block without a line ends like any other.
        self.block.extend_from_slice(b"\r\n");
        self.state = State::Headers;
        Ok(())
    }

    fn headers(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormError> {
        if !self.line(input)? || !self.block.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        self.parts += 1;
        if self.parts > self.limits.parts_max {
            return Err(FormError::TooLarge);
        }
        let part = Part::read(&self.block[2..]).ok_or(FormError::Broken)?;
        self.state = State::Data;
        // A part without data may end in the empty line that ended its headers.
        self.held.extend_from_slice(b"\r\n");
        self.unreal = 2;
        Ok(Some(Event::PartBegin(part)))
    }

    /// Adds to the block, which padding and headers share, up to the end of a line. Says whether that came.
    fn line(&mut self, input: &mut Bytes) -> Result<bool, FormError> {
        let end = memchr(b'\n', input);
        let len = end.map_or(input.len(), |at| at + 1);
        if self.block.len() + len > self.limits.part_header_bytes_max {
            return Err(FormError::TooLarge);
        }
        self.block.extend_from_slice(&input.split_to(len));
        Ok(end.is_some())
    }

    /// Counts bytes that mean nothing.
    fn outside(&mut self, bytes: usize) -> Result<(), FormError> {
        self.outside += bytes;
        if self.outside > self.limits.outside_bytes_max {
            return Err(FormError::TooLarge);
        }
        Ok(())
    }
}
