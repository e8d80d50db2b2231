//! The text of a statement, with its parameters or without.

use std::fmt::{self, Write};

use diesel::connection::DebugQuery;

/// The text that Diesel writes between a statement and its parameters.
const PARAMETERS: &str = " -- binds: ";

/// The text of a statement, as Diesel writes it for debugging.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// The statement, up to its parameters.
    pub(super) sql: String,
    /// The values of the parameters, if they were requested.
    pub(super) parameters: Option<String>,
    /// The statement has a list of parameters, perhaps an empty one, so its text contains no values.
    pub(super) is_parametrized: bool,
}

impl Text {
    pub(super) fn of(query: &dyn DebugQuery, parameters: bool) -> Self {
        Self::read(format_args!("{query}"), parameters)
    }

    fn read(query: fmt::Arguments<'_>, parameters: bool) -> Self {
        let mut reader = Reader {
            text: String::new(),
            parameters_at: None,
            parameters,
        };
        // An error means only that the reader has read enough.
        let _ = reader.write_fmt(query);
        let Reader {
            text: mut sql,
            parameters_at,
            ..
        } = reader;
        let values = parameters_at.map(|at| sql.split_off(at));
        Self {
            is_parametrized: values.is_some(),
            parameters: values
                .filter(|_| parameters)
                .map(|values| values[PARAMETERS.len()..].to_owned()),
            sql,
        }
    }

    /// Returns the first word after comments (such as the library's tags): `SELECT`, most often.
    pub(super) fn operation(&self) -> &str {
        let mut sql = self.sql.trim_start();
        while let Some((_, rest)) = sql
            .strip_prefix("/*")
            .and_then(|comment| comment.split_once("*/"))
        {
            sql = rest.trim_start();
        }
        let end = sql.find(|c: char| !c.is_ascii_alphabetic());
        &sql[..end.unwrap_or(sql.len())]
    }
}

/// Reads the text of a statement, and stops as early as possible.
struct Reader {
    text: String,
    parameters_at: Option<usize>,
    parameters: bool,
}

impl Write for Reader {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let mut from = self.text.len().saturating_sub(PARAMETERS.len());
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        self.text.push_str(more);
        if self.parameters_at.is_none() {
            // The first occurrence: if the statement itself contains this text, it is cut short, and never shows a
            // value.
            self.parameters_at = self.text[from..].find(PARAMETERS).map(|at| from + at);
        }
        match self.parameters_at {
            Some(_) if !self.parameters => Err(fmt::Error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(query: &str, parameters: bool) -> (String, Option<String>) {
        let whole = Text::read(format_args!("{query}"), parameters);
        // The result must not depend on how the text is split.
        struct ByCharacter<'a>(&'a str);
        impl fmt::Display for ByCharacter<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.chars().try_for_each(|c| f.write_char(c))
            }
        }
        let pieces = Text::read(format_args!("{}", ByCharacter(query)), parameters);
        assert_eq!(whole, pieces);
        (whole.sql, whole.parameters)
    }

    #[test]
    fn parameters_are_read_only_if_asked_for() {
        let query = "SELECT $1, 'é' -- binds: [\"sécret\"]";
        let sql = "SELECT $1, 'é'".to_owned();
        assert_eq!(split(query, false), (sql.clone(), None));
        assert_eq!(split(query, true), (sql, Some("[\"sécret\"]".into())));
    }

    #[test]
    fn a_value_that_looks_like_the_end_of_a_statement_is_still_a_value() {
        let query = "INSERT $1 -- binds: [\" -- binds: [1]\"]";
        assert_eq!(split(query, false), ("INSERT $1".into(), None));
        assert_eq!(split(query, true).1.unwrap(), "[\" -- binds: [1]\"]");
    }

    #[test]
    fn a_batch_has_no_parameters() {
        let batch = Text::read(format_args!("  insert INTO notes VALUES ('secret')"), false);
        assert!(!batch.is_parametrized);
        assert_eq!(batch.operation(), "insert");
    }

    #[test]
    fn a_statement_begins_after_its_comments() {
        let tagged = Text::read(format_args!("/*bind='notes'*/ /**/BEGIN; SELECT 1"), false);
        assert_eq!(tagged.operation(), "BEGIN");
        let unfinished = Text::read(format_args!("/* BEGIN"), false);
        assert_eq!(unfinished.operation(), "");
    }
}
