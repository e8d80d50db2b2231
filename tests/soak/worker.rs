//! The work of the children: move money until their standard input ends, or recover.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_binds::{Binds, CommitError, SessionOptions};
use fastrand::Rng;

use crate::bank::{self, ACCOUNTS, FILE, KEYS, Leg, SHARED};
use crate::ledger::Answer;
use crate::settings::Site;

/// The number of concurrent units of one process.
const AT_ONCE: u64 = 4;

/// Moves money, and reports the results.
pub(crate) async fn work(site: Site) {
    let binds = bank::binds(&site.namespace, &site.urls);
    let stop = at_end_of_input();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|task| {
            let (binds, stop, site) = (binds.clone(), Arc::clone(&stop), site.clone());
            let mut random = Rng::with_seed(site.seed.wrapping_mul(31).wrapping_add(task));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let legs = legs(&mut random, &site);
                    unit(&binds, &legs).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a worker does not panic");
    }
    binds.close().await;
}

/// Recovers again and again, including units in the middle of their commit.
pub(crate) async fn recover(site: Site) {
    let binds = bank::binds(&site.namespace, &site.urls);
    let stop = at_end_of_input();
    let mut random = Rng::with_seed(site.seed);
    while !stop.load(Ordering::Relaxed) {
        let age = [0, 0, 200, 3000][random.usize(..4)];
        let _ = binds
            .recovery()
            .run_older_than(Duration::from_millis(age))
            .await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..200))).await;
    }
}

async fn unit(binds: &Binds, legs: &[Leg]) {
    let deadline = Duration::from_secs(5);
    let mut session = binds
        .with(SessionOptions::new().deadline(deadline))
        .session();
    let unit = session.unit().to_string();
    say(&unit, &Answer::None);
    for leg in legs {
        if leg.run(&session).await.is_err() {
            drop(session);
            say(&unit, &Answer::RolledBack);
            // A server may be gone: the pause avoids a busy loop.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
    }
    let answer = match session.commit_all().await {
        Ok(_) => Answer::Committed,
        Err(error) if error.is_rolled_back() => Answer::RolledBack,
        Err(CommitError::InDoubt { gid, .. }) => Answer::InDoubt(gid.to_string()),
        Err(CommitError::Interrupted { .. }) => Answer::None,
        Err(error) => Answer::Unexpected(error.to_string()),
    };
    say(&unit, &answer);
}

/// Writes a line that is short enough for one write to a pipe, so that a killed process leaves no half of it.
fn say(unit: &str, answer: &Answer) {
    let line = format!("{unit} {answer}\n");
    // If the director is gone, nothing reads the output, and the input ends as well.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
    let _ = std::io::stdout().lock().flush();
}

/// Returns two to four legs in a random order, whose amounts add up to zero.
fn legs(random: &mut Rng, site: &Site) -> Vec<Leg> {
    let mut banks: Vec<usize> = if site.hosts_only {
        vec![0, SHARED, FILE]
    } else if site.galera {
        // Neither the node nor the file can prepare.
        let mut others = vec![0, 1, 3];
        random.shuffle(&mut others);
        others.truncate(random.usize(1..=2));
        [vec![SHARED], others].concat()
    } else {
        (0..KEYS.len()).collect()
    };
    random.shuffle(&mut banks);
    if !site.hosts_only && !site.galera {
        banks.truncate(random.usize(2..=4));
    }
    let of = i32::try_from(banks.len()).expect("there are few banks");
    let mut rest = 0;
    let last = banks.len() - 1;
    banks
        .into_iter()
        .enumerate()
        .map(|(index, bank)| {
            let amount = if index == last {
                -rest
            } else {
                random.i64(-50..=50)
            };
            rest += amount;
            Leg {
                bank,
                account: random.i32(1..=ACCOUNTS),
                amount,
                of,
            }
        })
        .collect()
}

/// Returns a flag that is set when the director closes the pipe.
fn at_end_of_input() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    std::thread::spawn(move || {
        let mut nothing = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut nothing);
        end.store(true, Ordering::Relaxed);
        // A child that does not end must not outlive the director.
        std::thread::sleep(Duration::from_secs(120));
        std::process::exit(3);
    });
    ended
}
