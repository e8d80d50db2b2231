//! The cost of the library in counted round trips: none more than the same queries by hand, one fewer for a repeated
//! write, and three for a commit.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection, TransactionManager as _};
use diesel_binds::{BindOptions, Binds, Session};
use kit::database::Database;
use kit::proxy::{Hops, Proxy};
use kit::side::{
    MariadbA, MariadbB, PoolKind, PostgresA, PostgresB, Side, Sqlite, mariadb_a, postgres_a,
};

/// The delay to the servers, in each direction.
const AWAY: Duration = Duration::from_millis(5);

/// Counts the hops of some work. Takes the least of several runs, because a client that is suspended sends messages
/// late that belong together.
macro_rules! hops {
    ($hops:expr, $work:expr) => {{
        let mut least = usize::MAX;
        for _ in 0..4 {
            let before = $hops.count();
            $work;
            least = least.min($hops.count() - before);
        }
        least
    }};
}

/// Starts a proxy to a distant database.
async fn far(database: &Database, hops: &Hops) -> Proxy {
    let proxy = Proxy::start(database.url()).await;
    proxy.count_hops(hops);
    proxy.delay(AWAY);
    proxy
}

/// Mounts comparisons with queries by hand, which are written for one connection type.
macro_rules! by_hand {
    ($module:ident, $side:ident, $connection:ty, $notes:path, $saved:literal) => {
        mod $module {
            use super::*;
            use $notes as notes;

            struct DistantServer {
                hops: Hops,
                pool: Pool<$connection>,
                binds: Binds,
                _proxy: Proxy,
                _database: Database,
            }

            async fn distant_server() -> DistantServer {
                let database = $side::database().await;
                let hops = Hops::default();
                let proxy = far(&database, &hops).await;
                let url = proxy.url(database.url());
                // The pool has one connection, so that both ways use the same prepared statements.
                let pool = Pool::builder(AsyncDieselConnectionManager::<$connection>::new(url))
                    .max_size(1)
                    .build()
                    .unwrap();
                let binds = Binds::builder().bind($side, pool.clone()).build().unwrap();
                DistantServer {
                    hops,
                    pool,
                    binds,
                    _proxy: proxy,
                    _database: database,
                }
            }

            async fn read_by_hand(connection: &mut $connection) {
                let found: Vec<i32> = diesel_async::RunQueryDsl::load(
                    notes::table.select(notes::id).filter(notes::id.gt(0)),
                    connection,
                )
                .await
                .unwrap();
                drop(found);
            }

            async fn read(session: &Session) {
                let found: Vec<i32> = diesel_binds::RunQueryDsl::load(
                    notes::table.select(notes::id).filter(notes::id.gt(0)),
                    session,
                )
                .await
                .unwrap();
                drop(found);
            }

            async fn write_by_hand(connection: &mut $connection) {
                diesel_async::RunQueryDsl::execute(
                    diesel::update(notes::table.find(0)).set(notes::text.eq("new")),
                    connection,
                )
                .await
                .unwrap();
            }

            async fn write(session: &Session) {
                diesel_binds::RunQueryDsl::execute(
                    diesel::update(notes::table.find(0)).set(notes::text.eq("new")),
                    session,
                )
                .await
                .unwrap();
            }

            #[tokio::test]
            async fn a_routed_query_adds_no_round_trip_and_a_kept_write_saves_one() {
                let far = distant_server().await;
                let (reads, writes) = {
                    let mut connection = far.pool.get().await.unwrap();
                    read_by_hand(&mut connection).await;
                    (
                        hops!(far.hops, read_by_hand(&mut connection).await),
                        hops!(far.hops, write_by_hand(&mut connection).await),
                    )
                };
                let session = far.binds.session();
                read(&session).await;
                assert_eq!(hops!(far.hops, read(&session).await), reads);
                assert_eq!(hops!(far.hops, write(&session).await), writes - $saved);
                println!(
                    "{}: read {reads}, write {}",
                    stringify!($module),
                    writes - $saved
                );
                drop(session);
                far.binds.close().await;
            }

            #[tokio::test]
            async fn a_unit_on_one_bind_adds_no_round_trip_and_a_kept_write_saves_one() {
                let far = distant_server().await;
                let by_hand = async || {
                    let mut connection = far.pool.get().await.unwrap();
                    begin(&mut connection).await;
                    read_by_hand(&mut connection).await;
                    write_by_hand(&mut connection).await;
                    commit(&mut connection).await;
                };
                let unit = async || {
                    let mut session = far.binds.session();
                    read(&session).await;
                    write(&session).await;
                    session.commit_all().await.unwrap();
                };
                unit().await;
                by_hand().await;
                let expected = hops!(far.hops, by_hand().await);
                assert_eq!(hops!(far.hops, unit().await), expected - $saved);
                println!("{}: a unit {}", stringify!($module), expected - $saved);
            }

            /// The question whether a reader wrote goes in the same hop.
            #[tokio::test]
            async fn a_unit_that_reads_one_bind_adds_no_round_trip() {
                let far = distant_server().await;
                let by_hand = async || {
                    let mut connection = far.pool.get().await.unwrap();
                    begin(&mut connection).await;
                    read_by_hand(&mut connection).await;
                    commit(&mut connection).await;
                };
                let unit = async || {
                    let mut session = far.binds.session();
                    read(&session).await;
                    session.commit_all().await.unwrap();
                };
                unit().await;
                by_hand().await;
                let expected = hops!(far.hops, by_hand().await);
                assert_eq!(hops!(far.hops, unit().await), expected);
                println!("{}: a unit {expected}", stringify!($module));
            }

            async fn begin(connection: &mut $connection) {
                diesel_async::AnsiTransactionManager::begin_transaction(connection)
                    .await
                    .unwrap();
            }

            async fn commit(connection: &mut $connection) {
                diesel_async::AnsiTransactionManager::commit_transaction(connection)
                    .await
                    .unwrap();
            }
        }
    };
}

