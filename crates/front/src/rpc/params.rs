//! Parameters: binding by position or by name, then reading each as what the table says it is.
//!
//! What lives here: how a parameter is declared ([`Param`]) and got at ([`Args`]). What does not: which method has
//! which parameters (`table`), and the readings themselves (`coerce`). Binding comes before the token, reading after it; a
//! method reads its parameters in the order in which its checks are to happen.

use std::{borrow::Cow, fmt};

use ops::model::TreePath;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Failure, answer::INTERNAL_ERROR, coerce, envelope};

/// Most parameters a method has.
pub(super) const PARAMS_MAX: usize = 7;

/// The default of a parameter that has none: its absence is seen by the method.
pub(super) const MISSING: &str = "null";

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A session's token.
    Token,
    /// A string that is a path.
    Path,
    /// A string.
    Text,
    /// An integer, from the first to the second.
    Int(u64, u64),
    /// True or false.
    Bool,
    /// A place in a listing of one kind.
    Cookie,
    /// A place in a listing of both kinds.
    PairCookie,
    /// `FF_CREATE_DESTDIR` or not.
    FetchFlags,
    /// Any JSON; the one kind whose `null` is a value.
    Any,
}

/// A parameter as a method declares it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Param {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) kind: Kind,
    /// What stands for it when it is left out, as JSON; `None`: it cannot be left out.
    pub(super) default: Option<&'static str>,
    /// The code for a value that cannot be read as this kind.
    pub(super) bad: i32,
}

/// A parameter that cannot be left out.
pub(super) const fn req(name: &'static str, kind: Kind, bad: i32) -> Param {
    Param { name, kind, default: None, bad }
}

/// A parameter that can be left out; `null` is the same as leaving it out.
pub(super) const fn opt(name: &'static str, kind: Kind, default: &'static str, bad: i32) -> Param {
    Param { name, kind, default: Some(default), bad }
}

/// A second order of parameters by position, which older clients use.
pub(super) struct LongForm {
    /// All names in that order; those that are not the method's are taken and ignored.
    pub(super) order: &'static [&'static str],
    /// Whether values are in that order.
    pub(super) applies: fn(&[&str]) -> bool,
}

/// The parameters of one call: JSON texts, bound and not yet read.
pub(super) struct Args<'a> {
    params: &'static [Param],
    values: [Option<&'a str>; PARAMS_MAX],
}

/// Binds `json`, the `params` of a call; `None` when they do not fit.
pub(super) fn bind<'a>(
    params: &'static [Param],
    long: Option<&LongForm>,
    json: Option<&'a str>,
) -> Option<Args<'a>> {
    let mut args = Args { params, values: [None; PARAMS_MAX] };
    match json.map_or(b'n', |json| json.as_bytes()[0]) {
        b'n' => {}
        b'[' => by_position(&mut args, long, json?)?,
        b'{' => {
            let visitor = ByName(&mut args);
            serde_json::Deserializer::from_str(json?).deserialize_map(visitor).ok()?;
        }
        _ => return None,
    }
    let complete = params.iter().zip(args.values).all(|(p, v)| p.default.is_some() || v.is_some());
    complete.then_some(args)
}

fn by_position<'a>(args: &mut Args<'a>, long: Option<&LongForm>, json: &'a str) -> Option<()> {
    let max = long.map_or(args.params.len(), |long| long.order.len());
    let given = envelope::elements(json, max)?;
    match long.filter(|long| (long.applies)(&given)) {
        Some(long) => {
            for (name, text) in long.order.iter().zip(given) {
                if let Some(at) = args.params.iter().position(|p| p.name == *name) {
                    args.values[at] = Some(text);
                }
            }
        }
        None if given.len() > args.params.len() => return None,
        None => {
            for (value, text) in args.values.iter_mut().zip(given) {
                *value = Some(text);
            }
        }
    }
    Some(())
}

/// Fills the values from an object. An unknown name, or a name that stands twice, is an error.
struct ByName<'m, 'a>(&'m mut Args<'a>);

