//! A connection that no longer fits its database is not used again, and the affected unit can be run again.

use std::sync::{Arc, Mutex};

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use diesel_binds::{
    Bind, BindOptions, Binds, Error, Retry, RunQueryDsl as _, Session, bind_tables,
};
use kit::admin::Admin;
use kit::database::Database;
use kit::servers::Server;
use kit::side::{PoolKind, PostgresA, Side};

use crate::connections::pool::{OfPostgres, Shared as _};
use crate::suite::mount::mount_pools;

/// The SQL type of an enum.
#[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
#[diesel(postgres_type(name = "mood"))]
pub struct MoodType;

#[derive(AsExpression, Clone, Copy, Debug, FromSqlRow, PartialEq, Eq)]
#[diesel(sql_type = MoodType)]
struct Good;

impl ToSql<MoodType, Pg> for Good {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        std::io::Write::write_all(out, b"good")?;
        Ok(IsNull::No)
    }
}

impl FromSql<MoodType, Pg> for Good {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        match bytes.as_bytes() {
            b"good" => Ok(Self),
            _ => Err("another mood".into()),
        }
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::MoodType;

    moods (id) {
        id -> Integer,
        mood -> MoodType,
    }
}

#[derive(Bind, Default)]
#[bind(key = "moods", connection = AsyncPgConnection)]
pub struct Moods;

bind_tables!(Moods => moods);

const MAKE: &str = "CREATE TYPE mood AS ENUM ('good'); \
                    CREATE TABLE moods (id SERIAL PRIMARY KEY, mood mood NOT NULL)";

/// Creates the type again, with a new number.
const MAKE_AGAIN: &str = "ALTER TABLE moods ALTER mood TYPE text; DROP TYPE mood; CREATE TYPE mood AS ENUM ('good'); \
                          ALTER TABLE moods ALTER mood TYPE mood USING mood::mood";

async fn binds(kind: PoolKind) -> (Database, Binds) {
    let database = Database::on(Server::PostgresA).await;
    Admin::connect(database.url())
        .await
        .run(MAKE)
        .await
        .unwrap();
    let pool = OfPostgres::open(database.url(), kind, 1, "");
    let builder = pool.register::<Moods>(Binds::builder(), BindOptions::new());
    (database, builder.build().unwrap())
}

async fn write(session: &Session) -> Result<usize, Error> {
    diesel::insert_into(moods::table)
        .values(moods::mood.eq(Good))
        .execute(session)
        .await
}

async fn read(session: &Session) -> Result<Vec<Good>, Error> {
    moods::table.select(moods::mood).load(session).await
}

