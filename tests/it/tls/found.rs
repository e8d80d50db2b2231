//! The preflight names a host whose connections are in the clear although its URL would allow TLS.

use diesel_binds::build::FromUrl;
use diesel_binds::check::Finding;
use diesel_binds::{Bind, Binds, Source};
use kit::database::Database;
use kit::in_the_clear::InTheClear;
use kit::secure_postgres::SecurePostgres;
use kit::servers::Server;

use crate::registry::binds::{Accounts, Ledger};

/// Returns the hosts that the preflight names.
async fn unencrypted<B: Bind<Connection: FromUrl> + Default>(url: &str) -> Vec<String> {
    let built = Binds::builder()
        .bind(B::default(), Source::url(url))
        .build();
    let report = built.unwrap().check().await;
    let findings = report.binds.into_iter().flat_map(|bind| bind.findings);
    findings
        .filter_map(|finding| match finding {
            Finding::Unencrypted { host } => Some(host),
            Finding::Unreachable(fault) => panic!("{url}: {fault:?}"),
            _ => None,
        })
        .collect()
}

/// On Linux, this address leads to this machine, and is not one of its loopback addresses.
const ELSEWHERE: &str = "0.0.0.0";

#[tokio::test]
async fn another_host_in_the_clear_is_found_unless_the_url_says_that_it_is_meant() {
    let postgres = Database::on(Server::PostgresA).await;
    let here = postgres.url().to_owned();
    let there = here.replace("127.0.0.1", ELSEWHERE);
    assert_eq!(unencrypted::<Accounts>(&here).await, [""; 0]);
    assert_eq!(unencrypted::<Accounts>(&there).await, [ELSEWHERE]);
    assert_eq!(
        unencrypted::<Accounts>(&format!("{there}?sslmode=disable")).await,
        [""; 0]
    );

    let mariadb = InTheClear::start().await;
    let here = mariadb.url();
    let there = here.replace("127.0.0.1", ELSEWHERE);
    assert_eq!(unencrypted::<Ledger>(&here).await, [""; 0]);
    assert_eq!(unencrypted::<Ledger>(&there).await, [ELSEWHERE]);
    assert_eq!(
        unencrypted::<Ledger>(&format!("{there}?ssl-mode=DISABLED")).await,
        [""; 0]
    );
}

#[tokio::test]
async fn an_encrypted_connection_is_not_found() {
    let server = SecurePostgres::start().await;
    let url = server.url("shop", "").replace("localhost", ELSEWHERE);
    assert_eq!(unencrypted::<Accounts>(&url).await, [""; 0]);
}
