//! The service over HTTP, against two databases of its own; in `payments`, in a sandbox.

#[path = "../service/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program uses more of it")]
mod service;

mod app;
mod payments;
mod shop;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn a_payment_moves_money_and_writes_an_entry_on_both_sides() {
    let app = App::start().await;
    let ada = app.open_account("Ada", 100).await;
    let bob = app.open_account("Bob", 0).await;

    let paid = app.pay("rent", ada, bob, 30).await;
    assert_eq!(paid.status, StatusCode::CREATED);

    let entries = json!([{ "reference": "rent", "amount": -30 }]);
    let expected = json!({ "id": ada, "owner": "Ada", "balance": 70, "entries": entries });
    assert_eq!(app.account(ada).await, expected);
    let entries = json!([{ "reference": "rent", "amount": 30 }]);
    let expected = json!({ "id": bob, "owner": "Bob", "balance": 30, "entries": entries });
    assert_eq!(app.account(bob).await, expected);
    assert_eq!(app.get("/payments/rent").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_payment_that_is_refused_changes_nothing_anywhere() {
    let app = App::start().await;
    let ada = app.open_account("Ada", 100).await;
    let bob = app.open_account("Bob", 0).await;

    for (payer, payee, amount, status, said) in [
        (ada, bob, 101, 409, "not enough on the account"),
        (ada, 4711, 10, 404, "no such account"),
        (ada, bob, 0, 422, "the amount is not above 0"),
        (ada, bob, -5, 422, "the amount is not above 0"),
    ] {
        let refused = app.pay("rent", payer, payee, amount).await;
        assert_eq!(refused.status.as_u16(), status);
        assert_eq!(refused.json(), json!({ "error": said }));
    }

    assert_eq!(app.balance(ada).await, 100);
    assert_eq!(app.balance(bob).await, 0);
    assert_eq!(app.entries().await, 0);
    assert_eq!(
        app.get("/payments/rent").await.status,
        StatusCode::NOT_FOUND
    );
}

/// The second one fails last, when both databases have been written to.
#[tokio::test]
async fn a_reference_is_paid_once() {
    let app = App::start().await;
    let ada = app.open_account("Ada", 100).await;
    let bob = app.open_account("Bob", 0).await;
    assert_eq!(
        app.pay("rent", ada, bob, 30).await.status,
        StatusCode::CREATED
    );

    let again = app.pay("rent", ada, bob, 30).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(
        again.json(),
        json!({ "error": "the reference is already paid" })
    );

    assert_eq!(app.balance(ada).await, 70);
    assert_eq!(app.entries().await, 2);
}

#[tokio::test]
async fn payments_at_once_between_the_same_accounts_all_count() {
    let app = App::start().await;
    let ada = app.open_account("Ada", 100).await;
    let bob = app.open_account("Bob", 100).await;

    let payments = (0..20).map(|number| {
        let (payer, payee) = if number % 2 == 0 {
            (ada, bob)
        } else {
            (bob, ada)
        };
        let app = &app;
        async move {
            app.pay(&format!("payment {number}"), payer, payee, 1)
                .await
                .status
        }
    });
    for status in futures_util::future::join_all(payments).await {
        assert_eq!(status, StatusCode::CREATED);
    }

    assert_eq!(app.balance(ada).await, 100);
    assert_eq!(app.balance(bob).await, 100);
    assert_eq!(app.entries().await, 40);
}

#[tokio::test]
async fn a_client_that_hangs_up_pays_all_or_nothing() {
    let app = App::start().await;
    let ada = app.open_account("Ada", 100).await;
    let bob = app.open_account("Bob", 0).await;

    for number in 0..20 {
        let patience = Duration::from_millis(number * 2);
        let reference = format!("payment {number}");
        let payment = app.pay(&reference, ada, bob, 1);
        let _ = tokio::time::timeout(patience, payment).await;
    }

    app.settle().await;
    let received = app.balance(bob).await;
    assert_eq!(app.balance(ada).await, 100 - received);
    assert_eq!(app.entries().await, 2 * received);
}

#[tokio::test]
async fn a_database_that_is_gone_is_no_secret_told_to_a_client() {
    let app = App::start().await;
    let ada = app.open_account("Ada", 100).await;
    let bob = app.open_account("Bob", 0).await;
    app.drop_ledger().await;

    let failed = app.pay("rent", ada, bob, 30).await;
    assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.body, "Something went wrong.");
    assert_eq!(
        app.get("/payments/rent").await.status,
        StatusCode::NOT_FOUND
    );
}
