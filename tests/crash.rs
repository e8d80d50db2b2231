//! Servers that crash before, during and after a commit, or that have no room for it.
//!
//! The test is a program of its own, because all tests use its servers. Each of its tests locks out the others.

use std::time::Duration;

use diesel_binds::error::Fault as Cause;
use diesel_binds::{BindOptions, Binds, CommitError, RecoveryOptions};
use kit::admin::Admin;
use kit::faulty::{Attempt, CommitReport, Faulty, Limits};
use kit::kill::{alone, kill, restart};
use kit::phase::Phase;
use kit::proxy::Fault;
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Side, Sqlite};
use kit::world::Sides;

type TwoPostgres = (PostgresA, PostgresB);
type Mixed = (PostgresA, MariadbA);
type WithFile = (MariadbA, Sqlite);

/// Limits that are long enough for a restart.
const PATIENT: Limits = Limits {
    step: Duration::from_secs(60),
    resolve: Duration::from_secs(60),
};

const HASTY: Limits = Limits {
    step: Duration::from_secs(60),
    resolve: Duration::from_millis(500),
};

fn server<S: Sides>(index: usize) -> Server {
    match S::keys()[index] {
        "pg-a" => Server::PostgresA,
        "pg-b" => Server::PostgresB,
        "my-a" => Server::MariadbA,
        other => panic!("{other} is no server"),
    }
}

/// Connections of the crashed server are still in the pool, and units that meet one roll back.
async fn recovers<S: Sides>(faulty: &Faulty<S>, text: &str) {
    for number in 0..8 {
        let attempt = faulty.attempt(&format!("after {text} {number}")).await;
        if faulty.judge(&attempt).await == CommitReport::COMMITTED {
            return;
        }
    }
    panic!("no unit commits after {text}");
}

/// The server crashes after the writes of a unit, and before its commit.
async fn crash_before_the_commit<S: Sides>() {
    let _alone = alone().await;
    let faulty = Faulty::<S>::start(PATIENT, &BindOptions::new()).await;
    let servers: Vec<usize> = faulty.servers().map(|(index, _)| index).collect();
    for index in servers {
        let server = server::<S>(index);
        let text = format!("crash of {index}");
        let mut session = faulty.world.binds.session();
        let unit = session.unit();
        let written = S::write(&session, &text).await;
        kill(server).await;
        if S::keys().len() == 1 {
            // The driver of MariaDB does not notice the crash by itself: right after it, the commit would still be
            // sent.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (result, ()) = tokio::join!(session.commit_all(), restart(server));
        let attempt = Attempt {
            unit,
            text: text.clone(),
            written,
            result,
        };
        let reported = faulty.judge(&attempt).await;
        assert!(
            matches!(reported, CommitReport::RolledBack { .. }),
            "{attempt:?}"
        );
        recovers(&faulty, &text).await;
    }
}

/// The server crashes while a message is on its way, or while it works on the message, and comes back.
async fn crash_during_the_commit<S: Sides>() {
    let _alone = alone().await;
    let faulty = Faulty::<S>::start(PATIENT, &BindOptions::new()).await;
    let servers: Vec<usize> = faulty.servers().map(|(index, _)| index).collect();
    for index in servers {
        let phases: &[Phase] = if faulty.is_holder(index) {
            &[Phase::Decide]
        } else {
            &[Phase::Prepare, Phase::Finish]
        };
        for phase in phases {
            for forwarded in [false, true] {
                let bytes = phase.bytes(faulty.is_mysql(index));
                let fault = if forwarded {
                    Fault::after(bytes)
                } else {
                    Fault::before(bytes)
                };
                let text = format!("{index} {phase:?} {forwarded}");
                let proxy = faulty.proxy(index);
                let fired = proxy.fired() + 1;
                proxy.inject(fault.stalling());
                let crash = async {
                    proxy.wait_fired(fired).await;
                    kill(server::<S>(index)).await;
                    proxy.cut();
                    restart(server::<S>(index)).await;
                };
                let (attempt, ()) = tokio::join!(faulty.attempt(&text), crash);
                let reported = faulty.judge(&attempt).await;
                match (phase, forwarded) {
                    (Phase::Prepare, _) | (Phase::Decide, false) => {
                        assert!(
                            matches!(reported, CommitReport::RolledBack { .. }),
                            "{attempt:?}"
                        );
                    }
                    // The server may have decided before it crashed, or not. The result is true, as `judge` has
                    // asserted.
                    (Phase::Decide, true) => {
                        assert!(
                            !matches!(reported, CommitReport::InDoubt | CommitReport::Unknown),
                            "{attempt:?}"
                        );
                    }
                    _ => assert!(
                        matches!(reported, CommitReport::Committed { .. }),
                        "{attempt:?}"
                    ),
                }
                recovers(&faulty, &text).await;
            }
        }
    }
}

/// The server of the holder does not come back in time.
async fn crash_of_the_holder_for_longer_than_it_is_asked<S: Sides>() {
    let _alone = alone().await;
    let faulty = Faulty::<S>::start(HASTY, &BindOptions::new()).await;
    let (index, proxy) = faulty
        .servers()
        .find(|(index, _)| faulty.is_holder(*index))
        .expect("a server holds");
    for forwarded in [false, true] {
        let bytes = Phase::Decide.bytes(faulty.is_mysql(index));
        let fault = if forwarded {
            Fault::after(bytes)
        } else {
            Fault::before(bytes)
        };
        let text = format!("{forwarded}");
        let fired = proxy.fired() + 1;
        proxy.inject(fault.stalling());
        let crash = async {
            proxy.wait_fired(fired).await;
            kill(server::<S>(index)).await;
            proxy.cut();
        };
        let (attempt, ()) = tokio::join!(faulty.attempt(&text), crash);
        restart(server::<S>(index)).await;
        assert_eq!(
            faulty.judge(&attempt).await,
            CommitReport::InDoubt,
            "{attempt:?}"
        );
        recovers(&faulty, &text).await;
    }
}

/// Committed rows are there after a crash of all servers at once.
async fn crash_after_the_commit<S: Sides>() {
    let _alone = alone().await;
    let faulty = Faulty::<S>::start(PATIENT, &BindOptions::new()).await;
    let attempt = faulty.attempt("durable").await;
    assert_eq!(attempt.report(), CommitReport::COMMITTED);
    let servers: Vec<Server> = faulty
        .servers()
        .map(|(index, _)| server::<S>(index))
        .collect();
    for server in &servers {
        kill(*server).await;
    }
    for server in &servers {
        restart(*server).await;
    }
    assert_eq!(faulty.judge(&attempt).await, CommitReport::COMMITTED);
    recovers(&faulty, "all").await;
}

macro_rules! mount {
    ($($behaviour:ident: [$($name:ident: $sides:ty),+],)+) => {
        $(mod $behaviour {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$behaviour::<$sides>().await;
            })+
        })+
    };
}

