//! Limits of the contract, each with its unit. Limits an operator can set live in the configuration; these cannot be.

/// Longest path, and so longest name, in wire bytes (protocol.md, section 1).
pub const PATH_BYTES_MAX: usize = 4096;
/// Entries in one page of a listing (section 5).
pub const PAGE_SIZE_MAX: u64 = 10_000;
/// Entries in a page when the client does not say (section 5).
pub const PAGE_SIZE_DEFAULT: u64 = 100;
/// Largest content kept inline, in the catalog, in bytes. Measured: see ARCHITECTURE.md, "Inline threshold".
pub const INLINE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of the beginning of a file that its type is detected from.
pub const SNIFF_BYTES_MAX: usize = 8 * 1024;
/// Longest life of a session, in seconds (section 4).
pub const SESSION_SECONDS_MAX: u64 = 86_400;
/// Life of a session when the client does not say, in seconds (section 4).
pub const SESSION_SECONDS_DEFAULT: u64 = 3_600;
/// Longest life of a signed URL, in seconds (section 5, `mediaVaultUrl`).
pub const SIGNED_URL_SECONDS_MAX: u64 = 2_147_483_648;
/// Life of a signed URL when the client does not say, in seconds (section 5, `mediaVaultUrl`).
pub const SIGNED_URL_SECONDS_DEFAULT: u64 = 3_600;
/// Most of an answer that a signed URL may let out as fast as it can, in kB of 1,000 bytes (section 10).
pub const LINK_FREE_KB_MAX: u64 = 20_000;
/// Fastest that a signed URL may let an answer out after that, in kB a second (section 10).
pub const LINK_KB_PER_SEC_MAX: u64 = 10_000;
/// Longest password that is hashed, in bytes; longer ones are wrong without any work.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Longest user name, in bytes.
pub const USERNAME_BYTES_MAX: usize = 255;
/// Longest account name, in bytes: it is a host label (RFC 1035).
pub const ACCOUNT_NAME_BYTES_MAX: usize = 63;
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Latest modification time, in seconds since the epoch: the last one an HTTP date can say (year 9999).
pub const MTIME_MAX: u64 = 253_402_300_799;

const _: () = assert!(PATH_BYTES_MAX == 4096 && INLINE_BYTES_MAX >= 4096);
const _: () =
    assert!(SNIFF_BYTES_MAX <= INLINE_BYTES_MAX, "a stage begins only after the type can be told");
