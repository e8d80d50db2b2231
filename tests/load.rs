//! More concurrent units than the pools have connections, over three binds.
//!
//! Units that take binds in any order can hold connections that others wait for. Their deadlines end that, and the
//! errors name the bind. Units that declare their binds take them in one order, and none has to wait that long. The
//! test is a program of its own, because it keeps the servers and the machine busy all the time.
//! `DIESEL_BINDS_LOAD_SECONDS` makes it last longer.

use std::env;
use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::{Binds, CommitError, Error, RecoveryOptions, SessionOptions};
use fastrand::Rng;
use kit::look::Look;
use kit::side::{MariadbA, PostgresA, PostgresB, Side as _};
use kit::world::{Sides, World};
use tokio::time::{Instant, timeout};

type Three = (PostgresA, PostgresB, MariadbA);

const UNITS_AT_ONCE: usize = 64;
const POOL: usize = 8;
const DEADLINE: Duration = Duration::from_secs(2);

/// The time beyond the deadline after which a unit counts as hanging. The deadline does not cut a commit short.
const HANGING: Duration = Duration::from_secs(30);

/// The results of the units.
#[derive(Debug, Default)]
struct Counts {
    committed: usize,
    /// The keys of the binds whose pools the units waited for.
    timed_out: Vec<&'static str>,
    other: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_in_any_order_end_by_their_deadline_and_say_what_they_waited_for() {
    let world = world().await;
    let counts = load(&world, |_| SessionOptions::new().deadline(DEADLINE)).await;
    // The units starve each other, often all of them.
    assert!(!counts.timed_out.is_empty(), "{counts:?}");
    assert!(counts.other.is_empty(), "{counts:?}");
    let keys = Three::keys();
    assert!(counts.timed_out.iter().all(|bind| keys.contains(bind)));
    all_is_whole(&world, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_declare_their_binds_never_starve_each_other() {
    let world = world().await;
    let counts = load(&world, |random| {
        let mut order = [0, 1, 2];
        random.shuffle(&mut order);
        order.iter().fold(
            SessionOptions::new().deadline(DEADLINE * 15),
            |options, bind| match bind {
                0 => options.uses(PostgresA),
                1 => options.uses(PostgresB),
                _ => options.uses(MariadbA),
            },
        )
    })
    .await;
    assert!(counts.timed_out.is_empty(), "{counts:?}");
    assert!(counts.other.is_empty(), "{counts:?}");
    all_is_whole(&world, &counts).await;
}

async fn world() -> World {
    // With a worker, like an application.
    let builder = World::builder::<Three>().size(POOL).binds(|binds| {
        binds
            .namespace(format!("load-{}", fastrand::u32(..)))
            .recovery(RecoveryOptions::new())
    });
    builder.build().await
}

async fn load(world: &World, options: fn(&mut Rng) -> SessionOptions) -> Counts {
    let seconds = env::var("DIESEL_BINDS_LOAD_SECONDS").map_or(5, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..UNITS_AT_ONCE)
        .map(|task| {
            let binds = world.binds.clone();
            tokio::spawn(async move {
                let mut random = Rng::new();
                let mut counts = Counts::default();
                let mut number = 0;
                while Instant::now() < end {
                    number += 1;
                    let text = format!("{task} {number}");
                    let options = options(&mut random);
                    let unit = unit(&binds, options, &mut random, &text);
                    match timeout(DEADLINE * 15 + HANGING, unit).await {
                        Ok(Ok(())) => counts.committed += 1,
                        Ok(Err(error)) => counts.note(&error),
                        Err(_) => panic!("unit {text} hangs"),
                    }
                }
                counts
            })
        })
        .collect();
    let mut all = Counts::default();
    for task in tasks {
        let counts = task.await.unwrap();
        all.committed += counts.committed;
        all.timed_out.extend(counts.timed_out);
        all.other.extend(counts.other);
    }
    println!(
        "load: {seconds} s, {UNITS_AT_ONCE} units at once, pools of {POOL}: committed={} timed_out={}",
        all.committed,
        all.timed_out.len()
    );
    all
}

/// Writes on all three binds, in a random order.
async fn unit(
    binds: &Binds,
    options: SessionOptions,
    random: &mut Rng,
    text: &str,
) -> Result<(), Error> {
    let mut session = binds.with(options).session();
    let mut order = [0, 1, 2];
    random.shuffle(&mut order);
    for bind in order {
        match bind {
            0 => PostgresA::write(&session, text).await?,
            1 => PostgresB::write(&session, text).await?,
            _ => MariadbA::write(&session, text).await?,
        };
        // A pause, like the work of a service between two queries.
        tokio::time::sleep(Duration::from_millis(random.u64(0..5))).await;
    }
    session.commit_all().await?;
    Ok(())
}

impl Counts {
    fn note(&mut self, error: &Error) {
        match error {
            Error::DeadlineExceeded { bind, .. } => self.timed_out.push(bind),
            // The unit had all its connections, and its deadline passed before the commit.
            Error::Commit(CommitError::RolledBack {
                bind,
                source: Fault::DeadlineExceeded,
                ..
            }) => self.timed_out.push(bind),
            other => self.other.push(format!("{other:?}")),
        }
    }
}

/// Asserts that every pool gives out all of its connections, nothing is open, and every unit is everywhere or nowhere.
async fn all_is_whole(world: &World, counts: &Counts) {
    // Dropped sessions roll back in the background.
    let hold: Vec<_> = (0..POOL)
        .map(|number| {
            let binds = world.binds.clone();
            async move {
                let options = SessionOptions::new().deadline(HANGING).read_only();
                let session = binds.with(options).session();
                let rows = Three::read(&session).await.unwrap();
                (number, rows, session)
            }
        })
        .collect();
    let held = futures_util::future::join_all(hold).await;
    for (_, mut rows, _) in held {
        assert_eq!(rows.len(), 3);
        rows.iter_mut().for_each(|rows| rows.sort_unstable());
        assert_eq!(rows[0].len(), counts.committed);
        assert!(rows.iter().all(|other| *other == rows[0]));
    }
    world.binds.close().await;
    for database in &world.databases {
        let open = Look::at(database).await.open().await;
        assert!(open.is_empty(), "{open:?}");
    }
    assert!(world.binds.recovery().in_doubt().await.is_complete());
}