mount!(
    crash_before_the_commit: [postgres: (PostgresA,), mariadb: (MariadbA,), postgres_and_postgres: TwoPostgres, postgres_and_mariadb: Mixed, mariadb_and_sqlite: WithFile],
    crash_during_the_commit: [postgres_and_postgres: TwoPostgres, postgres_and_mariadb: Mixed, mariadb_and_sqlite: WithFile],
    crash_of_the_holder_for_longer_than_it_is_asked: [postgres_and_postgres: TwoPostgres, postgres_and_mariadb: Mixed],
    crash_after_the_commit: [postgres_and_postgres: TwoPostgres, postgres_and_mariadb: Mixed, mariadb_and_sqlite: WithFile],
);

/// Otherwise the others would commit after a decision that the holder then loses.
#[tokio::test]
async fn a_decision_is_durable_where_the_unit_asked_for_no_durability() {
    let _alone = alone().await;
    let faulty = Faulty::<TwoPostgres>::start(PATIENT, &BindOptions::new()).await;
    let mut admin = Admin::connect(faulty.world.databases[0].url()).await;
    // With this setting, rows that their commit does not flush stay in memory.
    for statement in [
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "SELECT pg_reload_conf()",
    ] {
        admin.run(statement).await.unwrap();
    }
    assert_eq!(
        faulty.attempt("warm").await.report(),
        CommitReport::COMMITTED
    );
    let mut session = faulty.world.binds.session();
    let unit = session.unit();
    PostgresA::sql(&session, "SET LOCAL synchronous_commit = off")
        .await
        .unwrap();
    let written = TwoPostgres::write(&session, "durable").await;
    let result = session.commit_all().await;
    kill(Server::PostgresA).await;
    restart(Server::PostgresA).await;
    let attempt = Attempt {
        unit,
        text: "durable".into(),
        written,
        result,
    };
    let mut admin = Admin::connect(faulty.world.databases[0].url()).await;
    for statement in [
        "ALTER SYSTEM RESET wal_writer_delay",
        "SELECT pg_reload_conf()",
    ] {
        admin.run(statement).await.unwrap();
    }
    assert_eq!(faulty.judge(&attempt).await, CommitReport::COMMITTED);
}

