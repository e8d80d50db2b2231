//! The result of each unit for its worker.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;
use std::sync::{Arc, Mutex, PoisonError};

/// The result for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No result: the worker was killed before.
    None,
    Committed,
    RolledBack,
    /// In doubt, with the gid for later questions.
    InDoubt(String),
    /// A result that no unit of the soak may have.
    Unexpected(String),
}

/// The known results of all units that began.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<HashMap<String, Answer>>>);

impl Ledger {
    /// Reads the output of one child until it ends.
    pub(crate) fn listen(&self, child: ChildStdout) {
        let ledger = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(child).lines().map_while(Result::ok) {
                let Some((unit, answer)) = line.split_once(' ') else {
                    panic!("a worker says something else: {line}");
                };
                ledger.lock().insert(unit.to_owned(), Answer::read(answer));
            }
        });
    }

    /// Returns the number of units that began.
    pub(crate) fn begun(&self) -> u64 {
        self.lock().len() as u64
    }

    pub(crate) fn answers(&self) -> HashMap<String, Answer> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn read(text: &str) -> Self {
        match text.split_once(' ') {
            Some(("in-doubt", gid)) => Self::InDoubt(gid.to_owned()),
            Some(("unexpected", error)) => Self::Unexpected(error.to_owned()),
            _ => match text {
                "begun" => Self::None,
                "committed" => Self::Committed,
                "rolled-back" => Self::RolledBack,
                other => panic!("no answer: {other}"),
            },
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("begun"),
            Self::Committed => f.write_str("committed"),
            Self::RolledBack => f.write_str("rolled-back"),
            Self::InDoubt(gid) => write!(f, "in-doubt {gid}"),
            Self::Unexpected(error) => write!(f, "unexpected {}", error.replace('\n', " ")),
        }
    }
}
