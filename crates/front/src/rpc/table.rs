//! The API as one table: a row a method, in the order of protocol.md, sections 4 to 6.
//!
//! What lives here: names, parameters (in order, with kinds, defaults, and the code for a value that cannot be read),
//! who may call, the form of results, the codes of facts, and the function. What does not: anything that runs. A method
//! that has no row does not exist; a method for sessions cannot be written without being handed a caller.

use std::pin::Pin;

use ops::model::{
    Caller,
    limits::{MTIME_MAX, PAGE_SIZE_MAX, SESSION_SECONDS_MAX, SIGNED_URL_SECONDS_MAX},
};

use super::{
    Call, Outcome,
    answer::INVALID_PARAMS,
    callback,
    codes::{BAD_TOKEN, Codes},
    fetch,
    json::Json,
    listing, multipart, namespace,
    params::{
        Args,
        Kind::{Any, Bool, Cookie, FetchFlags, Int, PairCookie, Path, Text, Token},
        LongForm, MISSING, Param, opt, req,
    },
    session, vault,
};

/// A method at work.
pub(super) type Task<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Who may call a method, and the function.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// Anyone.
    Anyone(for<'a> fn(&'a Call<'a>) -> Task<'a>),
    /// Whoever has a usable token.
    Session(for<'a> fn(&'a Call<'a>, &'a Caller) -> Task<'a>),
}

/// How a code is rendered. Success is the function's own business; an operation's is the integer 0.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// A bare integer.
    Operation,
    /// `{"code":N}`.
    Query,
    /// As this function says.
    QueryFailing(fn(&Args<'_>, &mut Json, i32)),
}
use Form::{Operation, Query, QueryFailing};

/// A method.
pub(super) struct Row {
    /// Its name.
    pub(super) name: &'static str,
    /// Its parameters, in the order of their positions.
    pub(super) params: &'static [Param],
    /// Another order by position, where older clients use one.
    pub(super) long: Option<&'static LongForm>,
    /// How codes are rendered.
    pub(super) form: Form,
    /// The codes of facts.
    pub(super) codes: Codes,
    /// Who may call it, and the function.
    pub(super) run: Run,
}

/// The row of a method.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// The names of all methods.
pub(super) fn names() -> Vec<&'static str> {
    TABLE.iter().map(|row| row.name).collect()
}

macro_rules! anyone {
    ($function:path) => {
        Run::Anyone(|call| Box::pin($function(call)))
    };
}

macro_rules! session {
    ($function:path) => {
        Run::Session(|call, caller| Box::pin($function(call, caller)))
    };
}

const fn row(
    name: &'static str,
    form: Form,
    params: &'static [Param],
    codes: Codes,
    run: Run,
) -> Row {
    Row { name, params, long: None, form, codes, run }
}

const TOKEN: Param = req("token", Token, BAD_TOKEN);
const PAGE_SIZE: Param = opt("pageSize", Int(1, PAGE_SIZE_MAX), "100", -12);
const MPART_PAGE_SIZE: Param = opt("pagesize", Int(1, PAGE_SIZE_MAX), "100", -14);
const STAT: Param = opt("stat", Bool, "false", INVALID_PARAMS);

