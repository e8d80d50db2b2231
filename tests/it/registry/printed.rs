//! The output of `fn main() -> Result<(), Error>`, `unwrap` and `expect` for an error: its `Debug`.

use diesel::prelude::*;
use diesel_binds::{Binds, CommitError, Error, Retry, RunQueryDsl, Source};

use crate::registry::binds::{Accounts, Cache, NOWHERE_POSTGRES, account, hit};

/// Formats an error like `main`, with its own type and boxed.
fn printed(error: impl std::error::Error + 'static) -> String {
    let text = format!("{error:?}");
    let boxed: Box<dyn std::error::Error> = Box::new(error);
    assert_eq!(format!("{boxed:?}"), text);
    text
}

#[tokio::test]
async fn a_query_that_failed_is_printed_with_what_the_database_said() {
    let binds = Binds::builder()
        .bind(Cache, Source::url("file:printed?mode=memory&cache=shared"))
        .build()
        .unwrap();
    let session = binds.session();
    let error = hit::table
        .select(hit::id)
        .load::<i32>(&session)
        .await
        .unwrap_err();
    // The structure is still available.
    let structure = format!("{error:#?}");
    assert!(structure.starts_with("Query {\n"), "{structure}");
    assert!(structure.contains("bind: \"cache\""), "{structure}");
    assert!(structure.contains("DatabaseError("), "{structure}");
    assert_eq!(
        printed(error),
        "a query on `cache` failed: no such table: hit"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_printed_with_its_cause_and_without_its_password() {
    let binds = Binds::builder()
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .build()
        .unwrap();
    let session = binds.session();
    let result = account::table
        .select(account::id)
        .load::<i32>(&session)
        .await;
    let text = printed(result.unwrap_err());
    assert_eq!(
        text,
        "the pool of `accounts` gave no connection: no connection could be opened: error connecting to server: \
         Connection refused (os error 111)"
    );
}

#[tokio::test]
async fn a_commit_is_printed_as_what_became_of_the_unit() {
    let text = "the session belongs to a `transaction` or `savepoint`, which ends it by its result; the unit is still open";
    assert_eq!(printed(CommitError::InsideTransaction), text);
    assert_eq!(printed(Error::from(CommitError::InsideTransaction)), text);
    let structure = format!("{:#?}", Error::from(CommitError::InsideTransaction));
    assert_eq!(structure, "Commit(\n    InsideTransaction,\n)");
    let binds = Binds::builder()
        .bind(Cache, Source::url("file:printed?mode=memory&cache=shared"))
        .build()
        .unwrap();
    let retried = binds
        .retrying(Retry::new())
        .transaction::<(), Error, _>(async |_| Err(Error::ScopeEnded))
        .await
        .unwrap_err();
    assert!(printed(retried).ends_with("must not be run again: the scope of this session has ended; its uncommitted work is rolled back, and the call had no effect: join tasks before the scope ends"));
}

#[test]
fn every_mistake_in_a_registry_is_printed_as_a_sentence() {
    let error = Binds::builder().build().unwrap_err();
    assert!(format!("{error:#?}").contains("Empty"));
    assert_eq!(
        printed(error),
        "the binds cannot be built; no bind is registered"
    );
}
