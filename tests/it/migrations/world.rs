//! Shared parts of these tests: binds with migrations on a database, and queries on that database.

use std::error::Error;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{
    AsyncConnection as _, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl,
    SimpleAsyncConnection as _,
};
use diesel_binds::build::FromUrl;
use diesel_binds::migrations::{Migratable, MigrationError, MigrationState, MigrationStep};
use diesel_binds::{AsyncSqliteConnection, Bind, Binds, BindsBuilder, Source};
use kit::source::Steps;

/// Returns a builder with the namespace of these tests.
pub fn builder() -> BindsBuilder {
    Binds::builder().namespace("migrations")
}

/// Returns one bind on one database.
pub fn on<B: Bind<Connection: FromUrl + Migratable> + Default>(url: &str, steps: Steps) -> Binds {
    builder()
        .bind(B::default(), Source::url(url))
        .migrations(B::default(), steps)
        .build()
        .unwrap()
}

/// Returns the state of one bind.
pub async fn state(binds: &Binds, key: &str) -> MigrationState {
    let report = binds.migrations().of_key(key).report().await;
    let [bind] = <[_; 1]>::try_from(report.binds).unwrap();
    bind.state.unwrap()
}

/// Formats each step as `accounts/2026-01-02-000000_users`.
pub fn names(steps: &[MigrationStep]) -> Vec<String> {
    steps
        .iter()
        .map(|step| format!("{}/{}", step.bind, step.migration))
        .collect()
}

/// Returns the message of an error with those of its causes.
pub fn with_causes(error: &MigrationError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Runs statements on a connection of the test.
pub async fn execute(url: &str, statements: &str) {
    if url.starts_with("postgres") {
        let mut connection = AsyncPgConnection::establish(url).await.unwrap();
        connection.batch_execute(statements).await.unwrap();
    } else if url.starts_with("mysql") {
        let mut connection = AsyncMysqlConnection::establish(url).await.unwrap();
        connection.batch_execute(statements).await.unwrap();
    } else {
        let mut connection = AsyncSqliteConnection::establish(url).await.unwrap();
        connection.batch_execute(statements).await.unwrap();
    }
}

/// Returns the column `value` of a query on a connection of the test.
pub async fn values(url: &str, query: &str) -> Vec<String> {
    let query = diesel::sql_query(query);
    let rows: Vec<Value> = if url.starts_with("postgres") {
        let mut connection = AsyncPgConnection::establish(url).await.unwrap();
        query.load(&mut connection).await.unwrap()
    } else if url.starts_with("mysql") {
        let mut connection = AsyncMysqlConnection::establish(url).await.unwrap();
        query.load(&mut connection).await.unwrap()
    } else {
        let mut connection = AsyncSqliteConnection::establish(url).await.unwrap();
        query.load(&mut connection).await.unwrap()
    };
    rows.into_iter().map(|row| row.value).collect()
}

/// Returns the versions in Diesel's own table.
pub async fn versions(url: &str) -> Vec<String> {
    let query = "SELECT version AS value FROM __diesel_schema_migrations ORDER BY version";
    values(url, query).await
}

/// Returns the rows of the library's table, as `20260102000000 accounts`.
pub async fn owners(url: &str) -> Vec<String> {
    let query = if url.starts_with("mysql") {
        "SELECT CONCAT(version, ' ', bind) AS value FROM diesel_binds_migrations ORDER BY version"
    } else {
        "SELECT version || ' ' || bind AS value FROM diesel_binds_migrations ORDER BY version"
    };
    values(url, query).await
}
