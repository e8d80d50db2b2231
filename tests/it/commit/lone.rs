//! The commit of an only writer: the outcomes that a lost reply leaves unknown, and the facts that decide the others.

use std::time::Duration;

use diesel_binds::recovery::Outcome;
use diesel_binds::{BindOptions, Binds, CommitError};
use kit::admin::Admin;
use kit::faulty::{CommitReport, Faulty, Limits};
use kit::phase::Phase;
use kit::pooler::Pooler;
use kit::prepared::decision;
use kit::proxy::{Fault, Proxy};
use kit::rerouting::Rerouting;
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Side};
use kit::world::Sides;
use tokio::time::sleep;
use url::Url;

async fn faulty<S: Sides>(options: &BindOptions) -> Faulty<S> {
    let limits = Limits {
        resolve: Duration::from_secs(5),
        ..Limits::default()
    };
    Faulty::start(limits, options).await
}

async fn only_the_commit_of_a_lone_writer_can_be_unknown<S: Sides>() {
    let faulty = faulty::<S>(&BindOptions::new()).await;
    for forwarded in [false, true] {
        let fault = |bytes: &str| {
            if forwarded {
                Fault::after(bytes)
            } else {
                Fault::before(bytes)
            }
        };
        for phase in [Phase::Begin, Phase::Statement] {
            let fault = fault(phase.bytes(faulty.is_mysql(0)));
            let text = format!("{phase:?} {forwarded}");
            assert_eq!(
                faulty.with_fault(0, &fault, &text).await,
                Some(CommitReport::ROLLED_BACK),
                "{text}"
            );
        }
        let commit = if faulty.is_mysql(0) {
            "autocommit = IF"
        } else {
            "COMMIT"
        };
        let reported = faulty
            .with_fault(0, &fault(commit), &format!("commit {forwarded}"))
            .await;
        assert_eq!(reported, Some(CommitReport::Unknown));
    }
}

#[tokio::test]
async fn only_the_commit_of_a_lone_writer_on_postgres_can_be_unknown() {
    only_the_commit_of_a_lone_writer_can_be_unknown::<(PostgresA,)>().await;
}

#[tokio::test]
async fn only_the_commit_of_a_lone_writer_on_mariadb_can_be_unknown() {
    only_the_commit_of_a_lone_writer_can_be_unknown::<(MariadbA,)>().await;
}

async fn a_record_of_every_commit_leaves_nothing_unknown<S: Sides>() {
    let faulty = faulty::<S>(&BindOptions::new().record_every_commit()).await;
    for forwarded in [false, true] {
        let bytes = Phase::Decide.bytes(faulty.is_mysql(0));
        let (fault, expected) = if forwarded {
            (Fault::after(bytes), CommitReport::COMMITTED)
        } else {
            (Fault::before(bytes), CommitReport::ROLLED_BACK)
        };
        let reported = faulty.with_fault(0, &fault, &format!("{forwarded}")).await;
        assert_eq!(reported, Some(expected));
    }
}

#[tokio::test]
async fn a_record_of_every_commit_leaves_nothing_unknown_on_postgres() {
    a_record_of_every_commit_leaves_nothing_unknown::<(PostgresA,)>().await;
}

#[tokio::test]
async fn a_record_of_every_commit_leaves_nothing_unknown_on_mariadb() {
    a_record_of_every_commit_leaves_nothing_unknown::<(MariadbA,)>().await;
}

/// A trigger that runs at the commit and takes a moment.
const SLOW_COMMIT: &str = "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS \
     'BEGIN IF NEW.text = ''slow'' THEN PERFORM pg_sleep(1); \
      ELSIF NEW.text = ''slower'' THEN PERFORM pg_sleep(10); END IF; RETURN NULL; END'; \
     CREATE CONSTRAINT TRIGGER late AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED \
     FOR EACH ROW EXECUTE FUNCTION linger()";

