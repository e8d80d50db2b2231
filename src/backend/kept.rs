//! The writes that stay prepared on their connections.

use std::any::type_name;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, QueryBuilder as _, QueryFragment, QueryId};
use parking_lot::RwLock;

/// The largest number of texts that are kept. Each takes memory of the server on each connection, and MySQL counts the
/// statements of all connections (`max_prepared_stmt_count`, 16,382).
const LIMIT: usize = 32;

/// The largest number of texts of statements of one type, so that lists of many lengths leave room for other types.
const LIMIT_OF_TYPE: usize = 4;

/// The length of the longest text that is kept, in bytes. An insert of many rows is longer.
const LONGEST: usize = 1024;

/// The number of texts that are remembered after their first use.
const REMEMBERED: usize = 1024;

/// The texts of the writes of a bind that stay prepared, by their hashes.
///
/// Diesel itself prepares an `UPDATE` and an upsert anew each time: the text of one type depends on its values, so the
/// statements on a connection would grow without bound. Here a text is kept from its second use on, within the limits
/// above. A text that is kept once stays so, whatever follows.
pub struct KeptWrites {
    hasher: RandomState,
    /// Each text in the place of its hash, until another one of that place is used.
    remembered: [AtomicU64; REMEMBERED],
    kept: RwLock<Vec<KeptText>>,
}

#[derive(Clone, Copy)]
struct KeptText {
    text: u64,
    statement: u64,
}

impl KeptWrites {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            remembered: [const { AtomicU64::new(0) }; REMEMBERED],
            kept: RwLock::default(),
        }
    }

    /// Returns whether a statement of this type and text stays prepared, and remembers the text.
    fn keeps(&self, statement: &str, text: &str) -> bool {
        // MariaDB has had wrong results at the second execution of a statement with a subquery (MDEV-30073).
        if text.len() > LONGEST || text.contains("SELECT ") {
            return false;
        }
        let hash = self.hasher.hash_one(text);
        let is_kept = |kept: &[KeptText]| kept.iter().any(|kept| kept.text == hash);
        if is_kept(&self.kept.read()) {
            return true;
        }
        let place = usize::try_from(hash % REMEMBERED as u64).expect("it is below a usize");
        if self.remembered[place].swap(hash, Ordering::Relaxed) != hash {
            return false;
        }
        let statement = self.hasher.hash_one(statement);
        let mut kept = self.kept.write();
        let of_type = kept.iter().filter(|kept| kept.statement == statement);
        if of_type.count() < LIMIT_OF_TYPE && kept.len() < LIMIT && !is_kept(&kept) {
            let text = hash;
            kept.push(KeptText { text, statement });
        }
        is_kept(&kept)
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
/// The statement is found by its text, and not by a static id, since one type can have many texts.
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
        Ok(writes.keeps(type_name::<Q>(), &builder.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses a text twice, as a statement of this type.
    fn twice(writes: &KeptWrites, statement: &str, text: &str) -> [bool; 2] {
        [(); 2].map(|()| writes.keeps(statement, text))
    }

    #[test]
    fn a_repeated_text_is_kept_and_a_stream_of_others_does_not_end_that() {
        let writes = KeptWrites::new();
        assert_eq!(twice(&writes, "a", "hot"), [false, true]);
        for number in 0..100_000 {
            assert!(!writes.keeps("a", &number.to_string()), "it is used once");
            assert!(writes.keeps("a", "hot"));
        }
        assert_eq!(writes.kept.read().len(), 1);
    }

    #[test]
    fn a_long_text_and_a_subquery_are_not_kept() {
        let writes = KeptWrites::new();
        let longest = "x".repeat(LONGEST);
        assert_eq!(twice(&writes, "a", &longest), [false, true]);
        let longer = "x".repeat(LONGEST + 1);
        assert_eq!(twice(&writes, "a", &longer), [false, false]);
        let subquery = "UPDATE a SET b = (SELECT c FROM d)";
        assert_eq!(twice(&writes, "a", subquery), [false, false]);
    }

    #[test]
    fn few_texts_of_one_type_and_a_bounded_number_of_all_are_kept() {
        let writes = KeptWrites::new();
        for number in 0..100_000 {
            let kept = twice(&writes, "lists", &number.to_string());
            assert_eq!(kept, [false, number < LIMIT_OF_TYPE]);
        }
        for number in LIMIT_OF_TYPE..100_000 {
            let (statement, text) = (format!("type {number}"), format!("text {number}"));
            assert_eq!(twice(&writes, &statement, &text), [false, number < LIMIT]);
        }
        assert!(writes.keeps("lists", "0"), "the first one is kept");
        assert_eq!(writes.kept.read().len(), LIMIT);
    }
}
