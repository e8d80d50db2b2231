//! Properties of the coordinator over participants whose replies are successes, errors or lost.
//!
//! The tests of the protocol explore it exhaustively, with up to three members. Here, random units of up to six go
//! through the real coordinator. The checks are on the steps of each member, the decision, and the result for the
//! caller.

mod fake;
mod mutant;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use proptest::test_runner::{RngAlgorithm, TestCaseResult, TestError, TestRng, TestRunner};

use self::fake::{Database, Fake, FakeTransaction, ForeignStatement, Script, ScriptedReply};
use self::mutant::Mutation;
use crate::commit::coordinator::commit;
use crate::commit::parameters::CommitParameters;
use crate::commit::{CommitError, Committed, Outcome, Participant};
use crate::gid::UnitClock;

const NAMESPACE: &str = "proptest";

/// The most members of a unit.
const MOST: usize = fake::KEYS.len();

/// Generates a reply. Most are ok, otherwise few units get far.
fn reply() -> impl Strategy<Value = ScriptedReply> {
    prop_oneof![
        12 => Just(ScriptedReply::Done),
        1 => Just(ScriptedReply::Refused),
        1 => Just(ScriptedReply::LostBefore),
        1 => Just(ScriptedReply::LostAfter),
        1 => Just(ScriptedReply::Late),
        1 => Just(ScriptedReply::VeryLate),
    ]
}

/// Generates the statement that may have ended a transaction. Most units have none, otherwise few get far.
fn foreign_statement() -> impl Strategy<Value = ForeignStatement> {
    prop_oneof![
        40 => Just(ForeignStatement::Nothing),
        1 => Just(ForeignStatement::Perhaps),
        1 => Just(ForeignStatement::RolledBack),
        1 => Just(ForeignStatement::Committed),
        1 => Just(ForeignStatement::CommittedUnseen),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let profile = (
        prop::bool::weighted(0.8),
        any::<[bool; 4]>(),
        foreign_statement(),
        prop::bool::weighted(0.85),
        -1..=1_i8,
        prop::bool::weighted(0.1),
    );
    let replies = (vec(reply(), 9), vec(0..4_usize, 9));
    (profile, replies).prop_map(
        |(
            (
                writer,
                [wrote, serializable, askable, known],
                foreign_statement,
                can_prepare,
                holder_rank,
                needs_decision_row,
            ),
            (replies, turns),
        )| {
            Script {
                writer,
                wrote: writer || (wrote && askable),
                askable: askable && !writer,
                serializable: serializable && !writer,
                known,
                can_prepare,
                holder_rank,
                needs_decision_row,
                foreign_statement,
                replies,
                turns,
            }
        },
    )
}

/// The databases and the result after the coordinator has returned.
struct Ended {
    databases: Vec<Database>,
    result: Result<Committed, CommitError>,
}

fn run(scripts: &[Script], mutation: Option<Mutation>) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made");
    let databases: Vec<Database> = scripts.iter().map(|_| Database::default()).collect();
    let participants = scripts.iter().zip(&databases).zip(fake::KEYS);
    let participants = participants
        .map(|((script, database), key)| {
            let fake = Fake::new(key, script.clone(), database.clone(), mutation);
            Box::new(fake) as Box<dyn Participant>
        })
        .collect();
    let parameters = CommitParameters {
        unit: UnitClock::new(Duration::MAX).generate(),
        namespace: NAMESPACE.into(),
        trace: None,
        best_effort: false,
        rehearses: false,
        #[cfg(feature = "testing")]
        faults: None,
    };
    let result = runtime.block_on(commit(parameters, participants));
    let result = mutant::reported(mutation, result);
    Ended { databases, result }
}

impl Ended {
    fn keys_in(&self, state: FakeTransaction) -> BTreeSet<&'static str> {
        let keyed = fake::KEYS.into_iter().zip(&self.databases);
        keyed
            .filter(|(_, database)| database.state() == state)
            .map(|(key, _)| key)
            .collect()
    }

    fn come_to_rest(&self) {
        self.databases.iter().for_each(Database::come_to_rest);
    }

    /// Finishes the prepared branches by the outcome that their holder has.
    fn recover(&self) {
        for database in &self.databases {
            if let Some(gid) = database.prepared_for() {
                let holder = fake::KEYS.iter().position(|key| *key == gid.holder());
                let holder = &self.databases[holder.expect("the holder is a member")];
                assert_eq!(holder.id(), gid.holder_id, "the branch names its holder");
                database.finish(holder.fence());
            }
        }
    }
}

