//! Sessions in a transaction of the application: their units are savepoints, and that transaction is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection as _, TransactionManager};
use diesel_binds::error::{AbortReason, Fault};
use diesel_binds::{
    Bind, BindOptions, Binds, Commit, CommitError, Error, Isolation, OuterConnection, Propagation,
    Retry, Session, SessionOptions,
};
use futures_util::FutureExt as _;
use kit::database::Database;
use kit::side::{PoolKind, Side};

use crate::suite::polls::{Ran, at_every_poll};

type Connection<S> = <<S as Side>::Bind as Bind>::Connection;
type Manager<S> = <Connection<S> as AsyncConnection>::TransactionManager;

/// A database, its bind, and a connection in a transaction.
struct OuterTransaction<S: Side> {
    database: Database,
    binds: Binds,
    outer: OuterConnection<Connection<S>>,
}

impl<S: Side> OuterTransaction<S> {
    async fn new() -> Self {
        let database = S::database().await;
        let options = BindOptions::new();
        let builder = S::register(
            Binds::builder(),
            database.url(),
            PoolKind::Deadpool,
            1,
            options,
        );
        let mut connection = Connection::<S>::establish(database.url()).await.unwrap();
        Manager::<S>::begin_transaction(&mut connection)
            .await
            .unwrap();
        connection
            .batch_execute("INSERT INTO notes (text) VALUES ('outer')")
            .await
            .unwrap();
        Self {
            binds: builder.await.build().unwrap(),
            database,
            outer: OuterConnection::new(connection),
        }
    }

    fn options(&self) -> SessionOptions {
        SessionOptions::new().within(S::bind(), &self.outer)
    }

    fn session(&self) -> Session {
        self.binds.with(self.options()).session()
    }

    /// Returns the rows in the transaction.
    async fn within(&self) -> Vec<String> {
        let session = self.session();
        let rows = S::read(&session).await.unwrap();
        drop(session);
        rows
    }

    /// Returns the committed rows. After the commit, these are the rows that the transaction keeps.
    async fn committed(&self) -> Vec<String> {
        S::rows(&self.database).await
    }

    async fn commit(&self) {
        let mut connection = self.outer.lock().await.unwrap();
        Manager::<S>::commit_transaction(&mut *connection)
            .await
            .unwrap();
    }

    async fn roll_back(&self) {
        let mut connection = self.outer.lock().await.unwrap();
        Manager::<S>::rollback_transaction(&mut *connection)
            .await
            .unwrap();
    }
}

/// Asserts that a statement was refused because its outer connection is closed.
fn assert_closed<T: std::fmt::Debug>(refused: Result<T, Error>) {
    assert!(
        matches!(refused, Err(Error::OuterConnectionClosed { .. })),
        "{refused:?}"
    );
}

/// Counts the hooks that run: commits in tens, roll-backs in ones.
fn listen(session: &Session) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let (commits, roll_backs) = (Arc::clone(&calls), Arc::clone(&calls));
    session.after_commit(async move |_| {
        commits.fetch_add(10, Ordering::SeqCst);
    });
    session.after_rollback(async move |_| {
        roll_backs.fetch_add(1, Ordering::SeqCst);
    });
    calls
}

pub(crate) async fn the_outer_transaction_decides_what_is_kept<S: Side>() {
    for kept in [true, false] {
        let transaction = OuterTransaction::<S>::new().await;
        let mut session = transaction.session();
        for text in ["first", "second"] {
            S::write(&session, text).await.unwrap();
            let calls = listen(&session);
            let released = session.commit_all().await.unwrap();
            assert!(matches!(released, Commit::Released(_)), "{released:?}");
            assert!(released.committed().is_none() && released.gid().is_none());
            assert_eq!(released.binds(), [S::Bind::KEY]);
            // The unit is not committed.
            assert_eq!(calls.load(Ordering::SeqCst), 0);
            assert_eq!(transaction.committed().await, [""; 0]);
        }
        let (_, released) = transaction
            .binds
            .with(transaction.options())
            .transaction_with_commit::<_, Error, _>(async |session| {
                S::write(session, "third").await
            })
            .await
            .unwrap();
        assert!(matches!(released, Commit::Released(_)), "{released:?}");
        assert_eq!(
            transaction.within().await,
            ["outer", "first", "second", "third"]
        );
        match kept {
            true => transaction.commit().await,
            false => transaction.roll_back().await,
        }
        let expected: &[&str] = if kept {
            &["outer", "first", "second", "third"]
        } else {
            &[]
        };
        assert_eq!(transaction.committed().await, expected);
    }
}

