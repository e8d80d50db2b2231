//! Opening an account, and looking at one: its balance is on PostgreSQL, its entries are on MariaDB.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use diesel::prelude::*;
use diesel_binds::{OptionalExt as _, RunQueryDsl, Scope};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::schema::{accounts, entries};

#[derive(Deserialize, Insertable)]
#[diesel(table_name = accounts)]
pub(crate) struct NewAccount {
    owner: String,
    balance: i64,
}

#[derive(Serialize, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub(crate) struct Account {
    id: i32,
    owner: String,
    balance: i64,
}

#[derive(Serialize, Queryable, Selectable)]
#[diesel(table_name = entries)]
pub(crate) struct Entry {
    reference: String,
    amount: i64,
}

#[derive(Serialize)]
pub(crate) struct Statement {
    #[serde(flatten)]
    account: Account,
    entries: Vec<Entry>,
}

/// `POST /accounts`
pub(crate) async fn open(
    scope: Scope,
    Json(new): Json<NewAccount>,
) -> Result<(StatusCode, Json<Account>), Refusal> {
    let account = diesel::insert_into(accounts::table)
        .values(new)
        .returning(Account::as_returning())
        .get_result(&scope)
        .await?;
    Ok((StatusCode::CREATED, Json(account)))
}

/// `GET /accounts/{id}`
pub(crate) async fn show(scope: Scope, Path(id): Path<i32>) -> Result<Json<Statement>, Refusal> {
    let account = accounts::table
        .find(id)
        .select(Account::as_select())
        .first(&scope)
        .await
        .optional()?
        .ok_or(Refusal::NoSuchAccount)?;
    let entries = entries::table
        .filter(entries::account.eq(id))
        .order(entries::id)
        .select(Entry::as_select())
        .load(&scope)
        .await?;
    Ok(Json(Statement { account, entries }))
}
