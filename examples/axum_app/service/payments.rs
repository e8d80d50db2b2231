//! A payment: two balances on PostgreSQL and two entries on MariaDB, all of it or nothing.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel_binds::{Error, RunQueryDsl, Scope, current};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::schema::{accounts, entries, payments};

/// The client chooses the reference. After an answer that tells it nothing it asks for the payment of that reference, and
/// pays again only if there is none.
#[derive(Clone, Deserialize, Serialize, Insertable, Queryable, Selectable)]
#[diesel(table_name = payments)]
pub(crate) struct Payment {
    pub(crate) reference: String,
    pub(crate) payer: i32,
    pub(crate) payee: i32,
    pub(crate) amount: i64,
}

/// `POST /payments`
pub(crate) async fn pay(
    Json(payment): Json<Payment>,
) -> Result<(StatusCode, Json<Payment>), Refusal> {
    if payment.amount <= 0 {
        return Err(Refusal::AmountNotPositive);
    }
    take(&payment).await?;
    give(&payment).await?;
    write_down(&payment).await?;
    Ok((StatusCode::CREATED, Json(payment)))
}

/// `GET /payments/{reference}`
pub(crate) async fn show(
    scope: Scope,
    Path(reference): Path<String>,
) -> Result<Json<Payment>, Error> {
    let payment = payments::table.find(reference);
    let payment = payment.select(Payment::as_select()).first(&scope).await?;
    Ok(Json(payment))
}

/// Takes the amount from the payer.
async fn take(payment: &Payment) -> Result<(), Refusal> {
    let scope = current()?;
    // In one order, so that payments between the same two accounts wait for each other, and never for ever.
    let locked: Vec<(i32, i64)> = accounts::table
        .filter(accounts::id.eq_any([payment.payer, payment.payee]))
        .order(accounts::id)
        .select((accounts::id, accounts::balance))
        .for_update()
        .load(&scope)
        .await?;
    let balance_of = |id| locked.iter().find(|(other, _)| *other == id);
    let (Some((_, balance)), Some(_)) = (balance_of(payment.payer), balance_of(payment.payee))
    else {
        return Err(Refusal::NoSuchAccount);
    };
    if *balance < payment.amount {
        return Err(Refusal::NotEnough);
    }
    diesel::update(accounts::table.find(payment.payer))
        .set(accounts::balance.eq(accounts::balance - payment.amount))
        .execute(&scope)
        .await?;
    Ok(())
}

/// Gives the amount to the payee.
async fn give(payment: &Payment) -> Result<(), Refusal> {
    diesel::update(accounts::table.find(payment.payee))
        .set(accounts::balance.eq(accounts::balance + payment.amount))
        .execute(&current()?)
        .await?;
    Ok(())
}

/// Writes the entries on MariaDB, and the payment on PostgreSQL, which knows each reference once.
async fn write_down(payment: &Payment) -> Result<(), Refusal> {
    let scope = current()?;
    let entry = |account, amount| {
        (
            entries::reference.eq(&payment.reference),
            entries::account.eq(account),
            entries::amount.eq(amount),
        )
    };
    diesel::insert_into(entries::table)
        .values(vec![
            entry(payment.payer, -payment.amount),
            entry(payment.payee, payment.amount),
        ])
        .execute(&scope)
        .await?;
    let written = diesel::insert_into(payments::table)
        .values(payment)
        .execute(&scope)
        .await;
    match written {
        Ok(_) => Ok(()),
        Err(error) if is_taken(&error) => Err(Refusal::AlreadyPaid),
        Err(error) => Err(error.into()),
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(error.kind(), Some(DatabaseErrorKind::UniqueViolation))
}
