//! Reads all databases in the end, and compares them with the results that the workers got.

use std::collections::HashMap;

use diesel_binds::recovery::Outcome;
use diesel_binds::{Binds, Gid};
use kit::admin::Admin;

use crate::bank::{ACCOUNTS, BALANCE};
use crate::ledger::Answer;

/// The findings of an audit.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) units: usize,
    pub(crate) committed: usize,
    /// The number of units of which only a part is there.
    pub(crate) torn: usize,
    /// The number of results that were not true.
    pub(crate) lies: usize,
    pub(crate) sum_ok: bool,
}

/// The number of legs of one unit that are there, and the full number.
#[derive(Clone, Copy, Debug, Default)]
struct Legs {
    found: usize,
    of: usize,
}

pub(crate) async fn audit(
    urls: &[String],
    hosts: &[Binds],
    answers: &HashMap<String, Answer>,
) -> Found {
    let mut found = Found {
        units: answers.len(),
        sum_ok: true,
        ..Found::default()
    };
    let mut units: HashMap<String, Legs> = HashMap::new();
    let mut total = 0;
    for url in urls {
        let (balance, moved) = read(url, &mut units).await;
        let opening = i64::from(ACCOUNTS) * BALANCE;
        if balance != opening + moved {
            println!(
                "soak: the balance of a database does not match the transfers: {balance}, {moved}"
            );
            found.sum_ok = false;
        }
        total += moved;
    }
    if total != 0 {
        println!("soak: {total} were made out of nothing");
        found.sum_ok = false;
    }
    for unit in units.keys().filter(|unit| !answers.contains_key(*unit)) {
        println!("soak: nobody began {unit}");
        found.lies += 1;
    }
    for (unit, answer) in answers {
        let legs = units.get(unit).copied().unwrap_or_default();
        if legs.found != legs.of {
            println!(
                "soak: {unit} is torn: {} of {} legs; its caller got: {answer}",
                legs.found, legs.of
            );
            found.torn += 1;
        }
        let there = legs.found > 0;
        found.committed += usize::from(there);
        if !is_true(answer, there, hosts).await {
            println!(
                "soak: the caller of {unit} got: {answer}, and there are {} legs",
                legs.found
            );
            found.lies += 1;
        }
    }
    found
}

/// Returns whether the result for a caller is true.
async fn is_true(answer: &Answer, there: bool, hosts: &[Binds]) -> bool {
    match answer {
        Answer::None => true,
        Answer::Committed => there,
        Answer::RolledBack => !there,
        Answer::Unexpected(_) => false,
        Answer::InDoubt(gid) => {
            let gid: Gid = gid.parse().expect("a worker says a gid");
            // Only one host has the file that holds a decision.
            for host in hosts {
                if let Ok(outcome) = host.recovery().resolve(&gid).await {
                    return there == (outcome == Outcome::Committed);
                }
            }
            false
        }
    }
}

/// Adds the legs of one database. Returns its balance, and the amount that was moved to it.
async fn read(url: &str, units: &mut HashMap<String, Legs>) -> (i64, i64) {
    let mut admin = Admin::connect(url).await;
    let balance = "SELECT CONCAT(SUM(balance), '') AS value FROM accounts";
    let balance = admin.values(balance).await.expect("accounts can be read");
    let legs = "SELECT CONCAT_WS(' ', unit, parts, amount) AS value FROM legs";
    let mut moved = 0;
    for line in admin.values(legs).await.expect("legs can be read") {
        let mut parts = line.split(' ');
        let mut part = || parts.next().expect("a leg has three parts");
        let legs = units.entry(part().to_owned()).or_default();
        legs.found += 1;
        legs.of = part().parse().expect("the number of legs");
        moved += part().parse::<i64>().expect("the amount of a leg");
    }
    (balance[0].parse().expect("a balance"), moved)
}
