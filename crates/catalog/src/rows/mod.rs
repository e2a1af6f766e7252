//! Rows: what every engine stores, and what lookups and changes make of it.
//!
//! What lives here: the layout of keys (`keys`) and values (`record`, `inlined`, `upload_record`, `scrub`, `codec`), lookups
//! (`view`) and changes (`tx`) over any [`source::Source`] of rows, both for multipart uploads (`uploads`), callbacks
//! (`events`) and transfers (`jobs`), rows as checks see them (`stored`), a move of the whole (`moving`), and the changes of a group that are not
//! durable yet (`overlay`). What does not: where rows are kept, and how a group of changes becomes durable; these are
//! the engines' own.
//!
//! Invariant: an engine adds nothing to what a row means. Two engines that were told the same hold the same rows.

pub(crate) mod codec;
pub(crate) mod events;
pub(crate) mod inlined;
pub(crate) mod jobs;
pub(crate) mod keys;
mod lease;
pub(crate) mod moving;
pub(crate) mod overlay;
mod recent;
pub(crate) mod record;
mod scrub;
pub(crate) mod source;
pub(crate) mod stored;
pub(crate) mod tx;
mod upload_record;
mod uploads;
pub(crate) mod view;