impl<'de> Visitor<'de> for ByName<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(at) = map.next_key_seed(Name(self.0.params))? {
            if self.0.values[at].replace(map.next_value::<&RawValue>()?.get()).is_some() {
                return Err(A::Error::custom("a parameter stands twice"));
            }
        }
        Ok(())
    }
}

/// Reads a name as the place of the parameter that has it.
struct Name(&'static [Param]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a parameter")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        let at = self.0.iter().position(|p| p.name == name);
        at.ok_or_else(|| E::custom("no such parameter"))
    }
}

impl<'a> Args<'a> {
    /// The declaration and the JSON text of a parameter, its default where it was left out.
    fn find(&self, name: &str, is: fn(Kind) -> bool) -> Result<(&'static Param, &'a str), Failure> {
        let mut all = self.params.iter().zip(self.values);
        let (param, value) = all
            .find(|(param, _)| param.name == name && is(param.kind))
            .ok_or(Failure::Code(INTERNAL_ERROR))?;
        let value = match (value, param.default) {
            (None | Some("null"), Some(default)) if param.kind != Kind::Any => Some(default),
            (None, default) => default,
            (given, _) => given,
        };
        Ok((param, value.ok_or(Failure::Code(INTERNAL_ERROR))?))
    }

    /// A token's text.
    pub(super) fn token(&self, name: &str) -> Result<Cow<'a, str>, Failure> {
        let (param, json) = self.find(name, |kind| kind == Kind::Token)?;
        coerce::string(json).ok_or(Failure::Code(param.bad))
    }

    /// A path.
    pub(super) fn path(&self, name: &str) -> Result<TreePath, Failure> {
        let (param, json) = self.find(name, |kind| kind == Kind::Path)?;
        let path = coerce::string(json).and_then(|text| TreePath::parse(&text).ok());
        path.ok_or(Failure::Code(param.bad))
    }

    /// A string; `None` where the default is `null` and stands.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Failure> {
        let (param, json) = self.find(name, |kind| kind == Kind::Text)?;
        if json == "null" && param.default.is_some() {
            return Ok(None);
        }
        coerce::string(json).map(Some).ok_or(Failure::Code(param.bad))
    }

    /// An integer in its range.
    pub(super) fn int(&self, name: &str) -> Result<u64, Failure> {
        let (param, json) = self.find(name, |kind| matches!(kind, Kind::Int(..)))?;
        let Kind::Int(least, most) = param.kind else { return Err(Failure::Code(INTERNAL_ERROR)) };
        let int = coerce::integer(json).and_then(|int| u64::try_from(int).ok());
        int.filter(|int| (least..=most).contains(int)).ok_or(Failure::Code(param.bad))
    }

    /// True or false.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, Failure> {
        let (param, json) = self.find(name, |kind| kind == Kind::Bool)?;
        coerce::boolean(json).ok_or(Failure::Code(param.bad))
    }

    /// A place in a listing of one kind.
    pub(super) fn cookie(&self, name: &str) -> Result<u64, Failure> {
        let (param, json) = self.find(name, |kind| kind == Kind::Cookie)?;
        coerce::cookie(json).ok_or(Failure::Code(param.bad))
    }

    /// A place in a listing of both kinds: directories, files.
    pub(super) fn pair_cookie(&self, name: &str) -> Result<(u64, u64), Failure> {
        let (param, json) = self.find(name, |kind| kind == Kind::PairCookie)?;
        coerce::pair_cookie(json).ok_or(Failure::Code(param.bad))
    }

    /// Whether `fetchFileHTTP` is to make missing directories.
    pub(super) fn fetch_flags(&self, name: &str) -> Result<bool, Failure> {
        let (param, json) = self.find(name, |kind| kind == Kind::FetchFlags)?;
        coerce::fetch_flags(json).ok_or(Failure::Code(param.bad))
    }

    /// A value as it came, whatever kind it is meant to be.
    pub(super) fn json(&self, name: &str) -> Result<&'a str, Failure> {
        self.find(name, |_| true).map(|(_, json)| json)
    }
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
