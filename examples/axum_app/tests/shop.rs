//! The service in a sandbox, for one test: requests go to the router, and not over a network.

use std::sync::{Arc, Weak};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use diesel_binds::testing::Sandbox;
use diesel_binds::{Binds, RecoveryOptions, Source};
use kit::database::Database;
use kit::servers::Server;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower::ServiceExt as _;

use crate::service;
use crate::service::schema::{Accounts, Ledger};

/// The service, of which nothing is kept.
pub(crate) struct Shop {
    pub(crate) sandbox: Sandbox,
    router: Router,
    _databases: Arc<Databases>,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let databases = Databases::shared().await;
        let sandbox = Sandbox::of(&databases.binds).bind(Accounts).bind(Ledger);
        let sandbox = sandbox.start().await.unwrap();
        Self {
            router: service::router(sandbox.binds()),
            sandbox,
            _databases: databases,
        }
    }

    /// Makes sure that nothing is left.
    pub(crate) async fn close(self) {
        self.sandbox.end().await.unwrap();
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.send(request).await.1
    }

    /// The id of a new account.
    pub(crate) async fn account(&self, owner: &str, balance: i64) -> i64 {
        let new = json!({ "owner": owner, "balance": balance });
        let (_, opened) = self.post("/accounts", &new).await;
        opened["id"].as_i64().unwrap()
    }

    pub(crate) async fn pay(
        &self,
        reference: &str,
        payer: i64,
        payee: i64,
        amount: i64,
    ) -> StatusCode {
        let payment =
            json!({ "reference": reference, "payer": payer, "payee": payee, "amount": amount });
        self.post("/payments", &payment).await.0
    }

    pub(crate) async fn balance(&self, id: i64) -> i64 {
        let account = self.get(&format!("/accounts/{id}")).await;
        account["balance"].as_i64().unwrap()
    }
}

/// The databases of all tests that run now; the last one takes them along. An application has them ready instead.
struct Databases {
    binds: Binds,
    _databases: [Database; 2],
}

impl Databases {
    async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Databases>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(databases) = shared.upgrade() {
            return databases;
        }
        let databases = [
            Database::on(Server::PostgresA).await,
            Database::on(Server::MariadbA).await,
        ];
        let binds = Binds::builder()
            .namespace("axum-app-shop")
            .recovery(RecoveryOptions::new().without_worker())
            .bind(Accounts, Source::url(databases[0].url()))
            .bind(Ledger, Source::url(databases[1].url()))
            .build()
            .unwrap();
        binds.install().await.unwrap();
        service::schema::create(databases[0].url(), databases[1].url())
            .await
            .unwrap();
        let databases = Arc::new(Self {
            binds,
            _databases: databases,
        });
        *shared = Arc::downgrade(&databases);
        databases
    }
}
