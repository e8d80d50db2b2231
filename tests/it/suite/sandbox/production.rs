//! A sandbox refuses the same operations as the real databases, with the same errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::testing::{FaultPlan, Sandbox, SandboxError};
use diesel_binds::{
    BindOptions, Binds, Commit, CommitError, Error, Isolation, RecoveryOptions, SessionOptions,
};
use kit::side::{PoolKind, Side};

use super::{Outside, within};

/// Returns both databases, and a sandbox with both.
async fn pair<A: Side, B: Side>(options: &BindOptions) -> (Outside<A>, Outside<B>, Binds, Sandbox) {
    let (a, b) = (Outside::<A>::new().await, Outside::<B>::new().await);
    let builder = Binds::builder()
        .namespace("sandbox")
        .recovery(RecoveryOptions::new().without_worker());
    let (pool, urls) = (PoolKind::Deadpool, [a.database.url(), b.database.url()]);
    let builder = A::register(builder, urls[0], pool, 1, options.clone()).await;
    let builder = B::register(builder, urls[1], pool, 1, options.clone()).await;
    let binds = builder.build().unwrap();
    let sandbox = Sandbox::of(&binds).bind(A::bind()).bind(B::bind());
    let sandbox = sandbox.start().await.unwrap();
    (a, b, binds, sandbox)
}

pub(crate) async fn two_binds_are_kept_or_undone_together<A: Side, B: Side>() {
    let (a, b, binds, sandbox) = pair::<A, B>(&BindOptions::new()).await;
    let mut session = sandbox.binds().session();
    for (text, commits) in [("kept", true), ("gone", false)] {
        A::write(&session, text).await.unwrap();
        B::write(&session, text).await.unwrap();
        match commits {
            true => {
                let committed = session.commit_all().await.unwrap();
                assert_eq!(committed.binds().len(), 2);
            }
            false => session.rollback_all().await.unwrap(),
        }
        assert_eq!(within::<A>(&sandbox).await, ["there", "kept"]);
        assert_eq!(within::<B>(&sandbox).await, ["there", "kept"]);
    }
    // A veto undoes the unit on both.
    A::write(&session, "vetoed").await.unwrap();
    B::write(&session, "vetoed").await.unwrap();
    session.before_commit(async |_| Err::<(), _>("no"));
    let vetoed = session.commit_all().await;
    assert!(
        matches!(vetoed, Err(CommitError::Vetoed { .. })),
        "{vetoed:?}"
    );
    assert_eq!(within::<A>(&sandbox).await, ["there", "kept"]);
    assert_eq!(within::<B>(&sandbox).await, ["there", "kept"]);
    // A query on an undeclared bind is an error.
    let less = Sandbox::of(&binds).bind(B::bind()).start().await.unwrap();
    let session = less.binds().session();
    let undeclared = A::read(&session).await.unwrap_err();
    assert!(
        matches!(undeclared, Error::Sandbox(SandboxError::Undeclared { .. })),
        "{undeclared:?}"
    );
    assert_eq!(undeclared.bind(), Some(key::<A>()));
    drop(session);
    less.end().await.unwrap();
    sandbox.end().await.unwrap();
    assert_eq!(a.kept().await, ["there"]);
    assert_eq!(b.kept().await, ["there"]);
}

/// Neither bind can prepare.
pub(crate) async fn two_that_cannot_commit_as_one_are_refused<A: Side, B: Side>() {
    let (_a, _b, _binds, sandbox) = pair::<A, B>(&BindOptions::new().never_prepare()).await;
    let mut session = sandbox.binds().session();
    A::write(&session, "one").await.unwrap();
    let refused = B::write(&session, "two").await;
    assert!(
        matches!(refused, Err(Error::NotAtomic { .. })),
        "{refused:?}"
    );
    session.commit_all().await.unwrap();
    // One of them may always write. A best-effort commit accepts both.
    B::write(&session, "two").await.unwrap();
    session.commit_all().await.unwrap();
    let options = SessionOptions::new().best_effort();
    let mut session = sandbox.binds().with(options).session();
    A::write(&session, "both").await.unwrap();
    B::write(&session, "both").await.unwrap();
    let released = session.commit_all().await.unwrap();
    assert!(matches!(released, Commit::Released(_)), "{released:?}");
    // A write that only the commit finds.
    drop(session);
    let mut session = sandbox.binds().session();
    let insert = "INSERT INTO notes (text) VALUES ('found')";
    B::read_sql(&session, insert).await.unwrap();
    A::write(&session, "found").await.unwrap();
    let refused = session.commit_all().await;
    assert!(
        matches!(refused, Err(CommitError::NotAtomic { .. })),
        "{refused:?}"
    );
    drop(session);
    let expected = ["there", "two", "both"];
    assert_eq!(within::<B>(&sandbox).await, expected);
    sandbox.end().await.unwrap();
}

