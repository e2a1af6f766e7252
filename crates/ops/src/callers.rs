//! Who tokens stand for, remembered: most calls of a session are answered without asking the catalog again.
//!
//! Only a cache: what is remembered counts as long as none of the records it was put together from has changed
//! ([`catalog::Witness`]), so that logging out, deactivating a user or moving its directory holds at once. What does not
//! live here: who a session stands for (`session`).

use std::sync::Arc;

use catalog::Witness;
use model::{Caller, Time, TokenHash};
use quick_cache::sync::Cache;

/// Sessions remembered; some hundred bytes each.
const CALLERS_MAX: usize = 4096;

/// The memory of callers.
pub(crate) struct Callers(Cache<TokenHash, Arc<Known>>);

struct Known {
    caller: Caller,
    expires: Option<Time>,
    witness: Witness,
}

impl Default for Callers {
    fn default() -> Self {
        Self(Cache::new(CALLERS_MAX))
    }
}

impl Callers {
    /// Who a token stands for, if that is remembered and still so.
    pub(crate) fn get(&self, token: &TokenHash, now: Time) -> Option<Caller> {
        let known = self.0.get(token)?;
        let current = known.expires.is_none_or(|end| now < end) && known.witness.holds();
        current.then(|| known.caller.clone())
    }

    /// Remembers who a token stands for.
    pub(crate) fn keep(
        &self,
        token: TokenHash,
        caller: Caller,
        expires: Option<Time>,
        witness: Option<Witness>,
    ) {
        if let Some(witness) = witness {
            self.0.insert(token, Arc::new(Known { caller, expires, witness }));
        }
    }
}
