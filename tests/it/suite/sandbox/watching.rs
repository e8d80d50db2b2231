//! The queries of its binds that a test can read.

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::Error;
use kit::side::Side;

use super::Outside;

pub(crate) async fn the_queries_of_the_application_are_told_apart_from_ours<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    assert!(sandbox.queries(S::bind()).is_empty());
    let mut session = sandbox.binds().session();
    S::write(&session, "one").await.unwrap();
    session
        .savepoint::<(), Error, _>(async |session| {
            S::rename(session, "one", "two").await?;
            Ok(())
        })
        .await
        .unwrap();
    // A query that fails counts as well.
    S::write(&session, "there").await.unwrap_err();
    session.rollback_all().await.unwrap();
    let queries = sandbox.queries(S::bind());
    let words: Vec<&str> = queries
        .iter()
        .map(|query| query.split(' ').next().unwrap())
        .collect();
    assert_eq!(words, ["INSERT", "UPDATE", "INSERT"], "{queries:?}");
    assert!(!queries.concat().contains("there"), "{queries:?}");
    sandbox.clear_queries();
    S::read(&session).await.unwrap();
    {
        let mut connection = session.connection(S::bind()).await.unwrap();
        S::echo_on(&connection, 1).await.unwrap();
        let raw = connection.raw().unwrap();
        raw.batch_execute("UPDATE notes SET text = 'raw'")
            .await
            .unwrap();
        S::echo_raw(raw, 2).await.unwrap();
    }
    S::read(&session).await.unwrap();
    session.commit_all().await.unwrap();
    let queries = sandbox.queries(S::bind());
    assert_eq!(queries.len(), 5, "{queries:?}");
    assert_eq!(queries[2], "UPDATE notes SET text = 'raw'");
    assert_eq!(queries[0], queries[4]);
    sandbox.end().await.unwrap();
}