pub(crate) async fn a_roll_back_goes_back_to_where_the_unit_began<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    for ending in ["rolled back", "dropped", "error", "closure", "savepoint"] {
        let mut session = transaction.session();
        S::write(&session, "gone").await.unwrap();
        let calls = listen(&session);
        match ending {
            "rolled back" => session.rollback_all().await.unwrap(),
            "error" => {
                S::write(&session, "gone").await.unwrap_err();
                session.rollback_all().await.unwrap();
            }
            "closure" => {
                session.rollback_all().await.unwrap();
                let failed = transaction
                    .binds
                    .with(transaction.options())
                    .transaction::<(), Error, _>(async |session| {
                        S::write(session, "gone").await?;
                        Err(Error::InsideUnit)
                    })
                    .await;
                failed.unwrap_err();
            }
            "savepoint" => {
                let undone = session
                    .savepoint::<(), Error, _>(async |session| {
                        S::write(session, "gone too").await?;
                        S::write(session, "gone").await?;
                        Ok(())
                    })
                    .await;
                undone.unwrap_err();
                assert_eq!(S::read(&session).await.unwrap(), ["outer", "gone"]);
                session.rollback_all().await.unwrap();
            }
            _ => {
                drop(session);
                assert_eq!(transaction.within().await, ["outer"], "{ending}");
                continue;
            }
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{ending}");
        assert_eq!(transaction.within().await, ["outer"], "{ending}");
    }
    transaction.commit().await;
    assert_eq!(transaction.committed().await, ["outer"]);
}

/// This holds for any state that the application leaves on its raw connection.
pub(crate) async fn a_unit_that_is_left_open_is_undone<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    let mut session = transaction.session();
    S::write(&session, "gone").await.unwrap();
    {
        let mut connection = session.connection(S::bind()).await.unwrap();
        let raw = connection.raw().unwrap();
        Manager::<S>::begin_transaction(raw).await.unwrap();
    }
    let refused = session.commit_all().await;
    assert!(
        matches!(
            refused,
            Err(CommitError::RolledBack {
                source: Fault::NestedTransaction,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(transaction.within().await, ["outer"]);
    transaction.commit().await;
    assert_eq!(transaction.committed().await, ["outer"]);
}

/// Later statements would commit by themselves.
pub(crate) async fn a_unit_whose_outer_transaction_is_gone_runs_nothing<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    let mut session = transaction.session();
    S::write(&session, "first").await.unwrap();
    {
        let mut connection = session.connection(S::bind()).await.unwrap();
        connection
            .raw()
            .unwrap()
            .batch_execute("COMMIT")
            .await
            .unwrap();
    }
    let refused = S::write(&session, "by itself").await;
    assert!(
        matches!(
            refused,
            Err(Error::AbortOnly {
                reason: AbortReason::TransactionEnded,
                ..
            })
        ),
        "{refused:?}"
    );
    let refused = session.commit_all().await;
    assert!(
        matches!(refused, Err(CommitError::TransactionEnded { .. })),
        "{refused:?}"
    );
    // The connection is closed, and no other unit begins there.
    let refused = S::write(&session, "by itself").await;
    assert_closed(refused);
    assert_eq!(transaction.committed().await, ["outer", "first"]);
    // A unit cannot begin either if the caller ended the transaction in text, which Diesel does not notice.
    let transaction = OuterTransaction::<S>::new().await;
    transaction
        .outer
        .lock()
        .await
        .unwrap()
        .batch_execute("COMMIT")
        .await
        .unwrap();
    let session = transaction.session();
    let refused = S::write(&session, "by itself").await;
    assert!(matches!(refused, Err(Error::Begin { .. })), "{refused:?}");
    drop(session);
    assert_eq!(transaction.committed().await, ["outer"]);
    // A unit cannot begin either on a connection without a transaction.
    let connection = Connection::<S>::establish(transaction.database.url())
        .await
        .unwrap();
    let outer = OuterConnection::new(connection);
    let mut session = transaction
        .binds
        .with(SessionOptions::new().within(S::bind(), &outer))
        .session();
    let refused = S::write(&session, "by itself").await;
    assert!(matches!(refused, Err(Error::Begin { .. })), "{refused:?}");
    session.rollback_all().await.unwrap();
    assert_eq!(transaction.committed().await, ["outer"]);
    // The connection was left unchanged: in a transaction, it can be released.
    Manager::<S>::begin_transaction(&mut *outer.lock().await.unwrap())
        .await
        .unwrap();
    S::write(&session, "second").await.unwrap();
    drop(session);
    drop(outer.lock().await.unwrap());
}

pub(crate) async fn options_that_cannot_hold_in_the_outer_transaction_are_refused<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    let second = Duration::from_secs(1);
    for (expected, options) in [
        (
            "isolation",
            transaction.options().isolation(Isolation::Serializable),
        ),
        ("deferrable", transaction.options().deferrable()),
        (
            "statement_timeout",
            transaction.options().statement_timeout(second),
        ),
        ("lock_timeout", transaction.options().lock_timeout(second)),
    ] {
        let session = transaction.binds.with(options).session();
        let refused = S::read(&session).await;
        assert!(
            matches!(refused, Err(Error::Unsupported { option, .. }) if option == expected),
            "{refused:?}"
        );
    }
    let mut session = transaction.session();
    S::write(&session, "unit").await.unwrap();
    let refused = session
        .transaction::<(), Error, _>(Propagation::New, async |_| Ok(()))
        .await;
    assert!(
        matches!(refused, Err(Error::Unsupported { .. })),
        "{refused:?}"
    );
    session.commit_all().await.unwrap();
    for propagation in [Propagation::New, Propagation::Never, Propagation::Join] {
        session
            .transaction::<(), Error, _>(propagation, async |session| {
                S::write(session, &format!("{propagation:?}")).await?;
                Ok(())
            })
            .await
            .unwrap();
    }
    assert_eq!(
        transaction.within().await,
        ["outer", "unit", "New", "Never", "Join"]
    );
    // While the caller has the connection, the unit waits no longer than for a pool.
    let held = transaction.outer.lock().await.unwrap();
    let options = transaction.options().deadline(Duration::from_millis(50));
    let session = transaction.binds.with(options).session();
    let late = S::read(&session).await;
    assert!(
        matches!(late, Err(Error::DeadlineExceeded { .. })),
        "{late:?}"
    );
    drop(held);
}

/// A server cannot make a part of a transaction read-only, so the unit is undone, whatever it did.
pub(crate) async fn a_unit_that_only_reads_leaves_nothing<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    let mut session = transaction
        .binds
        .with(transaction.options().read_only())
        .session();
    let refused = S::write(&session, "refused").await;
    assert!(
        matches!(refused, Err(Error::ReadOnly { .. })),
        "{refused:?}"
    );
    assert_eq!(S::read(&session).await.unwrap(), ["outer"]);
    let insert = "INSERT INTO notes (text) VALUES ('undone')";
    S::read_sql(&session, insert).await.unwrap();
    let released = session.commit_all().await.unwrap();
    assert!(matches!(released, Commit::Released(_)), "{released:?}");
    assert_eq!(transaction.within().await, ["outer"]);
}