#[rustfmt::skip]
static TABLE: &[Row] = &[
    // --- sessions: section 4
    row("login", Query, &[
            opt("username", Text, MISSING, -40), opt("password", Text, MISSING, -41),
            opt("detail", Bool, "false", INVALID_PARAMS)],
        Codes::NONE, anyone!(session::login)),
    row("authenticate", QueryFailing(session::authenticate_failed), &[
            opt("username", Text, MISSING, BAD_TOKEN), opt("password", Text, MISSING, BAD_TOKEN),
            opt("expiry", Int(1, SESSION_SECONDS_MAX), "3600", -34), opt("subdir", Path, r#""/""#, -47)],
        Codes::NONE, anyone!(session::authenticate)),
    row("logout", Operation, &[req("token", Token, -1)],
        Codes::LOGOUT, anyone!(session::logout)),
    row("checkToken", Query, &[TOKEN],
        Codes::NONE, session!(session::check_token)),
    row("updateSession", Operation, &[TOKEN, opt("expire", Int(0, u64::MAX), "0", -34)],
        Codes::UPDATE, session!(session::update_session)),
    row("noop", Query, &[TOKEN, opt("operation", Any, r#""pong""#, INVALID_PARAMS)],
        Codes::NONE, session!(session::noop)),
    row("ping", Query, &[opt("operation", Any, r#""pong""#, INVALID_PARAMS)],
        Codes::NONE, anyone!(session::ping)),
    row("initKeyPair", QueryFailing(session::init_key_pair_failed), &[TOKEN],
        Codes::KEY_PAIR, session!(session::init_key_pair)),

    // --- directories and files: section 5
    row("makeDir", Operation, &[TOKEN, req("path", Path, -8)],
        Codes::MAKE_DIR, session!(namespace::make_dir)),
    row("makeDir2", Operation, &[TOKEN, req("path", Path, -8)],
        Codes::MAKE_DIR2, session!(namespace::make_dir2)),
    row("deleteDir", Operation, &[TOKEN, req("path", Path, -1)],
        Codes::DELETE, session!(namespace::delete_dir)),
    row("deleteFile", Operation, &[TOKEN, req("path", Path, -1)],
        Codes::DELETE_FILE, session!(namespace::delete_file)),
    row("deleteObject", Operation, &[TOKEN, req("path", Path, -1)],
        Codes::DELETE, session!(namespace::delete_object)),
    row("rename", Operation, &[TOKEN, req("oldpath", Path, -1), req("newpath", Path, -3)],
        Codes::RENAME, session!(namespace::rename)),
    row("renameFile", Operation, &[TOKEN, req("oldpath", Path, -1), req("newpath", Path, -3)],
        Codes::RENAME, session!(namespace::rename)),
    row("copyFile", Operation, &[TOKEN, req("path", Path, -1), req("newpath", Path, -2)],
        Codes::COPY, session!(namespace::copy_file)),
    row("stat", QueryFailing(namespace::stat_failed), &[
            TOKEN, req("path", Path, -1), opt("detail", Bool, "false", INVALID_PARAMS)],
        Codes::STAT, session!(namespace::stat)),
    row("setMTime", Operation, &[TOKEN, req("path", Path, -8), req("mtime", Int(0, MTIME_MAX), -27)],
        Codes::SET_MTIME, session!(namespace::set_mtime)),
    row("setContentType", Operation, &[TOKEN, req("path", Path, -8), req("content_type", Text, -33)],
        Codes::SET_TYPE, session!(namespace::set_content_type)),
    row("listDir", Query, &[
            TOKEN, req("path", Path, -1), PAGE_SIZE, opt("cookie", Cookie, "0", -11), STAT],
        Codes::LIST, session!(listing::list_dir)),
    row("listFile", Query, &[
            TOKEN, req("path", Path, -1), PAGE_SIZE, opt("cookie", Cookie, "0", -11), STAT],
        Codes::LIST, session!(listing::list_file)),
    row("listPath", Query, &[
            TOKEN, req("path", Path, -8), PAGE_SIZE, opt("cookie", PairCookie, "null", -11), STAT],
        Codes::LIST, session!(listing::list_path)),
    Row { long: Some(&fetch::LONG_FORM), ..row("fetchFileHTTP", Operation, &[
            TOKEN, req("path", Path, -4), req("uri", Text, fetch::BAD_URI), opt("flags", FetchFlags, "0", -13),
            opt("username", Any, "null", INVALID_PARAMS), opt("password", Any, "null", INVALID_PARAMS),
            opt("auth", Any, "null", INVALID_PARAMS)],
        Codes::FETCH, session!(fetch::fetch_file_http)) },
    row("mediaVaultUrl", QueryFailing(vault::media_vault_url_failed), &[
            TOKEN, req("path", Path, -8), opt("expiry", Int(0, SIGNED_URL_SECONDS_MAX), "3600", -34)],
        Codes::VAULT_URL, session!(vault::media_vault_url)),
    row("mediaVaultURL", QueryFailing(vault::media_vault_url_failed), &[
            TOKEN, req("path", Path, -8), opt("expiry", Int(0, SIGNED_URL_SECONDS_MAX), "3600", -34)],
        Codes::VAULT_URL, session!(vault::media_vault_url)),

    // --- multipart: section 6
    row("createMultipart", Query, &[
            TOKEN, req("path", Path, -16), opt("content_type", Text, r#""""#, -21),
            opt("mtime", Int(0, MTIME_MAX), "0", -20)],
        Codes::MPART_NEW, session!(multipart::create)),
    row("getMultipartStatus", Query, &[TOKEN, req("mpid", Text, -2)],
        Codes::MPART, session!(multipart::status)),
    row("getMultipartStatusMap", Query, &[TOKEN, opt("name", Text, r#""upload""#, multipart::NO_MAP)],
        Codes::NONE, session!(multipart::status_map)),
    row("listMultipart", Query, &[TOKEN, opt("cookie", Cookie, "0", -3), MPART_PAGE_SIZE],
        Codes::MPART, session!(multipart::list)),
    row("listMultipartPiece", Query, &[
            TOKEN, req("mpid", Text, -2), opt("cookie", Cookie, "0", -3), MPART_PAGE_SIZE],
        Codes::MPART, session!(multipart::list_pieces)),
    row("completeMultipart", Query, &[TOKEN, req("mpid", Text, -2)],
        Codes::MPART_DONE, session!(multipart::complete)),
    row("abortMultipart", Operation, &[TOKEN, req("mpid", Text, -2)],
        Codes::MPART_ABORT, session!(multipart::abort)),
    row("restartMultipart", Operation, &[TOKEN, req("mpid", Text, -2)],
        Codes::MPART, session!(multipart::restart)),

    // --- callbacks: ARCHITECTURE.md, "Events"
    row("registerCallback", Query, &[
            TOKEN, req("uri", Text, callback::BAD_URI), opt("flags", Int(0, u32::MAX as u64), "0", callback::BAD_FLAGS),
            opt("threshold", Int(0, i64::MAX as u64), "0", INVALID_PARAMS)],
        Codes::CALLBACK, session!(callback::register)),
    row("listCallback", Query, &[TOKEN],
        Codes::NONE, session!(callback::list)),
];

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
