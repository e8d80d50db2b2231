//! SQLite files on one connection: one participant, whose commit is atomic by SQLite itself.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use diesel_binds::check::Finding;
use diesel_binds::error::Fault;
use diesel_binds::{
    AsyncSqliteConnection, BindOptions, Binds, Commit, CommitError, Error, RunQueryDsl, Session,
    Source,
};
use futures_util::FutureExt as _;
use kit::database::Database;
use kit::side::{PostgresA, Side, Sqlite};

use crate::registry::binds::{Archive, Cache, Orders, hit, page};

pub(crate) const HIT: &str = "CREATE TABLE hit (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";
pub(crate) const PAGE: &str = "CREATE TABLE page (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";
const PURCHASE: &str = "CREATE TABLE purchase (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";

/// Two files, the second attached to the first.
pub(crate) struct Group {
    pub(crate) cache: Database,
    pub(crate) archive: Database,
    pub(crate) binds: Binds,
}

pub(crate) async fn files(first: &str, second: &str) -> (Database, Database) {
    let (cache, archive) = (Database::sqlite(), Database::sqlite());
    let install = Binds::builder()
        .bind(Cache, Source::url(cache.url()))
        .build()
        .unwrap();
    install.install().await.unwrap();
    Sqlite::admin(&cache, first).await;
    Sqlite::admin(&archive, second).await;
    (cache, archive)
}

pub(crate) async fn group(first: &str, second: &str) -> Group {
    let (cache, archive) = files(first, second).await;
    let binds = Binds::builder()
        .bind(Cache, Source::url(cache.url()))
        .bind(Archive, Source::url(archive.url()).attach_to(Cache))
        .build()
        .unwrap();
    Group {
        cache,
        archive,
        binds,
    }
}

pub(crate) async fn write(session: &Session, id: i32) -> Result<(), Error> {
    diesel::insert_into(hit::table)
        .values((hit::id.eq(id), hit::text.eq("h")))
        .execute(session)
        .await?;
    diesel::insert_into(page::table)
        .values((page::id.eq(id), page::text.eq("p")))
        .execute(session)
        .await?;
    Ok(())
}

impl Group {
    pub(crate) fn file(&self, first: bool) -> &Database {
        match first {
            true => &self.cache,
            false => &self.archive,
        }
    }

    /// Returns the ids in each file, read without the other file.
    pub(crate) async fn ids(&self) -> (Vec<i32>, Vec<i32>) {
        let cache = Binds::builder()
            .bind(Cache, Source::url(self.cache.url()))
            .build();
        let archive = Binds::builder()
            .bind(Archive, Source::url(self.archive.url()))
            .build();
        (
            hit::table
                .select(hit::id)
                .order(hit::id)
                .load(&cache.unwrap().session())
                .await
                .unwrap(),
            page::table
                .select(page::id)
                .order(page::id)
                .load(&archive.unwrap().session())
                .await
                .unwrap(),
        )
    }
}

#[tokio::test]
async fn attached_files_commit_and_roll_back_as_one() {
    let group = group(HIT, PAGE).await;
    let mut session = group.binds.session();
    for id in [1, 2] {
        write(&session, id).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        assert_eq!(committed.gid(), None, "SQLite commits them by itself");
        assert_eq!(committed.binds(), ["cache"]);
    }
    write(&session, 3).await.unwrap();
    session.rollback_all().await.unwrap();
    write(&session, 4).await.unwrap();
    drop(session);
    group.binds.close().await;
    assert_eq!(group.ids().await, (vec![1, 2], vec![1, 2]));
}

/// The commit fails on a constraint that SQLite checks then, and leaves its transaction open.
#[tokio::test]
async fn a_failed_commit_of_a_group_keeps_nothing_in_any_file() {
    let child = "parent INTEGER REFERENCES hit (id) DEFERRABLE INITIALLY DEFERRED";
    let hit = HIT.replace(')', &format!(", {child})"));
    let (cache, archive) = files(&hit, PAGE).await;
    let binds = Binds::builder()
        .bind(
            Cache,
            Source::url(cache.url())
                .setup(|path| with_pragma(path, "PRAGMA foreign_keys = ON".into()).boxed()),
        )
        .bind(Archive, Source::url(archive.url()).attach_to(Cache))
        .build()
        .unwrap();
    let group = Group {
        cache,
        archive,
        binds,
    };
    let mut session = group.binds.session();
    write(&session, 1).await.unwrap();
    diesel::sql_query("UPDATE hit SET parent = 404")
        .execute(&session.on(Cache))
        .await
        .unwrap();
    let error = session.commit_all().await.unwrap_err();
    assert!(matches!(
        error,
        CommitError::RolledBack {
            bind: "cache",
            source: Fault::Refused(_),
            ..
        }
    ));
    assert_eq!(group.ids().await, (vec![], vec![]));
    write(&session, 2).await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(group.ids().await, (vec![2], vec![2]));
}

