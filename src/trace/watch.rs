//! The statements in text that cannot end a transaction, recognized by their first word.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::DebugQuery;

/// The statements that read and change rows, and those of savepoints. On no backend does one of them commit. Where a
/// statement is prepared, no second one can follow it. Comments are not skipped: MariaDB runs some of them.
const HARMLESS: [&str; 13] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "WITH",
    "VALUES",
    "SHOW",
    "SAVEPOINT",
    "RELEASE",
    "GET",
    "USE",
    "DO",
];

/// The words that a `SET` must not contain: with them, MariaDB commits or runs another statement.
const NOT_SET: [&str; 4] = ["autocommit", "password", "statement", "default"];

/// A counter of the messages of a connection that may end its transaction.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    ends: AtomicU64,
    several: AtomicU64,
    idle: AtomicU64,
}

/// The counts of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Messages whose first word may end a transaction.
    pub(crate) ends: u64,
    /// Messages that may contain several statements, on servers that accept that.
    pub(crate) several: u64,
    /// Messages with a setting that SQLite silently ignores within a transaction.
    pub(crate) idle: u64,
}

impl Watch {
    pub(crate) fn count(&self) -> Counted {
        Counted {
            ends: self.ends.load(Ordering::SeqCst),
            several: self.several.load(Ordering::SeqCst),
            idle: self.idle.load(Ordering::SeqCst),
        }
    }

    pub(super) fn note(&self, query: &dyn DebugQuery) {
        let reader = Reader::of(format_args!("{query}"));
        if !reader.is_harmless() {
            self.ends.fetch_add(1, Ordering::SeqCst);
        }
        if reader.several {
            self.several.fetch_add(1, Ordering::SeqCst);
        }
        if reader.is_idle() {
            self.idle.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A reader of the first word that also notes any text behind a semicolon, even in a string.
#[derive(Default)]
struct Reader {
    word: String,
    word_ended: bool,
    /// The text after a first `SET` or `PRAGMA`, and otherwise that from the first semicolon on, in lower case.
    set: String,
    semicolon: bool,
    several: bool,
}

impl Reader {
    fn of(query: fmt::Arguments<'_>) -> Self {
        let mut reader = Self::default();
        // Writing to the reader cannot fail.
        let _ = reader.write_fmt(query);
        reader
    }

    fn is_harmless(&self) -> bool {
        let is = |word: &str| word.eq_ignore_ascii_case(&self.word);
        HARMLESS.iter().any(|word| is(word))
            || (is("SET") && !NOT_SET.iter().any(|word| self.set.contains(word)))
    }

    /// Returns whether a statement of the message is `PRAGMA foreign_keys` with a value.
    fn is_idle(&self) -> bool {
        let mut statements = self.set.split(';');
        let first = statements.next().unwrap_or_default();
        let others =
            statements.filter_map(|statement| statement.trim_start().strip_prefix("pragma"));
        others.into_iter().any(sets_foreign_keys)
            || (self.word.eq_ignore_ascii_case("PRAGMA") && sets_foreign_keys(first))
    }
}

/// Returns whether the rest of a `PRAGMA` is `foreign_keys` with a value, perhaps with the name of a schema.
fn sets_foreign_keys(rest: &str) -> bool {
    let Some((name, _)) = rest.split_once(['=', '(']) else {
        return false;
    };
    let name = name.rsplit('.').next().unwrap_or_default();
    name.trim_matches([' ', '\t', '\r', '\n', '"', '`', '[', ']']) == "foreign_keys"
}

impl Write for Reader {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            let is_space = matches!(character, ' ' | '\t' | '\r' | '\n');
            self.several |= self.semicolon && !is_space && character != ';';
            self.semicolon |= character == ';';
            let is_setting = || {
                ["SET", "PRAGMA"]
                    .iter()
                    .any(|word| self.word.eq_ignore_ascii_case(word))
            };
            if self.semicolon || (self.word_ended && is_setting()) {
                self.set.push(character.to_ascii_lowercase());
            }
            if self.word_ended || (is_space && self.word.is_empty()) {
                continue;
            }
            if character.is_ascii_alphabetic() {
                self.word.push(character);
                continue;
            }
            self.word_ended = true;
            // A word that continues with another character is none of the known ones.
            if !is_space && !matches!(character, '(' | '*' | '\'' | '"' | '`') {
                self.word.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pragma_that_sets_foreign_keys_is_without_effect() {
        for idle in [
            "PRAGMA foreign_keys = ON",
            " pragma main.Foreign_Keys(0);",
            "PRAGMA\n\"foreign_keys\"=off; SELECT 1",
            "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000",
            "SELECT 1;\nPragma foreign_keys(1)",
        ] {
            assert!(Reader::of(format_args!("{idle}")).is_idle(), "{idle}");
        }
        for other in [
            "PRAGMA foreign_keys",
            "PRAGMA defer_foreign_keys = ON",
            "PRAGMA foreign_key_check(notes)",
            "SELECT 'PRAGMA foreign_keys = ON'",
            "SELECT 1; SELECT 'PRAGMA foreign_keys = ON'",
        ] {
            assert!(!Reader::of(format_args!("{other}")).is_idle(), "{other}");
        }
    }

    #[test]
    fn only_statements_about_rows_and_savepoints_are_harmless() {
        for harmless in [
            "SELECT 1",
            " \n\tselect(1)",
            "Update notes SET text = 'COMMIT'",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "SAVEPOINT mine",
            "SET lc_messages = 'de_DE'",
            "SET LOCAL ROLE tenant",
            "DO SLEEP(1)",
            "SHOW diesel_binds.unit",
        ] {
            assert!(
                Reader::of(format_args!("{harmless}")).is_harmless(),
                "{harmless}"
            );
        }
        for other in [
            "",
            "COMMIT",
            "commit and chain",
            "BEGIN",
            "START TRANSACTION",
            "ROLLBACK TO SAVEPOINT mine",
            "CALL pay()",
            "CREATE TABLE a (id INT)",
            "SET autocommit = 1",
            "SET @@SESSION.AutoCommit = 1",
            "SET STATEMENT max_statement_time = 1 FOR COMMIT",
            "SET PASSWORD = ''",
            "/*!50000 COMMIT */",
            "-- a comment\nSELECT 1",
            "/* a comment */ SELECT 1",
            "SELECTED",
            "SELECT;COMMIT",
            "XA END 'a'",
            "EXECUTE IMMEDIATE 'COMMIT'",
            "(SELECT 1)",
        ] {
            assert!(
                !Reader::of(format_args!("{other}")).is_harmless(),
                "{other}"
            );
        }
    }

    #[test]
    fn a_statement_behind_a_semicolon_is_seen() {
        for several in ["SELECT 1; COMMIT", "SELECT ';'", "SELECT 1;;COMMIT"] {
            assert!(Reader::of(format_args!("{several}")).several, "{several}");
        }
        for one in ["SELECT 1", "SELECT 1;", "SELECT 1; \n;"] {
            assert!(!Reader::of(format_args!("{one}")).several, "{one}");
        }
    }
}