/// Units of several writers need the library's tables, as on the real databases.
pub(crate) async fn several_writers_need_the_tables_of_the_protocol<A: Side, B: Side>() {
    let (a, b) = (Outside::<A>::new().await, Outside::<B>::new().await);
    B::admin(&b.database, "DROP TABLE diesel_binds_meta").await;
    let builder = Binds::builder()
        .namespace("sandbox")
        .recovery(RecoveryOptions::new().without_worker());
    let (pool, options) = (PoolKind::Deadpool, BindOptions::new());
    let builder = A::register(builder, a.database.url(), pool, 1, options.clone()).await;
    let builder = B::register(builder, b.database.url(), pool, 1, options).await;
    let binds = builder.build().unwrap();
    let sandbox = Sandbox::of(&binds).bind(A::bind()).bind(B::bind());
    let sandbox = sandbox.start().await.unwrap();
    for binds in [&binds, sandbox.binds()] {
        let mut session = binds.session();
        A::write(&session, "one").await.unwrap();
        B::write(&session, "two").await.unwrap();
        let refused = session.commit_all().await;
        assert!(
            matches!(
                refused,
                Err(CommitError::RolledBack {
                    source: Fault::NotInstalled(_),
                    ..
                })
            ),
            "{refused:?}"
        );
        B::write(&session, "three").await.unwrap();
        session.rollback_all().await.unwrap();
    }
    assert_eq!(within::<A>(&sandbox).await, ["there"]);
    assert_eq!(within::<B>(&sandbox).await, ["there"]);
    sandbox.end().await.unwrap();
}

pub(crate) async fn options_that_a_savepoint_cannot_have_are_refused<S: Side>() {
    let outside = Outside::<S>::new().await;
    let second = Duration::from_secs(1);
    let refused_options = [
        (
            "isolation",
            SessionOptions::new().isolation(Isolation::Serializable),
        ),
        (
            "statement_timeout",
            SessionOptions::new().statement_timeout(second),
        ),
        ("lock_timeout", SessionOptions::new().lock_timeout(second)),
    ];
    let sandbox = outside.sandbox().await;
    for (name, options) in refused_options.clone() {
        let session = sandbox.binds().with(options.clone()).session();
        let read = S::read(&session).await;
        // On the copy of a file, the options hold.
        let real = S::read(&outside.binds.with(options).session()).await;
        match key::<S>().starts_with("lite") {
            true => assert_eq!(read.is_ok(), real.is_ok()),
            false => assert!(
                matches!(read, Err(Error::Unsupported { option, .. }) if option == name),
                "{read:?}"
            ),
        }
    }
    sandbox.end().await.unwrap();
    let builder = Sandbox::of(&outside.binds)
        .bind(S::bind())
        .ignoring_settings();
    let sandbox = builder.start().await.unwrap();
    for (_, options) in refused_options {
        let session = sandbox.binds().with(options.clone()).session();
        let real = S::read(&outside.binds.with(options).session()).await;
        assert_eq!(S::read(&session).await.is_ok(), real.is_ok());
    }
    // Options that the database does not support at all stay an error.
    let session = sandbox
        .binds()
        .with(SessionOptions::new().deferrable())
        .session();
    let refused = S::read(&session).await;
    assert!(
        matches!(refused, Err(Error::Unsupported { .. })),
        "{refused:?}"
    );
    sandbox.end().await.unwrap();
}

