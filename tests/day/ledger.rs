//! The requests, with their answers: the model that the databases must agree with.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::bank::Leg;

/// The answer to a request that moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// None yet, or the connection to the service broke.
    None,
    Committed,
    NotCommitted,
    /// The service says that the outcome is unknown.
    InDoubt,
}

/// A request that moves money.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) legs: Vec<Leg>,
    pub(crate) answer: Answer,
}

/// A request that was answered with success.
#[derive(Clone, Copy)]
struct Success {
    sent: Instant,
    answered: Instant,
    banks: [bool; 3],
}

/// Counts of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) committed: u64,
    pub(crate) read: u64,
    pub(crate) refused_on_purpose: u64,
    pub(crate) failed: u64,
    pub(crate) in_doubt: u64,
    pub(crate) without_answer: u64,
    /// The kinds of the errors, with their binds.
    pub(crate) kinds: BTreeMap<String, u64>,
}

#[derive(Default)]
struct State {
    requests: HashMap<String, Request>,
    successes: Vec<Success>,
    counts: Counts,
    faults: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<State>);

impl Ledger {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    pub(crate) fn begin(&self, unit: &str, legs: &[Leg]) {
        let request = Request {
            legs: legs.to_vec(),
            answer: Answer::None,
        };
        self.state().requests.insert(unit.to_owned(), request);
    }

    pub(crate) fn answer(&self, unit: &str, answer: Answer, sent: Instant) {
        let state = &mut *self.state();
        let request = state.requests.get_mut(unit).expect("it began");
        request.answer = answer;
        if answer == Answer::Committed {
            let uses = |bank| request.legs.iter().any(|leg| leg.bank == bank);
            state.successes.push(Success {
                sent,
                answered: Instant::now(),
                banks: [uses(0), uses(1), uses(2)],
            });
        }
    }

    /// Changes the counts of the current event.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    /// Reports something that must not be.
    pub(crate) fn fault(&self, fault: String) {
        println!("day: FAULT: {fault}");
        self.state().faults.push(fault);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    /// Returns when the first request over this bank that was sent after `since` was answered with success.
    pub(crate) fn first_success(&self, bank: usize, since: Instant) -> Option<Instant> {
        let state = self.state();
        let later = state.successes.iter();
        let later = later.filter(|success| success.banks[bank] && success.sent >= since);
        later.map(|success| success.answered).min()
    }

    /// Returns the counts since the last call, and forgets the successes.
    pub(crate) fn take_counts(&self) -> Counts {
        let mut state = self.state();
        state.successes.clear();
        std::mem::take(&mut state.counts)
    }

    pub(crate) fn requests(&self) -> HashMap<String, Request> {
        self.state().requests.clone()
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.read += other.read;
        self.refused_on_purpose += other.refused_on_purpose;
        self.failed += other.failed;
        self.in_doubt += other.in_doubt;
        self.without_answer += other.without_answer;
        for (kind, count) in &other.kinds {
            *self.kinds.entry(kind.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "committed={} read={} refused_on_purpose={} failed={} in_doubt={} without_answer={}",
            self.committed,
            self.read,
            self.refused_on_purpose,
            self.failed,
            self.in_doubt,
            self.without_answer
        )
    }
}