by_hand!(postgres, PostgresA, AsyncPgConnection, postgres_a::notes, 1);
// On a ready pool of MariaDB, repeated writes are prepared anew.
by_hand!(mariadb, MariadbA, AsyncMysqlConnection, mariadb_a::notes, 0);

/// Returns the number of hops of a commit. The unit wrote on the first two binds, and optionally read on the third.
async fn commit_of<A: Side, B: Side, C: Side>(readers: bool) -> usize {
    let hops = Hops::default();
    let mut kept = Vec::new();
    let mut builder = Binds::builder()
        .namespace("cost")
        .recovery(diesel_binds::RecoveryOptions::new().without_worker());
    async fn register<S: Side>(
        builder: diesel_binds::BindsBuilder,
        hops: &Hops,
        kept: &mut Vec<(Database, Option<Proxy>)>,
    ) -> diesel_binds::BindsBuilder {
        let database = S::database().await;
        let proxy = match database.name() {
            Some(_) => Some(far(&database, hops).await),
            None => None,
        };
        let url = proxy
            .as_ref()
            .map_or_else(|| database.url().to_owned(), |p| p.url(database.url()));
        kept.push((database, proxy));
        S::register(builder, &url, PoolKind::Deadpool, 1, BindOptions::new()).await
    }
    builder = register::<A>(builder, &hops, &mut kept).await;
    builder = register::<B>(builder, &hops, &mut kept).await;
    builder = register::<C>(builder, &hops, &mut kept).await;
    let binds = builder.build().unwrap();
    let mut session = binds.session();
    let mut least = usize::MAX;
    for round in 0..5 {
        let text = format!("round {round}");
        A::write(&session, &text).await.unwrap();
        B::write(&session, &text).await.unwrap();
        if readers {
            C::read(&session).await.unwrap();
        }
        let before = hops.count();
        let committed = session.commit_all().await.unwrap();
        let hops = hops.count() - before;
        assert!(committed.gid().is_some() && committed.committed().unwrap().pending().is_empty());
        // The first round also asks the questions that are asked only once.
        if round > 0 {
            least = least.min(hops);
        }
    }
    least
}

#[tokio::test]
async fn a_commit_of_two_servers_takes_three_round_trips() {
    assert_eq!(commit_of::<PostgresA, PostgresB, MariadbA>(false).await, 3);
    assert_eq!(commit_of::<PostgresA, MariadbA, PostgresB>(false).await, 3);
    assert_eq!(commit_of::<MariadbA, MariadbB, PostgresA>(false).await, 3);
}

/// The decision of a file uses no network.
#[tokio::test]
async fn a_commit_of_a_server_and_a_file_takes_two_round_trips() {
    assert_eq!(commit_of::<PostgresA, Sqlite, MariadbA>(false).await, 2);
    assert_eq!(commit_of::<MariadbA, Sqlite, PostgresA>(false).await, 2);
}

#[tokio::test]
async fn readers_add_no_round_trip_where_two_wrote() {
    assert_eq!(commit_of::<PostgresA, MariadbA, PostgresB>(true).await, 3);
    assert_eq!(commit_of::<PostgresA, PostgresB, MariadbA>(true).await, 3);
    assert_eq!(commit_of::<PostgresA, Sqlite, PostgresB>(true).await, 2);
}