/// Loses a commit while it runs. The id of the transaction came back before, so the server can be asked.
async fn a_commit_that_is_lost_while_it_runs(loss: Loss, text: &str) -> CommitReport {
    let faulty = faulty::<(PostgresA,)>(&BindOptions::new()).await;
    let database = &faulty.world.databases[0];
    PostgresA::admin(database, SLOW_COMMIT).await;
    // The question for the id is prepared once on each connection.
    assert_eq!(
        faulty.attempt("warm").await.report(),
        CommitReport::COMMITTED
    );
    let mut admin = Admin::connect(database.url()).await;
    let lose = async {
        let sleeping = "SELECT pid::text AS value FROM pg_stat_activity \
                        WHERE wait_event = 'PgSleep' AND datname = current_database()";
        loop {
            if let [pid] = admin.values(sleeping).await.unwrap().as_slice() {
                return match loss {
                    Loss::Network => faulty.cut(),
                    Loss::Server => {
                        let terminate = format!("SELECT pg_terminate_backend({pid})");
                        admin.run(&terminate).await.unwrap();
                    }
                };
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let (attempt, ()) = tokio::join!(faulty.attempt(text), lose);
    let reported = faulty.judge(&attempt).await;
    faulty.assert_works_again(text).await;
    reported
}

#[derive(Clone, Copy)]
enum Loss {
    Network,
    Server,
}

/// Nothing waits for the commit any more, but it is not cancelled. A cancelled commit that waits for a standby would be
/// visible on one server only.
#[tokio::test]
async fn a_lone_commit_goes_on_without_its_network() {
    let reported = a_commit_that_is_lost_while_it_runs(Loss::Network, "slow").await;
    assert_eq!(reported, CommitReport::COMMITTED);
}

#[tokio::test]
async fn a_lone_commit_whose_server_process_ends_is_rolled_back() {
    let reported = a_commit_that_is_lost_while_it_runs(Loss::Server, "slower").await;
    assert_eq!(reported, CommitReport::ROLLED_BACK);
}

/// The commit of one bind alone is a unit of its own. Its record must not be taken for the decision of the rest.
#[tokio::test]
async fn the_record_of_one_bind_does_not_decide_the_rest_of_the_unit() {
    type Two = (PostgresA, PostgresB);
    let faulty = faulty::<Two>(&BindOptions::new().record_every_commit()).await;
    let mut session = faulty.world.binds.session();
    PostgresA::write(&session, "alone").await.unwrap();
    let alone = session.commit_only(PostgresA).await.unwrap();
    let database = &faulty.world.databases[0];
    assert_eq!(
        decision(database.url(), alone.unit()).await,
        Some(Outcome::Committed)
    );

    <Two as Sides>::write(&session, "both").await.unwrap();
    let unit = session.unit();
    let result = session.commit_all().await;
    let committed = result.is_ok();
    let attempt = kit::faulty::Attempt {
        unit,
        text: "both".into(),
        written: Ok(()),
        result,
    };
    faulty.judge(&attempt).await;
    assert!(committed, "{attempt:?}");
}

/// A pooler forwards the commit before it has the reply to the question that precedes it, and answers both with the
/// loss of its server. A real server would refuse the question, and then run no commit.
#[tokio::test]
async fn a_lone_commit_behind_a_pooler_that_lost_its_server_is_unknown() {
    let database = PostgresA::database().await;
    let network = Proxy::start(Server::PostgresA.url().as_str()).await;
    let behind = network.url(Server::PostgresA.url().as_str());
    let pooler = Pooler::leading_to(&Url::parse(&behind).unwrap(), 2);
    let builder = Binds::builder().namespace("pooled");
    let url = pooler.url(database.url());
    let builder =
        PostgresA::register(builder, &url, PoolKind::Deadpool, 1, BindOptions::new()).await;
    let binds = builder.build().unwrap();

    let mut session = binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    // From the first message of the commit on, no reply arrives.
    let never = Duration::from_secs(600);
    network.inject(Fault::after_message(1).delaying(never));
    let lose = async {
        while PostgresA::rows(&database).await.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        network.cut();
    };
    let (ended, ()) = tokio::join!(session.commit_all(), lose);
    assert!(
        matches!(ended, Err(CommitError::Unknown { .. })),
        "{ended:?}"
    );
}

/// A proxy that has lost its server goes on with a session that rolls back nothing, and reports a roll-back.
#[tokio::test]
async fn a_lone_commit_on_mariadb_that_another_session_rolls_back_is_unknown() {
    let database = MariadbA::database().await;
    let proxy = Rerouting::start(database.url(), b"SET autocommit = IF").await;
    let builder = Binds::builder().namespace("rerouted");
    let (url, options) = (proxy.url(database.url()), BindOptions::new());
    let builder = MariadbA::register(builder, &url, PoolKind::Deadpool, 1, options).await;
    let binds = builder.build().unwrap();
    let mut session = binds.session();
    MariadbA::write(&session, "kept").await.unwrap();
    let ended = session.commit_all().await;
    assert_eq!(MariadbA::rows(&database).await, ["kept"]);
    assert!(
        matches!(ended, Err(CommitError::Unknown { .. })),
        "{ended:?}"
    );
}
