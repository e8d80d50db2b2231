//! The opening of connections by a URL: accounts, addresses and the time limit.

use std::net::Ipv6Addr;
use std::time::Duration;

use diesel_binds::build::FromUrl;
use diesel_binds::{Bind, Binds, PoolOptions, Source};
use kit::admin::Admin;
use kit::database::Database;
use kit::side::{MariadbA, PostgresA, Side};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::registry::binds::texts;

fn binds<S: Side>(url: &str, options: PoolOptions) -> Binds
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let source = Source::url(url).pool_options(options);
    Binds::builder().bind(S::bind(), source).build().unwrap()
}

/// Reads a row, and returns the texts of the error if there is one.
async fn read<S: Side>(url: &str) -> Result<(), String>
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let binds = binds::<S>(url, PoolOptions::new());
    let result = S::read(&binds.session()).await;
    result.map(drop).map_err(|error| texts(&error))
}

/// The driver panics at this plugin unless it was compiled with it.
#[tokio::test]
async fn an_account_of_mariadb_with_ed25519_can_log_in() {
    let database = MariadbA::database().await;
    let mut admin = Admin::connect(database.url()).await;
    let name = database.name().unwrap();
    admin
        .run(&format!(
            "INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'; \
             CREATE OR REPLACE USER edward@'%' IDENTIFIED VIA ed25519 USING PASSWORD('right'); \
             GRANT ALL ON `{name}`.* TO edward@'%'"
        ))
        .await
        .unwrap();
    let url = |password| {
        let mut url = Url::parse(database.url()).unwrap();
        url.set_username("edward").unwrap();
        url.set_password(Some(password)).unwrap();
        url.to_string()
    };
    assert_eq!(read::<MariadbA>(&url("right")).await, Ok(()));
    let refused = read::<MariadbA>(&url("wrong")).await.unwrap_err();
    assert!(refused.contains("Access denied"), "{refused}");
    assert!(!refused.contains("wrong"), "{refused}");
}

/// Forwards connections from an address of IPv6 to the server of a URL, and returns the URL of that address.
async fn by_ipv6(database: &Database) -> String {
    let mut url = Url::parse(database.url()).unwrap();
    let upstream = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    url.set_host(Some("[::1]")).unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(async move {
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .ok();
            });
        }
    });
    url.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_postgres_is_reached_by_ipv6() {
    let database = PostgresA::database().await;
    let url = by_ipv6(&database).await;
    assert_eq!(read::<PostgresA>(&url).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_mariadb_is_reached_by_ipv6() {
    let database = MariadbA::database().await;
    let url = by_ipv6(&database).await;
    assert_eq!(read::<MariadbA>(&url).await, Ok(()));
}

/// A check and an installation open a connection beside the pool, and wait no longer for it than the pool does.
async fn a_server_that_never_answers_costs_the_limit_of_the_pool<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let database = S::database().await;
    // The system accepts the connection, and nobody reads from it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut url = Url::parse(database.url()).unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    let limit = Duration::from_millis(200);
    let options = PoolOptions::new().connect_timeout(limit);
    let binds = binds::<S>(url.as_str(), options);
    let late = "within 200ms";
    let installed = texts(&binds.install().await.unwrap_err());
    assert!(installed.contains(late), "{installed}");
    let checked = binds.check().await.to_string();
    assert!(checked.contains(late), "{checked}");
    let used = S::read(&binds.session()).await;
    let used = texts(&used.map(drop).unwrap_err());
    assert!(used.contains(late), "{used}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_never_answers_costs_the_limit_of_the_pool() {
    a_server_that_never_answers_costs_the_limit_of_the_pool::<PostgresA>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_never_answers_costs_the_limit_of_the_pool() {
    a_server_that_never_answers_costs_the_limit_of_the_pool::<MariadbA>().await;
}
