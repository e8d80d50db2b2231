//! Units that a process left prepared are finished by another one, as their holder has recorded.

mod suite;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection,
};
use diesel_binds::{BindOptions, Binds, Gid, Outcome, UnitId};

use crate::suite::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use crate::suite::world::{Sides, World};
use crate::support::database::Database;

/// What a process that died had got done on the holder.
#[derive(Clone, Copy, Debug)]
enum Left {
    Undecided,
    Committed,
}

/// Leaves a branch behind as a process does that dies between two steps of a commit.
async fn prepare_postgres(database: &Database, gid: &Gid) {
    let mut connection = AsyncPgConnection::establish(database.url()).await.unwrap();
    connection
        .batch_execute(&format!(
            "BEGIN; INSERT INTO notes (text) VALUES ('{}'); PREPARE TRANSACTION '{gid}:pg-a'",
            gid.unit()
        ))
        .await
        .unwrap();
}

/// The same on MariaDB. The connection is returned: while it lives, nobody else can finish its branch.
async fn prepare_mariadb(database: &Database, gid: &Gid) -> AsyncMysqlConnection {
    let mut connection = AsyncMysqlConnection::establish(database.url())
        .await
        .unwrap();
    let (unit, holder) = (gid.unit(), gid.holder());
    let holder_id = gid.to_string().rsplit(':').next().unwrap().to_owned();
    let xid = format!("'{}:{unit}','my-a',1145188401", gid.namespace());
    connection
        .batch_execute(&format!(
            "XA START {xid}; INSERT INTO notes (text) VALUES ('{unit}'); \
             INSERT INTO diesel_binds_branch (unit, branch, holder, holder_id, connection_id) \
             VALUES ('{unit}', 'my-a', '{holder}', '{holder_id}', CONNECTION_ID()); XA END {xid}; XA PREPARE {xid}"
        ))
        .await
        .unwrap();
    connection
}

async fn a_unit_of_another_process(holder: &Database, namespace: &str, left: Left) -> Gid {
    // The only way to learn the id of a database and a fresh unit: as the library writes them.
    let id: Vec<String> = ids(holder).await;
    let unit = Binds::builder()
        .bind_url::<Sqlite>(holder.url())
        .build()
        .unwrap()
        .session()
        .unit();
    if let Left::Committed = left {
        decide(holder, unit).await;
    }
    format!("db1:{namespace}:{unit}:lite:{}", id[0])
        .parse()
        .unwrap()
}

async fn ids(holder: &Database) -> Vec<String> {
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Meta {
        #[diesel(sql_type = diesel::sql_types::Text)]
        holder_id: String,
    }
    let mut connection = diesel::SqliteConnection::establish(holder.url()).unwrap();
    let rows: Vec<Meta> = diesel::sql_query("SELECT holder_id FROM diesel_binds_meta")
        .load(&mut connection)
        .unwrap();
    rows.into_iter().map(|row| row.holder_id).collect()
}

async fn decide(holder: &Database, unit: UnitId) {
    Sqlite::admin(
        holder,
        &format!(
            "INSERT INTO notes (text) VALUES ('{unit}'); \
             INSERT INTO diesel_binds_decision (unit, outcome, participants) VALUES ('{unit}', 'commit', '')"
        ),
    )
    .await;
}

type Three = (PostgresA, MariadbA, Sqlite);

/// Binds of an application of its own: MariaDB lists the branches of all databases of the server.
async fn application() -> (String, World) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!(
        "recovery-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let databases = Three::databases().await;
    let urls: Vec<String> = databases.iter().map(|d| d.url().to_owned()).collect();
    let builder = Binds::builder().namespace(&namespace);
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let binds = builder.build().unwrap();
    (namespace, World { binds, databases })
}

async fn recovers(left: Left, expected: Outcome) {
    let (namespace, world) = application().await;
    let [postgres, mariadb, sqlite] = world.databases.as_slice() else {
        unreachable!()
    };
    let gid = a_unit_of_another_process(sqlite, &namespace, left).await;
    prepare_postgres(postgres, &gid).await;
    let alive = prepare_mariadb(mariadb, &gid).await;

    let looked = world.binds.in_doubt().await;
    assert_eq!(looked.in_doubt.len(), 2, "{looked}");
    assert!(
        looked
            .in_doubt
            .iter()
            .all(|branch| branch.gid.as_ref() == Some(&gid))
    );

    let young = world
        .binds
        .recover_older_than(Duration::from_secs(3600))
        .await;
    assert!(young.recovered.is_empty(), "{young}");

    // Two at once do not get in each other's way.
    let (one, other) = tokio::join!(
        world.binds.recover_older_than(Duration::ZERO),
        world.binds.recover_older_than(Duration::ZERO),
    );
    let again = world.binds.recover_older_than(Duration::ZERO).await;
    assert!(again.is_complete(), "{one}{other}{again}");
    assert!(
        one.recovered
            .iter()
            .chain(&other.recovered)
            .all(|r| r.outcome == expected)
    );
    assert_eq!(world.binds.outcome_of(&gid).await.unwrap(), Some(expected));

    let rows = match expected {
        Outcome::Commit => vec![gid.unit().to_string()],
        Outcome::Abort => vec![],
    };
    assert_eq!(PostgresA::rows(postgres).await, rows);
    assert_eq!(MariadbA::rows(mariadb).await, rows);
    assert_eq!(Sqlite::rows(sqlite).await, rows);
    drop(alive);
}

#[tokio::test]
async fn what_its_holder_committed_is_committed() {
    recovers(Left::Committed, Outcome::Commit).await;
}

#[tokio::test]
async fn what_its_holder_did_not_decide_is_rolled_back_and_can_never_commit() {
    recovers(Left::Undecided, Outcome::Abort).await;
}

#[tokio::test]
async fn a_unit_whose_holder_is_another_database_is_left_alone() {
    let (namespace, world) = application().await;
    let gid = a_unit_of_another_process(&world.databases[2], &namespace, Left::Undecided).await;
    let replaced: Gid = gid
        .to_string()
        .replace(gid.to_string().rsplit(':').next().unwrap(), &"0".repeat(32))
        .parse()
        .unwrap();
    let unknown: Gid = gid
        .to_string()
        .replace(":lite:", ":elsewhere:")
        .parse()
        .unwrap();
    for foreign in [replaced, unknown] {
        prepare_postgres(&world.databases[0], &foreign).await;
        let pass = world.binds.recover_older_than(Duration::ZERO).await;
        assert!(pass.recovered.is_empty(), "{pass}");
        // MariaDB lists what other tests have prepared on the server.
        let here = pass.in_doubt.iter();
        assert_eq!(here.count(), 1, "{pass}");
        assert!(world.binds.settle(&foreign).await.is_err());
        PostgresA::admin(
            &world.databases[0],
            &format!("ROLLBACK PREPARED '{foreign}:pg-a'"),
        )
        .await;
    }
}