async fn a_type_that_was_made_again_is_found_by_the_next_unit(kind: PoolKind) {
    let (database, binds) = binds(kind).await;
    let mut admin = Admin::connect(database.url()).await;
    for reads_first in [true, false] {
        let mut session = binds.session();
        write(&session).await.unwrap();
        read(&session).await.unwrap();
        session.commit_all().await.unwrap();
        admin.run(MAKE_AGAIN).await.unwrap();
        let mut session = binds.session();
        let stale = match reads_first {
            true => read(&session).await.map(drop),
            false => write(&session).await.map(drop),
        };
        assert!(
            matches!(stale, Err(Error::StaleConnection { .. })),
            "{stale:?}"
        );
        let said = stale.unwrap_err();
        assert!(said.diesel().is_some() && said.bind() == Some("moods"));
        assert!(said.to_string().contains("run the unit again"), "{said}");
        assert!(said.is_retryable(), "{said:?}");
        session.rollback_all().await.unwrap();
        let mut session = binds.session();
        write(&session).await.unwrap();
        read(&session).await.unwrap();
        session.commit_all().await.unwrap();
        admin.run(MAKE_AGAIN).await.unwrap();
        // A unit that may be retried is run again automatically.
        binds
            .retrying(Retry::new())
            .transaction(async |session: &mut Session| {
                if reads_first {
                    read(session).await?;
                }
                write(session).await?;
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
    }
}

/// The kind of statement does not matter: a hook, text or the raw connection.
async fn a_column_that_was_widened_is_read_by_the_next_unit(kind: PoolKind) {
    let database = PostgresA::database().await;
    let builder = PostgresA::register(
        Binds::builder(),
        database.url(),
        kind,
        1,
        BindOptions::new(),
    );
    let binds = builder.await.build().unwrap();
    for widened in ["varchar(300)", "text", "varchar(500)"] {
        let mut session = binds.session();
        PostgresA::read(&session).await.unwrap();
        session.rollback_all().await.unwrap();
        PostgresA::admin(
            &database,
            &format!("ALTER TABLE notes ALTER text TYPE {widened}"),
        )
        .await;
        for ending in ["rolled back", "dropped"] {
            let mut session = binds.session();
            match (ending, PostgresA::read(&session).await) {
                // The connection of the previous unit is gone.
                ("dropped", read) => drop(read.unwrap()),
                (_, read) => assert!(
                    matches!(read, Err(Error::StaleConnection { .. })),
                    "{read:?}"
                ),
            }
            match ending {
                "rolled back" => session.rollback_all().await.unwrap(),
                _ => drop(session),
            }
        }
    }
}

/// The driver does not notice that its prepared statements are gone.
async fn statements_dropped_in_text_are_prepared_again_by_a_later_unit(kind: PoolKind) {
    let database = PostgresA::database().await;
    let builder = Binds::builder();
    let builder = PostgresA::register(builder, database.url(), kind, 1, BindOptions::new());
    let binds = builder.await.build().unwrap();
    let mut session = binds.session();
    PostgresA::read(&session).await.unwrap();
    PostgresA::sql(&session, "DEALLOCATE ALL").await.unwrap();
    session.rollback_all().await.unwrap();
    let mut session = binds.session();
    // The check of bb8 notices it as well, and opens another connection.
    match (kind, PostgresA::read(&session).await) {
        (PoolKind::Bb8, read) => drop(read.unwrap()),
        (_, stale) => assert!(
            matches!(stale, Err(Error::StaleConnection { .. })),
            "{stale:?}"
        ),
    }
    session.rollback_all().await.unwrap();
    PostgresA::read(&binds.session()).await.unwrap();
}

/// The place of the statement that chooses the schema of a unit.
#[derive(Clone, Copy, Debug)]
enum ChosenBy {
    Hook,
    Text,
    RawConnection,
}

/// Each schema has a type of the same name.
async fn a_type_of_each_schema_is_that_of_its_units(kind: PoolKind) {
    for chosen_by in [ChosenBy::Hook, ChosenBy::Text, ChosenBy::RawConnection] {
        each_unit_has_the_type_of_its_schema(kind, chosen_by).await;
    }
}

async fn each_unit_has_the_type_of_its_schema(kind: PoolKind, chosen_by: ChosenBy) {
    let database = Database::on(Server::PostgresA).await;
    let mut admin = Admin::connect(database.url()).await;
    for schema in ["one", "two"] {
        let make = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {MAKE}");
        admin.run(&make).await.unwrap();
    }
    let tenant: Arc<Mutex<&'static str>> = Arc::new(Mutex::new("one"));
    let by_hook = Arc::clone(&tenant);
    let mut builder = Binds::builder();
    if let ChosenBy::Hook = chosen_by {
        builder = builder.after_begin(Moods, move |connection| {
            let sql = format!("SET LOCAL search_path = {}", by_hook.lock().unwrap());
            Box::pin(async move { connection.batch_execute(&sql).await })
        });
    }
    let pool = OfPostgres::open(database.url(), kind, 1, "");
    let builder = pool.register::<Moods>(builder, BindOptions::new());
    let binds = builder.build().unwrap();
    for round in 1..4 {
        for schema in ["one", "two"] {
            *tenant.lock().unwrap() = schema;
            let mut session = binds.session();
            let sql = format!("SET LOCAL search_path = {schema}");
            match chosen_by {
                ChosenBy::Hook => {}
                ChosenBy::Text => {
                    let on = session.on(Moods);
                    diesel::sql_query(sql).execute(&on).await.unwrap();
                }
                ChosenBy::RawConnection => {
                    let mut connection = session.connection(Moods).await.unwrap();
                    let raw = connection.raw().unwrap();
                    raw.batch_execute(&sql).await.unwrap();
                }
            }
            write(&session).await.unwrap();
            let found = read(&session).await.unwrap();
            assert_eq!(found.len(), round, "{chosen_by:?}");
            session.commit_all().await.unwrap();
        }
    }
}

mount_pools!(
    a_type_that_was_made_again_is_found_by_the_next_unit,
    a_column_that_was_widened_is_read_by_the_next_unit,
    a_type_of_each_schema_is_that_of_its_units,
    statements_dropped_in_text_are_prepared_again_by_a_later_unit,
);
