//! The signed URL in a query, and the page it was followed from: see `front::fuzzing::signed_url`.
#![no_main]

fuzz::target!(signed_url);