pub(crate) async fn with_pragma(
    path: &str,
    pragma: String,
) -> ConnectionResult<AsyncSqliteConnection> {
    let mut connection = AsyncSqliteConnection::establish(path).await?;
    let set = connection.batch_execute(&pragma).await;
    set.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

#[tokio::test]
async fn savepoints_cover_all_files_of_a_group() {
    let group = group(HIT, PAGE).await;
    let mut session = group.binds.session();
    write(&session, 1).await.unwrap();
    let undone: Result<(), Error> = session
        .savepoint(async |session| {
            write(session, 2).await?;
            Err(Error::UnknownBind { bind: "stop" })
        })
        .await;
    assert!(undone.is_err());
    session
        .savepoint::<_, Error, _>(async |session| write(session, 3).await)
        .await
        .unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(group.ids().await, (vec![1, 3], vec![1, 3]));
}

#[tokio::test]
async fn a_group_is_checked_with_all_its_files() {
    let (cache, archive) = files(HIT, PAGE).await;
    let postgres = PostgresA::database().await;
    let binds = Binds::builder()
        .namespace("app")
        .bind(Cache, Source::url(cache.url()))
        .bind(
            Archive,
            Source::url(format!("sqlite://{}", archive.url())).attach_to(Cache),
        )
        .bind(Orders, Source::url(postgres.url()))
        .build()
        .unwrap();
    let report = binds.check().await;
    assert!(
        matches!(
            report.bind("cache").unwrap().findings.as_slice(),
            [Finding::Attached { .. }, Finding::CannotPrepare { .. }]
        ),
        "{report}"
    );
}

mod with_postgres {
    use super::*;
    use crate::registry::binds::purchase;

    async fn mixed(options: BindOptions) -> (Group, Database) {
        let (cache, archive) = files(HIT, PAGE).await;
        let orders = PostgresA::database().await;
        PostgresA::admin(&orders, PURCHASE).await;
        let binds = Binds::builder()
            .namespace("app")
            .bind(Cache, Source::url(cache.url()).options(options))
            .bind(Archive, Source::url(archive.url()).attach_to(Cache))
            .bind(Orders, Source::url(orders.url()))
            .lock_timeout(Duration::from_secs(2))
            .build()
            .unwrap();
        let group = Group {
            cache,
            archive,
            binds,
        };
        (group, orders)
    }

    async fn order(session: &Session, id: i32) -> Result<(), Error> {
        diesel::insert_into(purchase::table)
            .values((purchase::id.eq(id), purchase::text.eq("o")))
            .execute(session)
            .await
            .map(drop)
    }

    async fn orders(database: &Database) -> Vec<i32> {
        let binds = Binds::builder()
            .bind(Orders, Source::url(database.url()))
            .build();
        purchase::table
            .select(purchase::id)
            .order(purchase::id)
            .load(&binds.unwrap().session())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_group_holds_the_decision() {
        let (group, database) = mixed(BindOptions::new()).await;
        let mut session = group.binds.session();
        order(&session, 1).await.unwrap();
        write(&session, 1).await.unwrap();
        let committed: Commit = session.commit_all().await.unwrap();
        assert_eq!(committed.gid().map(|gid| gid.holder()), Some("cache"));
        assert!(committed.committed().unwrap().pending().is_empty());

        order(&session, 2).await.unwrap();
        write(&session, 2).await.unwrap();
        session.rollback_all().await.unwrap();
        assert_eq!(group.ids().await, (vec![1], vec![1]));
        assert_eq!(orders(&database).await, [1]);
    }

    #[tokio::test]
    async fn a_file_that_may_forget_keeps_its_group_out() {
        let (cache, archive) = files(HIT, PAGE).await;
        let orders = PostgresA::database().await;
        PostgresA::admin(&orders, PURCHASE).await;
        let pragma = format!(
            "ATTACH '{}' AS archive; PRAGMA archive.synchronous = NORMAL",
            archive.url()
        );
        let binds = Binds::builder()
            .namespace("app")
            .bind(
                Cache,
                Source::url(cache.url())
                    .setup(move |path| with_pragma(path, pragma.clone()).boxed()),
            )
            .bind(Archive, Source::url(archive.url()).attach_to(Cache))
            .bind(Orders, Source::url(orders.url()))
            .build()
            .unwrap();
        let report = binds.check().await;
        assert!(
            matches!(
                report.bind("cache").unwrap().findings.as_slice(),
                [Finding::Attached { .. }, Finding::CannotPrepare { .. }, Finding::NotDurable { setting, allowed: false }]
                    if setting.contains("archive.synchronous")
            ),
            "{report}"
        );
        let mut session = binds.session();
        order(&session, 1).await.unwrap();
        write(&session, 1).await.unwrap();
        assert!(matches!(
            session.commit_all().await,
            Err(CommitError::RolledBack {
                bind: "cache",
                source: Fault::NotDurable { .. },
                ..
            })
        ));
    }

    #[tokio::test]
    async fn savepoints_cover_a_group_and_a_server() {
        let (group, database) = mixed(BindOptions::new()).await;
        let mut session = group.binds.session();
        write(&session, 1).await.unwrap();
        let undone: Result<(), Error> = session
            .savepoint(async |session| {
                order(session, 2).await?;
                write(session, 2).await?;
                Err(Error::UnknownBind { bind: "stop" })
            })
            .await;
        assert!(undone.is_err());
        order(&session, 1).await.unwrap();
        session.commit_all().await.unwrap();
        assert_eq!(group.ids().await, (vec![1], vec![1]));
        assert_eq!(orders(&database).await, [1]);
    }

    /// The holder fails last, after the other bind has prepared: nothing of either may be kept.
    #[tokio::test]
    async fn a_group_that_cannot_commit_takes_the_server_back() {
        let (group, database) = mixed(BindOptions::new()).await;
        let mut session = group.binds.session();
        order(&session, 1).await.unwrap();
        write(&session, 1).await.unwrap();
        diesel::sql_query("DROP TABLE main.diesel_binds_decision")
            .execute(&session.on(Cache))
            .await
            .unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(error, CommitError::RolledBack { bind: "cache", .. }),
            "{error}"
        );
        assert_eq!(group.ids().await, (vec![], vec![]));
        assert_eq!(orders(&database).await, [0_i32; 0]);
    }
}
