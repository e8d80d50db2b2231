//! Compares the databases with the model, while no request runs.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::bank::{ACCOUNTS, BALANCE, KEYS, Leg, MAX_SIZE, MIN_IDLE};
use crate::ledger::{Answer, Ledger, Request};
use crate::servers::Servers;

/// The longest time until the service has finished all branches and closed what it no longer needs.
const SETTLING: Duration = Duration::from_secs(30);

/// The connections that the service may have beside those of its pool: one that finishes branches.
const BESIDE: usize = 1;

/// The findings of one audit.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How long it took until nothing was prepared, open or left over.
    pub(crate) settled: Duration,
    pub(crate) units: usize,
    pub(crate) committed: usize,
    /// Requests in doubt or without an answer, and how many of them were committed.
    pub(crate) uncertain: usize,
    pub(crate) uncertain_committed: usize,
    pub(crate) torn: usize,
    pub(crate) lies: usize,
    pub(crate) connections: [usize; 2],
}

/// Returns the numbers of connections to one server that a running service may have: its upkeep keeps some idle.
pub(crate) fn of_the_pool() -> RangeInclusive<usize> {
    MIN_IDLE..=MAX_SIZE + BESIDE
}

/// Waits until nothing is prepared or open, and compares everything that was asked for with everything that is there.
pub(crate) async fn audit(
    servers: &Servers,
    ledger: &Ledger,
    connections: RangeInclusive<usize>,
) -> Found {
    let mut found = Found {
        settled: settle(servers, ledger, &connections).await,
        connections: [
            servers.connections(0).await.len(),
            servers.connections(1).await.len(),
        ],
        ..Found::default()
    };
    let mut there: HashMap<String, Vec<Leg>> = HashMap::new();
    let mut total = 0;
    for bank in 0..KEYS.len() {
        let (balance, moved) = read(servers, bank, &mut there).await;
        if balance != i64::from(ACCOUNTS) * BALANCE + moved {
            ledger.fault(format!(
                "the balance of {} is {balance}, and {moved} were moved",
                KEYS[bank]
            ));
        }
        total += moved;
    }
    if total != 0 {
        ledger.fault(format!("{total} were made out of nothing"));
    }
    let requests = ledger.requests();
    for unit in there.keys().filter(|unit| !requests.contains_key(*unit)) {
        ledger.fault(format!("nobody asked for {unit}"));
    }
    for (unit, request) in &requests {
        compare(unit, request, there.get(unit), &mut found, ledger);
    }
    found.units = requests.len();
    found
}

fn compare(
    unit: &str,
    request: &Request,
    there: Option<&Vec<Leg>>,
    found: &mut Found,
    ledger: &Ledger,
) {
    let is_there = there.is_some();
    found.committed += usize::from(is_there);
    if let Some(there) = there {
        let sorted = |legs: &[Leg]| {
            let mut legs: Vec<_> = legs.iter().map(|l| (l.bank, l.account, l.amount)).collect();
            legs.sort_unstable();
            legs
        };
        if sorted(there) != sorted(&request.legs) {
            found.torn += 1;
            ledger.fault(format!(
                "{unit} is torn: {there:?} of {:?}, answered {:?}",
                request.legs, request.answer
            ));
        }
    }
    match request.answer {
        Answer::Committed if !is_there => {
            found.lies += 1;
            ledger.fault(format!(
                "{unit} was answered as committed, and is not there"
            ));
        }
        Answer::NotCommitted if is_there => {
            found.lies += 1;
            ledger.fault(format!("{unit} was answered with an error, and is there"));
        }
        Answer::InDoubt | Answer::None => {
            found.uncertain += 1;
            found.uncertain_committed += usize::from(is_there);
        }
        Answer::Committed | Answer::NotCommitted => {}
    }
}

/// Waits until nothing is prepared or open, and each server has as many connections as it should. Returns how long that
/// took.
async fn settle(servers: &Servers, ledger: &Ledger, expected: &RangeInclusive<usize>) -> Duration {
    let start = Instant::now();
    loop {
        let mut left = Vec::new();
        for bank in [0, 1] {
            left.extend(servers.prepared(bank).await);
            left.extend(servers.open(bank).await);
            let connections = servers.connections(bank).await.len();
            if !expected.contains(&connections) {
                let key = KEYS[bank];
                left.push(format!(
                    "{connections} connections to {key}, not {expected:?}"
                ));
            }
        }
        if left.is_empty() {
            return start.elapsed();
        }
        if start.elapsed() > SETTLING {
            ledger.fault(format!("left after {SETTLING:?}: {left:?}"));
            return start.elapsed();
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Adds the legs of one bank. Returns its balance, and the amount that was moved to it.
async fn read(servers: &Servers, bank: usize, there: &mut HashMap<String, Vec<Leg>>) -> (i64, i64) {
    let mut admin = servers.admin(bank).await;
    let balance = "SELECT CONCAT(SUM(balance), '') AS value FROM accounts";
    let balance = admin.values(balance).await.expect("accounts can be read");
    let legs = "SELECT CONCAT_WS(' ', unit, account, amount) AS value FROM legs";
    let mut moved = 0;
    for line in admin.values(legs).await.expect("legs can be read") {
        let mut parts = line.split(' ');
        let mut part = || parts.next().expect("a leg has three parts");
        let unit = part().to_owned();
        let leg = Leg {
            bank,
            account: part().parse().expect("a number"),
            amount: part().parse().expect("a number"),
        };
        moved += leg.amount;
        there.entry(unit).or_default().push(leg);
    }
    (balance[0].parse().expect("a balance"), moved)
}

/// Returns the greatest key of a leg on a bank.
pub(crate) async fn last_leg(servers: &Servers, bank: usize) -> i64 {
    let query = "SELECT CONCAT(COALESCE(MAX(id), 0), '') AS value FROM legs";
    let last = servers.admin(bank).await.values(query).await;
    last.expect("legs can be read")[0]
        .parse()
        .expect("a number")
}

/// Returns how many of these connections wrote a leg after this one.
pub(crate) async fn wrote_after(
    servers: &Servers,
    bank: usize,
    connections: &[i64],
    last: i64,
) -> usize {
    let query =
        format!("SELECT DISTINCT CONCAT(connection, '') AS value FROM legs WHERE id > {last}");
    let wrote = servers.admin(bank).await.values(&query).await;
    let wrote: BTreeSet<i64> = wrote
        .expect("legs can be read")
        .iter()
        .map(|id| id.parse().expect("a number"))
        .collect();
    connections.iter().filter(|id| wrote.contains(id)).count()
}
