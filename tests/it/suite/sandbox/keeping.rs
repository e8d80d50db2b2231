//! A sandbox keeps nothing, whatever the application does. Within it, everything works as usual.

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::testing::SandboxError;
use diesel_binds::{BindOptions, Commit, CommitError, Error, Propagation, Retry};
use kit::side::{PoolKind, Side};

use super::{Outside, within};

pub(crate) async fn units_see_each_other_and_nobody_else_sees_them<S: Side>() {
    for pool in [PoolKind::Deadpool, PoolKind::Bb8] {
        let outside = Outside::<S>::on(pool, BindOptions::new()).await;
        let sandbox = outside.sandbox().await;
        let mut session = sandbox.binds().session();
        for text in ["first", "second"] {
            S::write(&session, text).await.unwrap();
            let released = session.commit_all().await.unwrap();
            assert!(matches!(released, Commit::Released(_)), "{released:?}");
            assert_eq!(outside.kept().await, ["there"]);
        }
        sandbox
            .binds()
            .transaction::<(), Error, _>(async |session| {
                S::write(session, "third").await?;
                Ok(())
            })
            .await
            .unwrap();
        sandbox
            .binds()
            .retrying(Retry::new())
            .transaction::<(), Error, _>(async |session| {
                S::write(session, "fourth").await?;
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(
            within::<S>(&sandbox).await,
            ["there", "first", "second", "third", "fourth"]
        );
        sandbox.end().await.unwrap();
        assert_eq!(outside.kept().await, ["there"]);
        // The application goes on as usual.
        let mut session = outside.binds.session();
        S::write(&session, "real").await.unwrap();
        let real = session.commit_all().await.unwrap();
        assert!(matches!(real, Commit::Committed(_)), "{real:?}");
        assert_eq!(outside.kept().await, ["there", "real"]);
    }
}

pub(crate) async fn a_roll_back_restores<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    for ending in [
        "rolled back",
        "dropped",
        "error",
        "closure",
        "savepoint",
        "panic",
    ] {
        let mut session = sandbox.binds().session();
        S::write(&session, "gone").await.unwrap();
        match ending {
            "rolled back" => session.rollback_all().await.unwrap(),
            "error" => {
                S::write(&session, "gone").await.unwrap_err();
                session.rollback_all().await.unwrap();
            }
            "closure" => {
                drop(session);
                let failed = sandbox
                    .binds()
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
                assert_eq!(S::read(&session).await.unwrap(), ["there", "kept", "gone"]);
                session.rollback_all().await.unwrap();
            }
            "panic" => {
                let panicking = tokio::spawn(async move {
                    let _session = session;
                    panic!("of the application");
                });
                assert!(panicking.await.unwrap_err().is_panic());
            }
            _ => drop(session),
        }
        assert_eq!(within::<S>(&sandbox).await, ["there", "kept"], "{ending}");
    }
    // A dropped sandbox closes its binds, and all clones of them.
    let binds = sandbox.binds().clone();
    drop(sandbox);
    S::read(&binds.session()).await.unwrap_err();
    assert_eq!(outside.kept().await, ["there"]);
}

/// The application tries to end the transaction in every way, and writes afterwards.
pub(crate) async fn nothing_escapes_by_statements_of_the_application<S: Side>() {
    let write = "INSERT INTO notes (text) VALUES ('escaped')";
    let both = |end: &str| format!("{end}; {write}");
    let mut attempts: Vec<String> = ["COMMIT", "ROLLBACK", "END", "COMMIT AND CHAIN"]
        .into_iter()
        .flat_map(|end| [end.to_owned(), both(end), format!("{write}; {end}")])
        .collect();
    attempts.extend([
        both("SET CONSTRAINTS ALL IMMEDIATE; COMMIT"),
        both("COMMIT /* SET CONSTRAINTS */"),
        both("PREPARE TRANSACTION 'mine'"),
        both("START TRANSACTION"),
        both("SET autocommit = 1"),
        both("CREATE TABLE escaped (id INTEGER)"),
        both("TRUNCATE TABLE notes"),
        both("LOCK TABLES notes WRITE"),
    ]);
    let outside = Outside::<S>::new().await;
    for attempt in attempts {
        for raw in [true, false] {
            let sandbox = outside.sandbox().await;
            let mut session = sandbox.binds().session();
            S::write(&session, "before").await.unwrap();
            if raw {
                let mut connection = session.connection(S::bind()).await.unwrap();
                let _ = connection.raw().unwrap().batch_execute(&attempt).await;
            } else {
                let _ = S::sql(&session, &attempt).await;
            }
            let _ = S::write(&session, "after").await;
            let _ = session.commit_all().await;
            let session = sandbox.binds().session();
            let _ = S::write(&session, "later").await;
            drop(session);
            let _ = sandbox.end().await;
            assert_eq!(outside.kept().await, ["there"], "{attempt}, raw: {raw}");
        }
    }
}

/// The application gets the error at the statement, the commit, and the end.
pub(crate) async fn a_commit_of_the_application_is_an_error<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    S::write(&session, "before").await.unwrap();
    let said = S::sql(&session, "COMMIT").await;
    let kind = S::Bind::KEY_KIND;
    match kind {
        Kind::Postgres => {
            let error = said.unwrap_err();
            let message = error.diesel().unwrap().to_string();
            assert!(message.contains("a sandbox never commits"), "{message}");
            let ended = session.commit_all().await;
            assert!(
                matches!(ended, Err(CommitError::TransactionEnded { .. })),
                "{ended:?}"
            );
            let lost = S::read(&session).await;
            assert!(
                matches!(lost, Err(Error::Sandbox(SandboxError::Lost { .. }))),
                "{lost:?}"
            );
            drop(session);
            let ended = sandbox.end().await;
            assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
        }
        // The server refuses the `COMMIT`, and the branch stays open.
        Kind::Mariadb => {
            said.unwrap_err();
            session.commit_all().await.unwrap();
            assert_eq!(within::<S>(&sandbox).await, ["there", "before"]);
            sandbox.end().await.unwrap();
        }
        // The statement has committed to the copy, as it would to the file itself.
        Kind::Sqlite => {
            said.unwrap();
            let ended = session.commit_all().await;
            assert!(
                matches!(ended, Err(CommitError::TransactionEnded { .. })),
                "{ended:?}"
            );
            assert_eq!(within::<S>(&sandbox).await, ["there", "before"]);
            sandbox.end().await.unwrap();
        }
    }
    assert_eq!(outside.kept().await, ["there"]);
}

