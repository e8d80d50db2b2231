//! The writes that stay prepared on their connections.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, QueryBuilder as _, QueryFragment, QueryId};
use parking_lot::RwLock;

/// The largest number of texts that stay prepared on a connection because they were repeated.
const LIMIT: usize = 128;

/// The length of the longest text that is kept, in bytes. An insert of many rows is longer.
const LONGEST: usize = 8 * 1024;

/// The number of texts that are remembered after their first use.
const REMEMBERED: usize = 1024;

/// The texts of the writes of a bind that stay prepared, by their hashes.
///
/// Diesel itself prepares an `UPDATE` and an upsert anew each time: the text of one type depends on its values, so the
/// statements on a connection would grow without bound. Here a text is kept from its second use on, and at most
/// [`LIMIT`] of them are. A text that is kept once stays so, whatever follows.
pub struct KeptWrites {
    hasher: RandomState,
    /// Each text in the place of its hash, until another one of that place is used.
    remembered: [AtomicU64; REMEMBERED],
    kept: RwLock<BTreeSet<u64>>,
}

impl KeptWrites {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            remembered: [const { AtomicU64::new(0) }; REMEMBERED],
            kept: RwLock::default(),
        }
    }

    /// Returns whether the statement with this text stays prepared, and remembers the text.
    fn keeps(&self, text: &str) -> bool {
        if text.len() > LONGEST {
            return false;
        }
        let hash = self.hasher.hash_one(text);
        if self.kept.read().contains(&hash) {
            return true;
        }
        let place = usize::try_from(hash % REMEMBERED as u64).expect("it is below a usize");
        if self.remembered[place].swap(hash, Ordering::Relaxed) != hash {
            return false;
        }
        let mut kept = self.kept.write();
        if kept.len() < LIMIT {
            kept.insert(hash);
        }
        kept.contains(&hash)
    }
}

impl fmt::Debug for KeptWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.read().len();
        f.debug_struct("KeptWrites").field("kept", &kept).finish()
    }
}

/// A statement that stays prepared if its bind keeps its text.
///
/// It has no static id: the statement is found by its text, since one type can have many.
#[derive(Debug)]
pub(crate) struct Kept<Q> {
    pub(crate) query: Q,
    pub(crate) writes: Option<Arc<KeptWrites>>,
}

impl<Q> QueryId for Kept<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB, Q> QueryFragment<DB> for Kept<Q>
where
    DB: Backend<QueryBuilder: Default>,
    Q: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.query.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, backend: &DB) -> QueryResult<bool> {
        if self.query.is_safe_to_cache_prepared(backend)? {
            return Ok(true);
        }
        let Some(writes) = &self.writes else {
            return Ok(false);
        };
        let mut builder = DB::QueryBuilder::default();
        self.query.to_sql(&mut builder, backend)?;
        Ok(writes.keeps(&builder.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_text_is_kept_and_a_stream_of_others_does_not_end_that() {
        let writes = KeptWrites::new();
        assert!(!writes.keeps("hot"), "it is the first use");
        assert!(writes.keeps("hot"));
        for number in 0..100_000 {
            assert!(!writes.keeps(&number.to_string()), "it is used once");
            assert!(writes.keeps("hot"));
        }
        assert_eq!(writes.kept.read().len(), 1);
    }

    #[test]
    fn a_long_text_is_not_kept() {
        let writes = KeptWrites::new();
        let longest = "x".repeat(LONGEST);
        assert_eq!([(); 2].map(|()| writes.keeps(&longest)), [false, true]);
        let longer = "x".repeat(LONGEST + 1);
        assert_eq!([(); 2].map(|()| writes.keeps(&longer)), [false, false]);
    }

    #[test]
    fn a_bounded_number_of_texts_is_kept() {
        let writes = KeptWrites::new();
        for number in 0..100_000 {
            let text = number.to_string();
            let kept = [(); 2].map(|()| writes.keeps(&text));
            assert_eq!(kept, [false, number < LIMIT]);
        }
        assert!(writes.keeps("0"), "the first one is kept");
        assert_eq!(writes.kept.read().len(), LIMIT);
    }
}
