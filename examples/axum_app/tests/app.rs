//! The service, running, as a client has it.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_binds::{Binds, RunQueryDsl, Source};
use kit::database::Database;
use kit::servers::Server;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::service;
use crate::service::schema::{Accounts, Ledger, entries};

/// One service on a free port, with databases that go away with it.
pub(crate) struct App {
    address: String,
    client: Client,
    binds: Binds,
    databases: [Database; 2],
}

/// The response to a client.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl App {
    pub(crate) async fn start() -> Self {
        let databases = [
            Database::on(Server::PostgresA).await,
            Database::on(Server::MariadbA).await,
        ];
        let binds = Binds::builder()
            .namespace("axum-app-tests")
            .bind(Accounts, Source::url(databases[0].url()))
            .bind(Ledger, Source::url(databases[1].url()))
            .build()
            .unwrap();
        binds.install().await.unwrap();
        service::schema::create(databases[0].url(), databases[1].url())
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = service::router(&binds);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            client: Client::new(),
            binds,
            databases,
        }
    }

    async fn send(request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        Answer {
            status: response.status(),
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.client.get(format!("{}{path}", self.address))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.address));
        Self::send(request.json(body)).await
    }

    /// The id of a new account.
    pub(crate) async fn open_account(&self, owner: &str, balance: i64) -> i32 {
        let account = json!({ "owner": owner, "balance": balance });
        let opened = self.post("/accounts", &account).await;
        assert_eq!(opened.status, StatusCode::CREATED, "{}", opened.body);
        opened.json()["id"].as_i64().unwrap().try_into().unwrap()
    }

    pub(crate) async fn pay(&self, reference: &str, payer: i32, payee: i32, amount: i64) -> Answer {
        let payment =
            json!({ "reference": reference, "payer": payer, "payee": payee, "amount": amount });
        self.post("/payments", &payment).await
    }

    pub(crate) async fn account(&self, id: i32) -> Value {
        self.get(&format!("/accounts/{id}")).await.json()
    }

    pub(crate) async fn balance(&self, id: i32) -> i64 {
        self.account(id).await["balance"].as_i64().unwrap()
    }

    /// How many entries there are on MariaDB.
    pub(crate) async fn entries(&self) -> i64 {
        let session = self.binds.session();
        let count = entries::table.count().get_result(&session).await;
        count.unwrap()
    }

    /// Waits for what goes on when its client has gone: a commit that had begun.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// Takes the table of the ledger away.
    pub(crate) async fn drop_ledger(&self) {
        let ledger = AsyncMysqlConnection::establish(self.databases[1].url()).await;
        let dropped = ledger.unwrap().batch_execute("DROP TABLE entries").await;
        dropped.unwrap();
    }
}