/// Checks that no unit is torn, and that the result for the caller is true, whatever the servers reply.
fn holds(scripts: &[Script], mutation: Option<Mutation>) -> TestCaseResult {
    let ended = run(scripts, mutation);
    ended.come_to_rest();
    let open = ended.keys_in(FakeTransaction::Open);
    prop_assert!(open.is_empty(), "left open: {open:?}");
    let prepared = ended.keys_in(FakeTransaction::Prepared);
    if let Ok(Committed { pending, .. })
    | Err(
        CommitError::RolledBack { pending, .. } | CommitError::TransactionEnded { pending, .. },
    ) = &ended.result
    {
        let named: BTreeSet<_> = pending.iter().copied().collect();
        prop_assert!(
            prepared.is_subset(&named),
            "prepared: {prepared:?}, named: {named:?}"
        );
    }
    ended.recover();

    let writers: Vec<bool> = scripts
        .iter()
        .zip(&ended.databases)
        .filter(|(script, _)| script.wrote)
        .map(|(_, database)| database.state() == FakeTransaction::Committed)
        .collect();
    let kept = writers.first().copied().unwrap_or_default();
    prop_assert!(writers.iter().all(|one| *one == kept), "torn: {writers:?}");
    let keyed = fake::KEYS.into_iter().zip(scripts);
    let kept_apart: BTreeSet<_> = keyed
        .filter(|(_, script)| script.wrote && script.foreign_statement.keeps())
        .map(|(key, _)| key)
        .collect();
    match &ended.result {
        Ok(committed) => {
            prop_assert!(kept || writers.is_empty(), "committed, and not there");
            prop_assert_eq!(committed.binds(), &fake::KEYS[..scripts.len()]);
            prop_assert!(kept_apart.is_empty(), "in two parts: {kept_apart:?}");
        }
        Err(CommitError::RolledBack { .. }) => {
            prop_assert!(!kept, "rolled back, and there");
            prop_assert!(kept_apart.is_empty(), "kept: {kept_apart:?}");
        }
        Err(CommitError::TransactionEnded { bind, also, .. }) => {
            prop_assert!(!kept, "ended, and there");
            let named: BTreeSet<_> = also.iter().chain([bind]).copied().collect();
            prop_assert!(
                kept_apart.is_subset(&named),
                "kept: {kept_apart:?}, named: {named:?}"
            );
            // Only typed queries ran on the others.
            let mut keyed = fake::KEYS.into_iter().zip(scripts);
            prop_assert!(
                keyed.all(
                    |(key, script)| script.foreign_statement != ForeignStatement::Nothing
                        || !named.contains(key)
                ),
                "named: {named:?}"
            );
        }
        Err(CommitError::NotAtomic { first, second, .. }) => {
            prop_assert!(!kept && kept_apart.is_empty() && first != second);
            for key in [first, second] {
                let index = fake::KEYS.iter().position(|known| known == key);
                prop_assert!(!scripts[index.expect("a member")].can_prepare);
            }
        }
        Err(CommitError::InDoubt { gid, .. }) => {
            let holder = fake::KEYS.iter().position(|key| *key == gid.holder());
            let outcome = ended.databases[holder.expect("a member")].fence();
            // A lone participant that is not known to have written also records its commit. There is nothing to compare
            // then.
            prop_assert!(writers.is_empty() || kept == (outcome == Outcome::Committed));
        }
        Err(CommitError::Unknown { .. }) => prop_assert!(writers.len() <= 1),
        Err(other) => prop_assert!(false, "no unit ends so: {other:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_unit_is_whole_and_every_answer_true(scripts in vec(script(), 1..=MOST)) {
        holds(&scripts, None)?;
    }

    /// If every reply is ok, every unit that can be atomic commits, and no branch is left.
    #[test]
    fn without_a_fault_everything_commits(mut scripts in vec(script(), 1..=MOST)) {
        for script in &mut scripts {
            script.replies.fill(ScriptedReply::Done);
            script.foreign_statement = ForeignStatement::Nothing;
        }
        let ended = run(&scripts, None);
        match &ended.result {
            Ok(committed) => {
                prop_assert!(committed.pending().is_empty());
                prop_assert_eq!(ended.keys_in(FakeTransaction::Committed).len(), scripts.len());
                // Recovery, if it finds one branch, can tell how many there may be.
                let parts: Vec<u16> = ended.databases.iter().filter_map(Database::parts).collect();
                prop_assert!(parts.iter().all(|most| usize::from(*most) >= parts.len()), "{parts:?}");
                if !scripts.iter().any(|script| script.askable) {
                    prop_assert!(parts.iter().all(|most| usize::from(*most) == parts.len()));
                }
            }
            Err(CommitError::NotAtomic { .. }) => {}
            Err(error) => prop_assert!(false, "{error:?}"),
        }
    }
}

/// A property is worthless if no broken coordinator fails it.
#[test]
fn every_broken_coordinator_is_caught() {
    let mut survivors = Vec::new();
    for mutation in mutant::ALL {
        let config = ProptestConfig {
            cases: 20_000,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..ProptestConfig::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let units = vec(script(), 1..=MOST);
        match runner.run(&units, |scripts| holds(&scripts, Some(mutation))) {
            Err(TestError::Fail(rule, _)) => println!("{mutation:?} is caught: {rule}"),
            _ => survivors.push(mutation),
        }
    }
    assert!(survivors.is_empty(), "nothing catches {survivors:?}");
}
