//! One database of a test: one table and one interface for every backend, so that a behaviour is written once.

use diesel::IntoSql as _;
use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::BigInt;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection};
use diesel_binds::query::BoundConnection;
use diesel_binds::{
    AsyncSqliteConnection, Bind, BindOptions, Binds, BindsBuilder, Error, RunQueryDsl, Session,
    Source, bind_tables,
};
use futures_util::{Stream, StreamExt as _};

use crate::database::Database;
use crate::servers::Server;

/// The pool that a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    Deadpool,
    /// Deadpool without a test of each connection before it is given out: a broken connection stays visible.
    DeadpoolUnasked,
    Bb8,
}

/// A statement that Diesel does not build.
#[derive(diesel::query_builder::QueryId)]
struct Fragment(&'static str);

impl<DB: Backend> QueryFragment<DB> for Fragment {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

/// A bind with a table `notes (id, text)`, of which `text` is unique, and the operations of a test on it.
pub trait Side: Send + Sync + 'static {
    type Bind: Bind<Connection: SimpleAsyncConnection> + Default;

    /// Returns the bind as a value.
    fn bind() -> Self::Bind;

    /// The server of its databases. SQLite has none.
    const SERVER: Option<Server>;

    /// Returns whether its databases are of MySQL, and not of MariaDB.
    fn is_mysql() -> bool {
        Self::SERVER.is_some_and(Server::is_mysql)
    }

    /// Makes a database with the table, and the tables of the protocol.
    fn database() -> impl Future<Output = Database> + Send;

    /// Registers the bind with a pool.
    fn register(
        builder: BindsBuilder,
        url: &str,
        pool: PoolKind,
        size: usize,
        options: BindOptions,
    ) -> impl Future<Output = BindsBuilder> + Send;

    /// Writes one row.
    fn write(session: &Session, text: &str) -> impl Future<Output = Result<usize, Error>> + Send;

    /// Reads all rows.
    fn read(session: &Session) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Changes the text of one row.
    fn rename(
        session: &Session,
        from: &str,
        to: &str,
    ) -> impl Future<Output = Result<usize, Error>> + Send;

    /// Reads all rows, one by one.
    fn stream(
        session: &Session,
    ) -> impl Future<Output = Result<impl Stream<Item = Result<String, Error>> + Send + '_, Error>> + Send;

    /// Runs a statement on the session of a scope.
    fn on_scope(
        scope: &diesel_binds::Scope,
        query: diesel::query_builder::SqlQuery,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads the first row of a query, and leaves the others unread.
    fn first_of(session: &Session, sql: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sends a number and reads it back. A connection that reads each reply one statement late returns another number.
    fn echo(session: &Session, number: i64) -> impl Future<Output = Result<i64, Error>> + Send;

    /// Sends a number and reads it back on a connection of the session.
    fn echo_on(
        connection: &BoundConnection<'_, Self::Bind>,
        number: i64,
    ) -> impl Future<Output = Result<i64, Error>> + Send;

    /// Writes one row on a connection of the session.
    fn write_on(
        connection: &BoundConnection<'_, Self::Bind>,
        text: &str,
    ) -> impl Future<Output = Result<usize, Error>> + Send;

    /// Sends a number and reads it back on the raw connection.
    fn echo_raw(
        connection: &mut <Self::Bind as Bind>::Connection,
        number: i64,
    ) -> impl Future<Output = QueryResult<i64>> + Send;

    /// Runs a statement in text.
    fn sql(session: &Session, sql: &str) -> impl Future<Output = Result<usize, Error>> + Send {
        let query = diesel::sql_query(sql.to_owned());
        Self::run_sql(session, query)
    }

    /// Runs a statement as a fragment of the application, which has a static query id.
    fn fragment(
        session: &Session,
        sql: &'static str,
    ) -> impl Future<Output = Result<usize, Error>> + Send;

    /// Runs a query in text that is declared read-only.
    fn read_sql(session: &Session, sql: &str) -> impl Future<Output = Result<usize, Error>> + Send {
        let query = diesel::sql_query(sql.to_owned());
        Self::run_read_sql(session, query)
    }

    /// Returns the one text that a query has in a column named `text`.
    fn text(session: &Session, sql: &str) -> impl Future<Output = Result<String, Error>> + Send {
        let query = diesel::sql_query(sql.to_owned());
        Self::run_text(session, query)
    }

    #[doc(hidden)]
    fn run_text(
        session: &Session,
        query: diesel::query_builder::SqlQuery,
    ) -> impl Future<Output = Result<String, Error>> + Send;

    #[doc(hidden)]
    fn run_read_sql(
        session: &Session,
        query: diesel::query_builder::SqlQuery,
    ) -> impl Future<Output = Result<usize, Error>> + Send;

    #[doc(hidden)]
    fn run_sql(
        session: &Session,
        query: diesel::query_builder::SqlQuery,
    ) -> impl Future<Output = Result<usize, Error>> + Send;

    /// A statement that takes some seconds.
    const SLOW: &'static str;

    /// Returns the rows, read on a connection of the test.
    fn rows(database: &Database) -> impl Future<Output = Vec<String>> + Send;

    /// Runs statements on a connection of the test.
    fn admin(database: &Database, sql: &str) -> impl Future<Output = ()> + Send;
}

/// A row of one text.
#[derive(QueryableByName)]
pub struct TextRow {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

/// Defines the table of one bind. A generic cannot define types, and each bind needs a table type of its own.
macro_rules! side {
    ($module:ident, $side:ident, $key:literal, $connection:ty, $server:expr, $schema:expr, $slow:expr) => {
        pub mod $module {
            use super::*;

            diesel::table! {
                notes (id) {
                    id -> Integer,
                    text -> Text,
                }
            }

            #[derive(Bind, Default)]
            #[bind(key = $key, connection = $connection)]
            pub struct $side;

            bind_tables!($side => notes);

            impl Side for $side {
                type Bind = Self;

                const SLOW: &'static str = $slow;

                fn bind() -> Self {
                    Self
                }

                const SERVER: Option<Server> = $server;

                async fn database() -> Database {
                    let database = match Self::SERVER {
                        Some(server) => Database::on(server).await,
                        None => Database::sqlite(),
                    };
                    Self::admin(&database, $schema).await;
                    let (builder, options) = (Binds::builder(), BindOptions::new());
                    let pool = PoolKind::Deadpool;
                    let builder = Self::register(builder, database.url(), pool, 1, options).await;
                    builder.build().unwrap().install().await.unwrap();
                    database
                }

                async fn register(
                    builder: BindsBuilder,
                    url: &str,
                    pool: PoolKind,
                    size: usize,
                    options: BindOptions,
                ) -> BindsBuilder {
                    let mut config = ManagerConfig::default();
                    if pool == PoolKind::DeadpoolUnasked {
                        config.recycling_method = RecyclingMethod::Fast;
                    }
                    let manager =
                        AsyncDieselConnectionManager::<$connection>::new_with_config(url, config);
                    match pool {
                        PoolKind::Deadpool | PoolKind::DeadpoolUnasked => builder.bind(Self, Source::pool(diesel_async::pooled_connection::deadpool::Pool::builder(manager)
                                .max_size(size)
                                .build()
                                .unwrap()).options(options)),
                        PoolKind::Bb8 => builder.bind(Self, Source::pool(bb8::Pool::builder()
                                .max_size(u32::try_from(size).unwrap())
                                .build_unchecked(manager)).options(options)),
                    }
                }

                async fn write(session: &Session, text: &str) -> Result<usize, Error> {
                    diesel::insert_into(notes::table)
                        .values(notes::text.eq(text))
                        .execute(session)
                        .await
                }

                async fn read(session: &Session) -> Result<Vec<String>, Error> {
                    notes::table
                        .select(notes::text)
                        .order(notes::id)
                        .load(session)
                        .await
                }

                async fn rename(session: &Session, from: &str, to: &str) -> Result<usize, Error> {
                    diesel::update(notes::table.filter(notes::text.eq(from)))
                        .set(notes::text.eq(to))
                        .execute(session)
                        .await
                }

                async fn stream(
                    session: &Session,
                ) -> Result<impl Stream<Item = Result<String, Error>> + Send + '_, Error> {
                    notes::table
                        .select(notes::text)
                        .order(notes::id)
                        .load_stream(session)
                        .await
                }

                async fn on_scope(
                    scope: &diesel_binds::Scope,
                    query: diesel::query_builder::SqlQuery,
                ) -> Result<(), Error> {
                    query.execute(&scope.on(Self)).await.map(drop)
                }

                async fn first_of(session: &Session, sql: &str) -> Result<(), Error> {
                    let on = session.on(Self).reading();
                    let query = diesel::sql_query(sql.to_owned());
                    let rows = query.load_stream::<TextRow>(&on).await?;
                    let first = std::pin::pin!(rows).next().await;
                    first.expect("there is a row").map(drop)
                }

                async fn echo(session: &Session, number: i64) -> Result<i64, Error> {
                    diesel::select(number.into_sql::<BigInt>())
                        .get_result(&session.on(Self).reading())
                        .await
                }

                async fn echo_on(
                    connection: &BoundConnection<'_, Self>,
                    number: i64,
                ) -> Result<i64, Error> {
                    diesel::select(number.into_sql::<BigInt>())
                        .get_result(connection)
                        .await
                }

                async fn write_on(
                    connection: &BoundConnection<'_, Self>,
                    text: &str,
                ) -> Result<usize, Error> {
                    diesel::insert_into(notes::table)
                        .values(notes::text.eq(text))
                        .execute(connection)
                        .await
                }

                async fn echo_raw(connection: &mut $connection, number: i64) -> QueryResult<i64> {
                    diesel_async::RunQueryDsl::get_result(
                        diesel::select(number.into_sql::<BigInt>()),
                        connection,
                    )
                    .await
                }

                async fn run_sql(
                    session: &Session,
                    query: diesel::query_builder::SqlQuery,
                ) -> Result<usize, Error> {
                    query.execute(&session.on(Self)).await
                }

                async fn fragment(
                    session: &Session,
                    sql: &'static str,
                ) -> Result<usize, Error> {
                    Fragment(sql).execute(&session.on(Self)).await
                }

                async fn run_text(
                    session: &Session,
                    query: diesel::query_builder::SqlQuery,
                ) -> Result<String, Error> {
                    let row: TextRow = query.get_result(&session.on(Self).reading()).await?;
                    Ok(row.text)
                }

                async fn run_read_sql(
                    session: &Session,
                    query: diesel::query_builder::SqlQuery,
                ) -> Result<usize, Error> {
                    query.execute(&session.on(Self).reading()).await
                }

                async fn rows(database: &Database) -> Vec<String> {
                    let mut connection =
                        <$connection as diesel_async::AsyncConnection>::establish(database.url())
                            .await
                            .unwrap();
                    diesel_async::RunQueryDsl::load(
                        notes::table.select(notes::text).order(notes::id),
                        &mut connection,
                    )
                    .await
                    .unwrap()
                }

                async fn admin(database: &Database, sql: &str) {
                    let mut connection =
                        <$connection as diesel_async::AsyncConnection>::establish(database.url())
                            .await
                            .unwrap();
                    connection.batch_execute(sql).await.unwrap();
                }
            }
        }

        pub use self::$module::$side;
    };
}

const POSTGRES: &str = "CREATE TABLE notes (id SERIAL PRIMARY KEY, text TEXT NOT NULL UNIQUE)";
const MYSQL: &str =
    "CREATE TABLE notes (id INTEGER AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200) NOT NULL UNIQUE)";
const SQLITE: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)";
const SQLITE_SLOW: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000000) \
                           UPDATE notes SET text = text WHERE id > (SELECT count(*) FROM n)";

side!(
    postgres_a,
    PostgresA,
    "pg-a",
    AsyncPgConnection,
    Some(Server::PostgresA),
    POSTGRES,
    "SELECT pg_sleep(3)"
);
side!(
    postgres_b,
    PostgresB,
    "pg-b",
    AsyncPgConnection,
    Some(Server::PostgresB),
    POSTGRES,
    "SELECT pg_sleep(3)"
);
side!(
    postgres_plain,
    PostgresPlain,
    "pg-plain",
    AsyncPgConnection,
    Some(Server::PostgresPlain),
    POSTGRES,
    "SELECT pg_sleep(3)"
);
side!(
    postgres_plain_b,
    PostgresPlainB,
    "pg-plain-b",
    AsyncPgConnection,
    Some(Server::PostgresPlain),
    POSTGRES,
    "SELECT pg_sleep(3)"
);
side!(
    mariadb_a,
    MariadbA,
    "my-a",
    AsyncMysqlConnection,
    Some(Server::MariadbA),
    MYSQL,
    "DO SLEEP(3)"
);
side!(
    mariadb_b,
    MariadbB,
    "my-b",
    AsyncMysqlConnection,
    Some(Server::MariadbB),
    MYSQL,
    "DO SLEEP(3)"
);
side!(
    mysql_a,
    MysqlA,
    "mysql-a",
    AsyncMysqlConnection,
    Some(Server::MysqlA),
    MYSQL,
    "DO SLEEP(3)"
);
side!(
    mysql_b,
    MysqlB,
    "mysql-b",
    AsyncMysqlConnection,
    Some(Server::MysqlB),
    MYSQL,
    "DO SLEEP(3)"
);
side!(
    galera_a,
    GaleraA,
    "galera-a",
    AsyncMysqlConnection,
    Some(Server::GaleraA),
    MYSQL,
    "DO SLEEP(3)"
);
side!(
    galera_b,
    GaleraB,
    "galera-b",
    AsyncMysqlConnection,
    Some(Server::GaleraB),
    MYSQL,
    "DO SLEEP(3)"
);
side!(
    sqlite,
    Sqlite,
    "lite",
    AsyncSqliteConnection,
    None,
    SQLITE,
    SQLITE_SLOW
);
side!(
    sqlite_b,
    SqliteB,
    "lite-b",
    AsyncSqliteConnection,
    None,
    SQLITE,
    SQLITE_SLOW
);
side!(
    sqlite_tokio,
    SqliteTokio,
    "lite-tokio",
    diesel_async::sync_connection_wrapper::SyncConnectionWrapper<SqliteConnection>,
    None,
    SQLITE,
    SQLITE_SLOW
);
