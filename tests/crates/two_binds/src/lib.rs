//! The application of `one_database` with two binds.

pub mod databases;

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_binds::{Commit, Error, RunQueryDsl, Session};

use crate::databases::accounts::users;
use crate::databases::ledger::entries;

/// Takes an amount from a user, and notes it.
pub async fn pay(session: &mut Session, user: i32, amount: i64) -> Result<Commit, Error> {
    diesel::update(users::table.find(user))
        .set(users::balance.eq(users::balance - amount))
        .execute(session)
        .await?;
    diesel::insert_into(entries::table)
        .values((entries::user_id.eq(user), entries::amount.eq(-amount)))
        .execute(session)
        .await?;
    Ok(session.commit_all().await?)
}

/// The transfers, with the names of the owners.
pub async fn history(session: &Session) -> Result<Vec<(String, i64)>, Error> {
    let noted: Vec<(i32, i64)> = entries::table
        .select((entries::user_id, entries::amount))
        .order(entries::id)
        .load(session)
        .await?;
    let names: Vec<(i32, String)> = users::table
        .filter(users::id.eq_any(noted.iter().map(|(user, _)| *user)))
        .select((users::id, users::name))
        .load(session)
        .await?;
    let names: HashMap<i32, String> = names.into_iter().collect();
    let named = |(user, amount)| Some((names.get(&user)?.clone(), amount));
    Ok(noted.into_iter().filter_map(named).collect())
}