pub(crate) async fn a_read_only_unit_writes_nothing<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox
        .binds()
        .with(SessionOptions::new().read_only())
        .session();
    let refused = S::write(&session, "refused").await;
    assert!(
        matches!(refused, Err(Error::ReadOnly { .. })),
        "{refused:?}"
    );
    let insert = "INSERT INTO notes (text) VALUES ('undone')";
    let read = S::read_sql(&session, insert).await;
    // The server refuses the write, if it can make a part of a transaction read-only.
    assert_eq!(read.is_err(), !key::<S>().starts_with("my"), "{read:?}");
    let _ = session.rollback_all().await;
    let session = sandbox.binds().session();
    S::write(&session, "written").await.unwrap();
    drop(session);
    assert_eq!(within::<S>(&sandbox).await, ["there"]);
    sandbox.end().await.unwrap();
    // A read-only bind, in a sandbox, keeps no write either.
    let outside = Outside::<S>::on(PoolKind::Deadpool, BindOptions::new().read_only()).await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    let refused = S::write(&session, "refused").await;
    assert!(
        matches!(refused, Err(Error::ReadOnly { .. })),
        "{refused:?}"
    );
    S::read_sql(&session, insert).await.unwrap_err();
    let _ = session.rollback_all().await;
    assert_eq!(within::<S>(&sandbox).await, ["there"]);
    sandbox.end().await.unwrap();
}

/// A sandbox has no commit that could fail as planned, so none may seem to have worked.
pub(crate) async fn a_plan_of_faults_is_refused<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let plan: FaultPlan = FaultPlan::new();
    let mut session = sandbox
        .binds()
        .with(SessionOptions::new().faults(&plan))
        .session();
    S::write(&session, "gone").await.unwrap();
    let refused = session.commit_all().await;
    assert!(
        matches!(
            &refused,
            Err(CommitError::RolledBack { source: Fault::Sandbox(error), .. })
                if matches!(**error, SandboxError::RealDatabase)
        ),
        "{refused:?}"
    );
    assert_eq!(within::<S>(&sandbox).await, ["there"]);
    sandbox.end().await.unwrap();
}

/// The database of the application would get another id.
pub(crate) async fn a_new_id_is_refused<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let refused = sandbox.binds().renew_identity(key::<S>()).await;
    assert!(
        matches!(&refused, Err(Fault::Sandbox(error)) if matches!(**error, SandboxError::RealDatabase)),
        "{refused:?}"
    );
    sandbox.end().await.unwrap();
}

/// By default the hooks run. If the test requests it, they are captured for it.
pub(crate) async fn hooks_run_or_are_captured<S: Side>() {
    let outside = Outside::<S>::new().await;
    let listen = |session: &diesel_binds::Session| {
        let calls = Arc::new(AtomicUsize::new(0));
        let (commits, roll_backs) = (Arc::clone(&calls), Arc::clone(&calls));
        session.after_commit(async move |released: Commit| {
            assert!(matches!(released, Commit::Released(_)), "{released:?}");
            commits.fetch_add(10, Ordering::SeqCst);
            Err::<(), _>("no mail today")
        });
        session.after_rollback(async move |_| {
            roll_backs.fetch_add(1, Ordering::SeqCst);
        });
        calls
    };
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    S::write(&session, "one").await.unwrap();
    let calls = listen(&session);
    let committed = session.commit_all().await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 10);
    assert_eq!(committed.hook_failures().len(), 1);
    S::write(&session, "two").await.unwrap();
    let calls = listen(&session);
    session.rollback_all().await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    sandbox.end().await.unwrap();

    let builder = Sandbox::of(&outside.binds).bind(S::bind()).capture_hooks();
    let sandbox = builder.start().await.unwrap();
    let mut session = sandbox.binds().session();
    S::write(&session, "one").await.unwrap();
    let calls = listen(&session);
    let committed = session.commit_all().await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(committed.hook_failures().is_empty());
    S::write(&session, "two").await.unwrap();
    let rolled_back = listen(&session);
    session.rollback_all().await.unwrap();
    assert_eq!(rolled_back.load(Ordering::SeqCst), 1);
    assert_eq!(sandbox.captured_hooks(), 1);
    let failures = sandbox.run_captured_hooks().await.unwrap_err();
    assert_eq!((failures.len(), calls.load(Ordering::SeqCst)), (1, 10));
    assert_eq!(sandbox.run_captured_hooks().await.unwrap(), 0);
    sandbox.end().await.unwrap();
}

fn key<S: Side>() -> &'static str {
    <S::Bind as diesel_binds::Bind>::KEY
}
