//! No error and no `Debug` ever shows the password of a URL.

use diesel::prelude::*;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_binds::build::FromUrl;
use diesel_binds::{Bind, Binds, BuildError, Error, PoolOptions, RunQueryDsl, Source};
use kit::database::Database;
use kit::servers::Server;

use crate::registry::binds::{Accounts, Cache, Ledger, account, entry, texts};

/// The secret that must never be printed. It has letters only, so that it is the same in each form of a password.
const SECRET: &str = "Xyzzysecret";

/// Returns URLs with a password in the forms that users write, also invalid ones.
fn urls(scheme: &str) -> Vec<String> {
    [
        "{SCHEME}://app:{}@127.0.0.1:1/app",
        "{SCHEME}://app:%40{}%2F@127.0.0.1:1/app",
        "{SCHEME}://app:{}%@127.0.0.1:1/app",
        "{SCHEME}://app:{}/x@127.0.0.1:1/app",
        "{SCHEME}://app:{}#x@127.0.0.1:1/app",
        "{SCHEME}://app:{}?x=1@127.0.0.1:1/app",
        "{SCHEME}://app:x@{}@127.0.0.1:1/app",
        "{SCHEME}://app:x:{}@127.0.0.1:1/app",
        "{SCHEME}://app:12/{}@127.0.0.1:1/app",
        "{SCHEME}://app:12?{}@127.0.0.1:1/app",
        "{SCHEME}://app:12?{}=1@127.0.0.1:1/app",
        "{SCHEME}://app:{}@[::1/app",
        "{SCHEME}://app:{}@127.0.0.1:99999999/app",
        "{SCHEME}://app:{}@no.such.host.invalid/app",
        "{SCHEME}://app:{}@127.0.0.1:1/app?nonsense=1",
        "{SCHEME}://127.0.0.1:1/app?user=app&password={}",
        "{SCHEME}://127.0.0.1:1/app?sslmode={}",
        "{SCHEME}://127.0.0.1:1/app?sslmode=require&{}=1",
        "{SCHEME}://127.0.0.1:1/app?ssl-mode={}",
        "{SCHEME}://127.0.0.1:1/app?require_ssl={}",
        "{SCHEME}://127.0.0.1:1/app?channel_binding={}",
        "{SCHEME}://127.0.0.1:1/app?sslnegotiation={}",
        "{SCHEME}://127.0.0.1:1/app?sslpassword={}",
        "{SCHEME}://app:{}@127.0.0.1:1/app?sslmode=verify-ca",
        "{SCHEME}://app:{}@127.0.0.1:1/app?sslmode=require&sslmode=require",
        "{SCHEME}://app:{}?sslmode=verify-full@127.0.0.1:1/app",
        "host=127.0.0.1 port=1 user=app password={}",
        "host=127.0.0.1 port=1 user=app password='{}",
        "host=127.0.0.1 port=1 user=app password='{} sslmode=require'",
        "host=127.0.0.1 port=1 user=app sslmode={}",
        "host=127.0.0.1 port=1 user=app sslmode=require password='{}",
        "password={}://x host=127.0.0.1 port=1",
        "port={} host=127.0.0.1",
        "{}={} host=127.0.0.1",
        "{}",
    ]
    .iter()
    .map(|form| form.replace("{SCHEME}", scheme).replace("{}", SECRET))
    .collect()
}

fn assert_hides(url: &str, shown: &str) {
    assert!(!shown.contains(SECRET), "{url}: {shown}");
}

async fn load<B: Bind>(binds: &Binds) -> String {
    let session = binds.session();
    let error = match B::KEY {
        "accounts" => {
            account::table
                .select(account::id)
                .load::<i32>(&session)
                .await
        }
        _ => entry::table.select(entry::id).load::<i32>(&session).await,
    }
    .expect_err("there is no server");
    let mut shown = texts(&error);
    shown.push_str(&format!("{session:?}"));
    shown.push_str(&texts(
        &binds.install().await.expect_err("there is no server"),
    ));
    let report = binds.check().await;
    shown.push_str(&format!("{report} {report:?} {binds:?}"));
    shown
}

async fn nothing_tells_the_password<B: Bind<Connection: FromUrl> + Default>(scheme: &str) {
    for url in urls(scheme) {
        let pooling = PoolOptions::new().connect_timeout(std::time::Duration::from_secs(1));
        let builder = Binds::builder().bind(B::default(), Source::url(&url).pool_options(pooling));
        assert_hides(&url, &format!("{builder:?}"));
        match builder.build() {
            Ok(binds) => assert_hides(&url, &load::<B>(&binds).await),
            Err(error) => assert_hides(&url, &texts(&error)),
        }
    }
}

#[tokio::test]
async fn nothing_tells_the_password_of_a_url_of_postgres() {
    nothing_tells_the_password::<Accounts>("postgres").await;
}

#[tokio::test]
async fn nothing_tells_the_password_of_a_url_of_mysql() {
    nothing_tells_the_password::<Ledger>("mysql").await;
}

#[test]
fn nothing_tells_the_password_of_a_url_of_another_backend() {
    let hides = |url: &str, built: Result<Binds, BuildError>| {
        if let Err(error) = built {
            assert_hides(url, &texts(&error));
        }
    };
    for scheme in ["postgres", "mysql", "oracle"] {
        for url in urls(scheme) {
            hides(
                &url,
                Binds::builder().bind(Accounts, Source::url(&url)).build(),
            );
            hides(
                &url,
                Binds::builder().bind(Ledger, Source::url(&url)).build(),
            );
            hides(
                &url,
                Binds::builder().bind(Cache, Source::url(&url)).build(),
            );
        }
    }
}

/// The library never checks a pool of the application, and its driver may print its own settings.
#[tokio::test]
async fn nothing_tells_the_password_of_a_pool_of_ones_own() {
    for url in urls("postgres") {
        let manager = AsyncDieselConnectionManager::new(&url);
        let pool = diesel_async::pooled_connection::deadpool::Pool::builder(manager)
            .build()
            .unwrap();
        let binds = Binds::builder().bind(Accounts, pool).build().unwrap();
        assert_hides(&url, &load::<Accounts>(&binds).await);
    }
    for url in urls("mysql") {
        let manager = AsyncDieselConnectionManager::new(&url);
        let pool = diesel_async::pooled_connection::deadpool::Pool::builder(manager)
            .build()
            .unwrap();
        let binds = Binds::builder().bind(Ledger, pool).build().unwrap();
        assert_hides(&url, &load::<Ledger>(&binds).await);
    }
}

#[tokio::test]
async fn a_password_that_the_server_refuses_is_not_printed() {
    let database = Database::on(Server::MariadbA).await;
    for password in [SECRET.to_owned(), format!("%40{SECRET}%2F%3A")] {
        let url = database.app_url().replace("app-secret", &password);
        assert!(url.contains(SECRET));
        let binds = Binds::builder()
            .bind(Ledger, Source::url(&url))
            .build()
            .unwrap();
        let session = binds.session();
        let result = entry::table.select(entry::id).load::<i32>(&session).await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Pool { bind: "ledger", .. }));
        let shown = texts(&error);
        assert_hides(&url, &shown);
        assert!(shown.contains("Access denied"), "{shown}");
        assert_hides(&url, &load::<Ledger>(&binds).await);
    }
}
