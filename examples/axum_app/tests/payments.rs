//! The service as its author tests it: each test in a sandbox, on databases that all of them share.

use axum::http::StatusCode;
use serde_json::json;

use crate::service::schema::{Accounts, Ledger};
use crate::shop::Shop;

#[tokio::test]
async fn a_payment_moves_money_and_is_written_down() {
    let shop = Shop::open().await;
    let ada = shop.account("Ada", 100).await;
    let bob = shop.account("Bob", 0).await;

    assert_eq!(shop.pay("rent", ada, bob, 30).await, StatusCode::CREATED);

    assert_eq!(shop.balance(ada).await, 70);
    assert_eq!(shop.balance(bob).await, 30);
    let entries = shop.get(&format!("/accounts/{bob}")).await["entries"].take();
    assert_eq!(entries, json!([{ "reference": "rent", "amount": 30 }]));
    shop.close().await;
}

#[tokio::test]
async fn an_account_with_too_little_keeps_it() {
    let shop = Shop::open().await;
    let ada = shop.account("Ada", 100).await;
    let bob = shop.account("Bob", 0).await;

    assert_eq!(shop.pay("a car", ada, bob, 101).await, StatusCode::CONFLICT);

    assert_eq!(shop.balance(ada).await, 100);
    assert_eq!(shop.balance(bob).await, 0);
    shop.close().await;
}

/// The second time fails last, when both databases have been written to.
#[tokio::test]
async fn a_reference_is_paid_once() {
    let shop = Shop::open().await;
    let ada = shop.account("Ada", 100).await;
    let bob = shop.account("Bob", 0).await;

    assert_eq!(shop.pay("once", ada, bob, 30).await, StatusCode::CREATED);
    assert_eq!(shop.pay("once", ada, bob, 30).await, StatusCode::CONFLICT);

    assert_eq!(shop.balance(ada).await, 70);
    assert_eq!(shop.balance(bob).await, 30);
    shop.close().await;
}

#[tokio::test]
async fn a_payment_takes_four_queries_and_one() {
    let shop = Shop::open().await;
    let ada = shop.account("Ada", 100).await;
    let bob = shop.account("Bob", 0).await;
    shop.sandbox.clear_queries();

    assert_eq!(shop.pay("fast", ada, bob, 30).await, StatusCode::CREATED);

    let queries = shop.sandbox.queries(Accounts);
    assert_eq!(queries.len(), 4, "{queries:#?}");
    assert!(queries[0].ends_with("FOR UPDATE"), "{queries:#?}");
    assert_eq!(shop.sandbox.queries(Ledger).len(), 1);
    shop.close().await;
}