/// A retry is the responsibility of the transaction's owner.
pub(crate) async fn a_unit_within_an_outer_transaction_is_not_run_again<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    // The statement of the unit fails with a conflict.
    let runs = AtomicUsize::new(0);
    let failed = transaction
        .binds
        .with(transaction.options())
        .retrying(Retry::new())
        .transaction::<(), Error, _>(async |session| {
            runs.fetch_add(1, Ordering::SeqCst);
            S::sql(session, conflict::<S>()).await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!((failed.attempts(), runs.into_inner()), (1, 1));
}

/// Returns a statement that fails like a deadlock.
fn conflict<S: Side>() -> &'static str {
    if S::Bind::KEY.starts_with("pg") {
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'as in a conflict'; END $$"
    } else {
        "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"
    }
}

/// A dropped commit goes on: the transaction has the whole unit, or nothing of it.
pub(crate) async fn a_commit_dropped_at_any_poll_is_whole<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    let number = AtomicUsize::new(0);
    at_every_poll(async |moment| {
        let text = format!("text {}", number.fetch_add(1, Ordering::SeqCst));
        let mut session = transaction.session();
        S::write(&session, &text).await.unwrap();
        let output = moment.cut(session.commit_all()).await;
        drop(session);
        let within = transaction.within().await;
        assert_eq!(
            within.contains(&text),
            !moment.is_before_all(),
            "{moment:?}"
        );
        Ran::from(&output)
    })
    .await;
    let within = transaction.within().await;
    transaction.commit().await;
    assert_eq!(transaction.committed().await, within);
}