/// Other transactions have taken all slots for prepared transactions.
#[tokio::test]
async fn used_up_slots_roll_the_unit_back() {
    let _alone = alone().await;
    let faulty = Faulty::<TwoPostgres>::start(PATIENT, &BindOptions::new()).await;
    let mut admin = Admin::connect(faulty.world.databases[1].url()).await;
    let mut taken = 0;
    while admin
        .run(&format!("BEGIN; PREPARE TRANSACTION 'slot {taken}'"))
        .await
        .is_ok()
    {
        taken += 1;
    }
    assert!(taken > 0, "no slot was free");
    let attempt = faulty.attempt("gone").await;
    assert_eq!(faulty.judge(&attempt).await, CommitReport::ROLLED_BACK);
    let Err(CommitError::RolledBack {
        bind: "pg-b",
        source: Cause::Refused(source),
        ..
    }) = &attempt.result
    else {
        panic!("{attempt:?}");
    };
    assert!(
        source.to_string().contains("prepared transactions"),
        "{source}"
    );
    for slot in 0..taken {
        admin
            .run(&format!("ROLLBACK PREPARED 'slot {slot}'"))
            .await
            .unwrap();
    }
    faulty.assert_works_again("slots").await;
}

/// A participant accepts no writes, as a replica of MariaDB does. The record of a decision survives a pass that meets
/// it.
#[tokio::test]
async fn a_record_stays_while_a_participant_takes_no_writes() {
    let _alone = alone().await;
    let faulty = Faulty::<WithFile>::start(PATIENT, &BindOptions::new()).await;
    let urls: Vec<String> = faulty
        .world
        .databases
        .iter()
        .map(|d| d.url().into())
        .collect();
    let builder = Binds::builder().namespace("replica").recovery(
        RecoveryOptions::new()
            .without_worker()
            .retention(Duration::ZERO),
    );
    let options = BindOptions::new();
    let builder = WithFile::register(builder, &urls, PoolKind::Deadpool, &options).await;
    let binds = builder.build().unwrap();
    let mut session = binds.session();
    WithFile::write(&session, "kept").await.unwrap();
    let committed = session.commit_all().await.unwrap();
    let records = "SELECT unit AS value FROM diesel_binds_decision";
    let mut file = Admin::connect(&urls[1]).await;
    let horizon = format!(
        "INSERT INTO diesel_binds_horizon (namespace, unit, moved_at) VALUES ('replica', '{}', 0)",
        "f".repeat(32)
    );
    file.run(&horizon).await.unwrap();

    let mut mariadb = Admin::connect(Server::MariadbA.url().as_str()).await;
    mariadb.run("SET GLOBAL read_only = 1").await.unwrap();
    let pass = binds.recovery().run().await;
    mariadb.run("SET GLOBAL read_only = 0").await.unwrap();
    assert!(
        matches!(&pass.unreachable[..], [("my-a", Cause::Replica { .. })]),
        "{pass}"
    );
    let unit = committed.unit().to_string();
    assert_eq!(file.values(records).await.unwrap(), [unit]);

    let pass = binds.recovery().run().await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(file.values(records).await.unwrap(), [] as [&str; 0]);
}

/// The tests here make a server crash, and it comes back as the same server.
async fn a_killed_server_comes_back_with_what_was_committed<S: Side>(server: Server) {
    let _alone = alone().await;
    let database = S::database().await;
    let insert = "INSERT INTO notes (text) VALUES ('kept')";
    let mut connection = Admin::connect(database.url()).await;
    connection.run(insert).await.unwrap();
    kill(server).await;
    let gone = connection.run("DELETE FROM notes").await;
    gone.expect_err("the server is gone");
    restart(server).await;
    assert_eq!(S::rows(&database).await, ["kept"]);
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_what_was_committed() {
    a_killed_server_comes_back_with_what_was_committed::<PostgresA>(Server::PostgresA).await;
}

#[tokio::test]
async fn a_killed_mariadb_comes_back_with_what_was_committed() {
    a_killed_server_comes_back_with_what_was_committed::<MariadbA>(Server::MariadbA).await;
}