pub(crate) async fn one_unit_at_a_time_has_the_connection<S: Side>() {
    let outside = Outside::<S>::waiting(
        PoolKind::Deadpool,
        BindOptions::new(),
        std::time::Duration::from_secs(2),
    )
    .await;
    let sandbox = outside.sandbox().await;
    let mut first = sandbox.binds().session();
    S::write(&first, "first").await.unwrap();
    let mut second = sandbox.binds().session();
    let late = S::read(&second).await;
    assert!(
        matches!(
            late,
            Err(Error::Sandbox(SandboxError::OneConnection { .. }))
        ),
        "{late:?}"
    );
    second.rollback_all().await.unwrap();
    // The second session waits for the first, and then sees its writes.
    let (read, committed) = tokio::join!(S::read(&second), async {
        tokio::task::yield_now().await;
        first.commit_all().await
    });
    let _ = committed.unwrap();
    assert_eq!(read.unwrap(), ["there", "first"]);
    drop(second);
    S::write(&first, "second").await.unwrap();
    let new = first
        .transaction::<(), Error, _>(Propagation::New, async |_| Ok(()))
        .await;
    assert!(matches!(new, Err(Error::Unsupported { .. })), "{new:?}");
    // A session that is still open has an error of its own.
    let open = sandbox.end().await;
    assert!(
        matches!(open, Err(SandboxError::StillOpen { .. })),
        "{open:?}"
    );
    drop(first);
    assert_eq!(outside.kept().await, ["there"]);
}

/// On a server, the outer transaction ends with the connection. A copy is opened again.
pub(crate) async fn a_statement_dropped_before_its_reply_is_reported<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    S::write(&session, "first").await.unwrap();
    session.commit_all().await.unwrap();
    {
        let mut slow = Box::pin(S::sql(&session, S::SLOW));
        assert!(futures_util::poll!(&mut slow).is_pending());
    }
    drop(session);
    let session = sandbox.binds().session();
    let read = loop {
        match S::read(&session).await {
            // The earlier connection is still being closed.
            Err(Error::Sandbox(SandboxError::OneConnection { .. })) => {}
            read => break read,
        }
    };
    drop(session);
    if S::Bind::KEY_KIND == Kind::Sqlite {
        assert_eq!(read.unwrap(), ["there", "first"]);
        sandbox.end().await.unwrap();
    } else {
        assert!(
            matches!(read, Err(Error::Sandbox(SandboxError::Lost { .. }))),
            "{read:?}"
        );
        let ended = sandbox.end().await;
        assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    }
    assert_eq!(outside.kept().await, ["there"]);
}

/// Operations on the real database are refused.
pub(crate) async fn the_real_database_is_out_of_reach<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let binds = sandbox.binds();
    let installed = binds.install().await.unwrap_err();
    assert!(
        said(&installed).contains("these are the binds of a sandbox"),
        "{}",
        said(&installed)
    );
    let checked = binds.check().await;
    assert!(
        checked
            .to_string()
            .contains("these are the binds of a sandbox"),
        "{checked}"
    );
    assert_eq!(checked.severity(), diesel_binds::check::Severity::Error);
    let recovered = format!("{:?}", binds.recovery().run().await);
    assert!(
        recovered.contains("these are the binds of a sandbox"),
        "{recovered}"
    );
    sandbox.end().await.unwrap();
}

/// Returns the message of an error with those of its causes.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The kind of a database, by the key of its bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Mariadb,
    Sqlite,
}

/// Has the kind of the database of a side.
pub(crate) trait HasKind {
    const KEY_KIND: Kind;
}

impl<B: diesel_binds::Bind> HasKind for B {
    const KEY_KIND: Kind = match B::KEY.as_bytes()[0] {
        b'p' => Kind::Postgres,
        b'm' => Kind::Mariadb,
        _ => Kind::Sqlite,
    };
}
