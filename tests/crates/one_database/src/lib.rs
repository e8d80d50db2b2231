//! A Diesel application on one database.

pub mod schema;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::schema::{entries, users};

/// Takes an amount from a user, and notes it.
pub async fn pay(connection: &mut AsyncPgConnection, user: i32, amount: i64) -> QueryResult<()> {
    connection
        .transaction(async |connection| {
            diesel::update(users::table.find(user))
                .set(users::balance.eq(users::balance - amount))
                .execute(connection)
                .await?;
            diesel::insert_into(entries::table)
                .values((entries::user_id.eq(user), entries::amount.eq(-amount)))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
}

/// The transfers, with the names of the owners.
pub async fn history(connection: &mut AsyncPgConnection) -> QueryResult<Vec<(String, i64)>> {
    entries::table
        .inner_join(users::table)
        .select((users::name, entries::amount))
        .order(entries::id)
        .load(connection)
        .await
}
