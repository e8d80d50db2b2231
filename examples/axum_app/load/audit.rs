//! The conditions that hold after all requests.

use std::time::Duration;

use diesel::prelude::*;
use diesel_binds::{Binds, RunQueryDsl};
use kit::database::Database;
use kit::look::Look;
use tokio::time::{Instant, sleep};

use crate::service::schema::{accounts, entries, payments};
use crate::{ACCOUNTS, BALANCE};

/// Opens the accounts, and takes one reference.
pub(crate) async fn prepare(binds: &Binds) {
    let mut session = binds.session();
    let owners: Vec<_> = (1..=ACCOUNTS)
        .map(|id| {
            let owner = accounts::owner.eq(format!("owner {id}"));
            (accounts::id.eq(id), owner, accounts::balance.eq(BALANCE))
        })
        .collect();
    diesel::insert_into(accounts::table)
        .values(owners)
        .execute(&session)
        .await
        .unwrap();
    diesel::insert_into(payments::table)
        .values((
            payments::reference.eq("taken"),
            payments::payer.eq(0),
            payments::payee.eq(0),
            payments::amount.eq(0),
        ))
        .execute(&session)
        .await
        .unwrap();
    session.commit_all().await.unwrap();
}

/// Compares both databases row for row, and returns how many payments there are.
pub(crate) async fn agree(binds: &Binds) -> usize {
    let session = binds.session();
    let paid: Vec<(String, i32, i32, i64)> = payments::table
        .filter(payments::reference.ne("taken"))
        .order(payments::reference)
        .load(&session)
        .await
        .unwrap();
    let written: Vec<(String, i32, i64)> = entries::table
        .select((entries::reference, entries::account, entries::amount))
        .load(&session)
        .await
        .unwrap();

    let mut expected: Vec<_> = paid
        .iter()
        .flat_map(|(reference, payer, payee, amount)| {
            [
                (reference.clone(), *payer, -amount),
                (reference.clone(), *payee, *amount),
            ]
        })
        .collect();
    let mut balances = vec![BALANCE; usize::try_from(ACCOUNTS).unwrap()];
    for (_, account, amount) in &written {
        balances[usize::try_from(account - 1).unwrap()] += amount;
    }
    let mut written = written;
    expected.sort_unstable();
    written.sort_unstable();
    assert_eq!(
        written, expected,
        "an entry without its payment, or the other way round"
    );
    let kept: Vec<i64> = accounts::table
        .order(accounts::id)
        .select(accounts::balance)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(kept, balances, "a balance without its entries");
    assert!(!paid.is_empty());
    paid.len()
}

/// Nothing is open, and nothing is prepared. The sessions of clients that hung up end in the background.
pub(crate) async fn nothing_is_open(databases: &[Database]) {
    for database in databases {
        let mut look = Look::at(database).await;
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let open = match look {
                Look::Mysql(..) => look.transactions().await,
                _ => look.open().await,
            };
            if open.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "still open: {open:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