/// After a dropped statement, the connection is closed, and nothing is kept.
pub(crate) async fn a_dropped_statement_ends_the_outer_transaction<S: Side>() {
    let transaction = OuterTransaction::<S>::new().await;
    let mut session = transaction.session();
    S::write(&session, "gone").await.unwrap();
    assert!(S::sql(&session, S::SLOW).now_or_never().is_none());
    session.commit_all().await.unwrap_err();
    let refused = S::write(&session, "more").await;
    assert_closed(refused);
    drop(session);
    let OuterTransaction {
        database, outer, ..
    } = transaction;
    // The dropped statement is cleaned up in the background.
    assert!(outer.lock().await.is_none());
    assert!(outer.into_inner().is_none());
    assert_eq!(S::rows(&database).await, [""; 0]);
}

/// The first statement includes those of the library. None of their replies is left for the owner of the connection.
pub(crate) async fn a_first_statement_dropped_at_any_poll_leaves_no_reply_behind<S: Side>() {
    at_every_poll(async |moment| {
        let transaction = OuterTransaction::<S>::new().await;
        let mut session = transaction.session();
        let output = moment.cut(S::write(&session, "gone")).await;
        let _ = session.rollback_all().await;
        drop(session);
        if let Some(mut connection) = transaction.outer.lock().await {
            assert_eq!(S::echo_raw(&mut connection, 7).await, Ok(7), "{moment:?}");
        }
        Ran::from(&output)
    })
    .await;
}

/// The owner of the transaction may commit it in text, which Diesel does not notice, unless the connection was closed.
pub(crate) async fn work_that_was_not_undone_is_never_reported_as_rolled_back<S: Side>() {
    for writes in [true, false] {
        let transaction = OuterTransaction::<S>::new().await;
        let mut session = transaction.session();
        if writes {
            S::write(&session, "perhaps").await.unwrap();
            assert!(S::sql(&session, S::SLOW).now_or_never().is_none());
        } else {
            S::read(&session).await.unwrap();
            // On a file, the reply may be there at once.
            while S::read(&session).now_or_never().is_some() {}
        }
        let ended = session.commit_all().await.unwrap_err();
        drop(session);
        let OuterTransaction {
            database, outer, ..
        } = transaction;
        if let Some(mut connection) = outer.lock().await {
            let _ = connection.batch_execute("COMMIT").await;
        }
        drop(outer);
        let kept = S::rows(&database).await.contains(&"perhaps".to_owned());
        assert!(!(kept && ended.is_rolled_back()), "{ended:?}");
        assert_eq!(ended.is_rolled_back(), !writes, "{ended:?}");
    }
}

pub(crate) async fn two_binds_within_outer_transactions_are_kept_or_undone_together<
    A: Side,
    B: Side,
>() {
    let (one, two) = (
        OuterTransaction::<A>::new().await,
        OuterTransaction::<B>::new().await,
    );
    let builder = Binds::builder().namespace("outer");
    let pool = PoolKind::Deadpool;
    let builder = A::register(builder, one.database.url(), pool, 1, BindOptions::new()).await;
    let builder = B::register(builder, two.database.url(), pool, 1, BindOptions::new()).await;
    let binds = builder.build().unwrap();
    // A bind that did not join has no connection.
    let session = binds.with(one.options()).session();
    A::write(&session, "gone").await.unwrap();
    let refused = B::write(&session, "refused").await;
    assert!(
        matches!(refused, Err(Error::NoOuterConnection { bind }) if bind == B::Bind::KEY),
        "{refused:?}"
    );
    drop(session);

    let mut session = binds
        .with(one.options().within(B::bind(), &two.outer))
        .session();
    A::write(&session, "kept").await.unwrap();
    B::write(&session, "kept").await.unwrap();
    let released = session.commit_all().await.unwrap();
    assert!(matches!(&released, Commit::Released(it) if it.binds().len() == 2));

    // One of them cannot be released.
    A::write(&session, "gone").await.unwrap();
    B::write(&session, "gone").await.unwrap();
    {
        let mut connection = session.connection(B::bind()).await.unwrap();
        Manager::<B>::begin_transaction(connection.raw().unwrap())
            .await
            .unwrap();
    }
    let refused = session.commit_all().await.unwrap_err();
    assert!(refused.is_rolled_back(), "{refused:?}");
    assert_eq!(one.within().await, ["outer", "kept"]);
    assert_eq!(two.within().await, ["outer", "kept"]);
    one.commit().await;
    two.roll_back().await;
    assert_eq!(one.committed().await, ["outer", "kept"]);
    assert_eq!(two.committed().await, [""; 0]);
}
