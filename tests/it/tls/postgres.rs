//! PostgreSQL over TLS.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_binds::check::Severity;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{
    Binds, PoolOptions, RecoveryOptions, RunQueryDsl, Session, SessionOptions, Source,
};
use kit::certificates::Shown;
use kit::database::Database;
use kit::pooler::Pooler;
use kit::secure_postgres::{CERTIFIED, SecurePostgres};
use kit::servers::Server;
use kit::source::Steps;
use kit::stripping::Stripping;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::registry::binds::{Accounts, Orders, texts};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
}

fn binds(url: &str) -> Binds {
    let pooling = PoolOptions::new().connect_timeout(Duration::from_secs(20));
    let source = Source::url(url).pool_options(pooling);
    Binds::builder()
        .bind(Accounts, source)
        .recovery(RecoveryOptions::new().without_worker())
        .build()
        .unwrap()
}

/// Returns whether a connection is encrypted as its server sees it, or why there is none.
async fn seen(binds: &Binds) -> String {
    let query = "SELECT CASE WHEN ssl THEN 'encrypted' ELSE 'clear' END AS value FROM pg_stat_ssl \
                 WHERE pid = pg_backend_pid()";
    let session = binds.session();
    let found: Result<Row, _> = diesel::sql_query(query)
        .get_result(&session.on(Accounts))
        .await;
    match found {
        Ok(row) => row.value,
        Err(error) => texts(&error),
    }
}

/// Asserts that a connection by this URL is what is expected: `encrypted`, `clear`, or a part of an error.
async fn assert_seen(url: &str, expected: &str) {
    let seen = seen(&binds(url)).await;
    let is_as_expected = match expected {
        "encrypted" | "clear" => seen == expected,
        part => seen.contains(part),
    };
    assert!(is_as_expected, "{url}: {expected}, and not: {seen}");
}

const UNKNOWN: &str =
    "the certificate of the server was refused: no authority that is trusted here has signed it";
const NO_TLS: &str = "the server offers no TLS, and `sslmode` does not allow a connection without";

/// The modes, with what becomes of a connection for each certificate in the order of [`Shown::ALL`], and without TLS.
fn table(server: &SecurePostgres) -> Vec<(String, [&'static str; 6])> {
    let encrypted = ["encrypted"; 5];
    let all = |last| [encrypted.as_slice(), &[last]].concat().try_into().unwrap();
    let root = server
        .certificates
        .certificate("root")
        .display()
        .to_string();
    let refused = "use `sslmode=require` or stricter";
    let (expired, other) = ("certificate expired", "not valid for name");
    let authority = ["encrypted", "encrypted", expired, UNKNOWN, UNKNOWN, NO_TLS];
    vec![
        (
            "sslmode=disable".into(),
            [refused, refused, refused, refused, refused, "clear"],
        ),
        ("".into(), all("clear")),
        ("sslmode=prefer".into(), all("clear")),
        ("sslmode=require".into(), all(NO_TLS)),
        (format!("sslmode=verify-ca&sslrootcert={root}"), authority),
        (format!("sslmode=require&sslrootcert={root}"), authority),
        (
            format!("sslmode=verify-full&sslrootcert={root}"),
            ["encrypted", other, expired, UNKNOWN, UNKNOWN, NO_TLS],
        ),
        (
            "sslrootcert=system".into(),
            [UNKNOWN, UNKNOWN, expired, UNKNOWN, UNKNOWN, NO_TLS],
        ),
    ]
}

#[tokio::test]
async fn each_mode_accepts_the_servers_that_it_should() {
    let server = SecurePostgres::start().await;
    for (index, shown) in Shown::ALL.into_iter().enumerate() {
        server.shows(shown).await;
        for (parameters, expected) in table(&server) {
            println!("{shown:?} {parameters}");
            assert_seen(&server.url("shop", &parameters), expected[index]).await;
        }
    }
    let in_the_clear = Database::on(Server::PostgresA).await;
    for (parameters, expected) in table(&server) {
        assert_seen(&format!("{}?{parameters}", in_the_clear.url()), expected[5]).await;
    }
}

#[tokio::test]
async fn a_proxy_that_takes_tls_away_gets_no_connection_that_must_be_encrypted() {
    let server = SecurePostgres::start().await;
    let proxy = Stripping::start(&server.url("shop", "")).await;
    for (parameters, expected) in table(&server) {
        let url = proxy.url(&server.url("shop", &parameters));
        // `prefer` goes on in the clear, and the server refuses it.
        let expected = match expected[5] {
            "clear" => "use `sslmode=require` or stricter",
            refused => refused,
        };
        assert_seen(&url, expected).await;
    }
}

#[tokio::test]
async fn a_client_proves_by_its_certificate_who_it_is() {
    let server = SecurePostgres::start().await;
    let identity = |name: &str| {
        let (certificate, key) = (
            server.certificates.certificate(name),
            server.certificates.key(name),
        );
        let verified = server.verified();
        let parameters = format!(
            "{verified}&sslcert={}&sslkey={}",
            certificate.display(),
            key.display()
        );
        server
            .url("shop", &parameters)
            .replace("app:app-secret", CERTIFIED)
    };
    assert_seen(&identity("client"), "encrypted").await;
    let without = server
        .url("shop", &server.verified())
        .replace("app:app-secret", CERTIFIED);
    assert_seen(&without, "requires a valid client certificate").await;
    assert_seen(&identity("stranger"), "UnknownCA").await;
}

#[tokio::test]
async fn a_password_is_bound_to_the_channel() {
    let server = SecurePostgres::start().await;
    for binding in ["disable", "prefer", "require"] {
        let parameters = format!("{}&channel_binding={binding}", server.verified());
        assert_seen(&server.url("shop", &parameters), "encrypted").await;
    }
}

#[tokio::test]
async fn a_renewed_file_is_read_and_a_broken_one_is_not_used() {
    let server = SecurePostgres::start().await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.crt");
    fs::copy(server.certificates.certificate("root"), &roots).unwrap();
    let parameters = format!("sslmode=verify-full&sslrootcert={}", roots.display());
    let url = server.url("shop", &parameters);
    let binds = binds(&url);
    assert_eq!(seen(&binds).await, "encrypted");

    // Each time, the pool is made to open a connection.
    let reconnects = async |binds: &Binds| {
        let end = "SELECT pg_terminate_backend(pid)::text AS value FROM pg_stat_activity WHERE usename = 'app'";
        let mut admin = server.admin("postgres").await;
        admin.values(end).await.unwrap();
        loop {
            let seen = seen(binds).await;
            if !seen.contains("terminat") && !seen.contains("closed") {
                return seen;
            }
        }
    };
    fs::write(&roots, "no certificate").unwrap();
    assert_eq!(reconnects(&binds).await, "encrypted");
    fs::copy(server.certificates.certificate("other-root"), &roots).unwrap();
    let refused = reconnects(&binds).await;
    assert!(refused.contains(UNKNOWN), "{refused}");
    fs::copy(server.certificates.certificate("root"), &roots).unwrap();
    assert_eq!(reconnects(&binds).await, "encrypted");
}

/// Returns the number of statements that sleep.
async fn sleeping(server: &SecurePostgres) -> usize {
    let query = "SELECT query AS value FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%' \
                 AND state = 'active' AND pid <> pg_backend_pid()";
    server
        .admin("postgres")
        .await
        .values(query)
        .await
        .unwrap()
        .len()
}

/// Drops a statement of 20 seconds once it runs.
async fn drop_a_statement(server: &SecurePostgres, binds: &Binds) {
    let mut session = binds.session();
    let sleeps = diesel::sql_query("SELECT pg_sleep(20)::text AS value");
    let target = session.on(Accounts);
    let until_it_runs = async {
        while sleeping(server).await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = RunQueryDsl::get_result::<Row>(sleeps, &target) => panic!("the statement ends"),
        () = until_it_runs => {}
    }
    session.rollback_all().await.ok();
    drop(session);
    // Waits for the background clean-up.
    binds.close().await;
}

/// Drops a statement, and waits until it is cancelled, which is long before it ends by itself.
async fn assert_cancels(server: &SecurePostgres, binds: &Binds) {
    let begun = Instant::now();
    drop_a_statement(server, binds).await;
    while sleeping(server).await > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "the statement still runs"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_statement_is_cancelled() {
    let server = SecurePostgres::start().await;
    let url = server.url("shop", &server.verified());
    assert_cancels(&server, &binds(&url)).await;
}

/// Returns a pool of the application, which encrypts its connections by itself.
fn ready_pool(server: &SecurePostgres, database: &str) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(server.opener());
    let url = server.url(database, "sslmode=require");
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    Pool::builder(manager).max_size(4).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_statement_of_a_pool_with_tls_of_its_own_is_cancelled() {
    let server = SecurePostgres::start().await;
    let pool = ready_pool(&server, "shop");
    let builder = Binds::builder().bind(Accounts, pool);
    assert_cancels(&server, &builder.build().unwrap()).await;
}

/// Forwards connections to the server, and returns the port and whether a request to cancel came in the clear.
async fn watched(server: &SecurePostgres) -> (u16, Arc<AtomicBool>) {
    /// The length of a request to cancel, and its code.
    const CANCEL: [u8; 8] = [0, 0, 0, 16, 4, 210, 22, 46];
    let seen = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = Url::parse(&server.url("shop", "")).unwrap().port().unwrap();
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut begin = [0; 8];
                client.read_exact(&mut begin).await.ok();
                noted.fetch_or(begin == CANCEL, Ordering::SeqCst);
                let mut server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                server.write_all(&begin).await.ok();
                copy_bidirectional(&mut client, &mut server).await.ok();
            });
        }
    });
    (port, seen)
}

/// The number and the key in such a request are as secret as what the connection sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_cancel_is_encrypted_as_its_connection_is() {
    let server = SecurePostgres::start().await;
    let (port, in_the_clear) = watched(&server).await;
    let through = |parameters: &str| {
        let mut url = Url::parse(&server.url("shop", parameters)).unwrap();
        url.set_port(Some(port)).unwrap();
        url.to_string()
    };
    for mode in ["prefer", "require"] {
        let url = through(&format!("sslmode={mode}"));
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(server.opener());
        let manager = AsyncDieselConnectionManager::new_with_config(&url, config);
        let ready: Pool<AsyncPgConnection> = Pool::builder(manager).max_size(4).build().unwrap();
        let ready = Binds::builder().bind(Accounts, ready).build().unwrap();
        for binds in [binds(&url), ready] {
            assert_cancels(&server, &binds).await;
            assert!(!in_the_clear.load(Ordering::SeqCst), "{mode}");
        }
    }
}

/// A request that names the number of a pooler may reach the statement of another client.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_behind_tls_is_recognized_and_no_statement_is_cancelled_through_it() {
    let server = SecurePostgres::start().await;
    let pooler = Pooler::with_tls(&server);
    let url = pooler.url(&server.url("shop", "sslmode=require"));
    drop_a_statement(&server, &binds(&url)).await;
    assert_eq!(sleeping(&server).await, 1);
}

async fn write(session: &Session, text: &str) -> Result<(), diesel_binds::Error> {
    for write in [
        diesel::sql_query(format!("INSERT INTO notes VALUES ('{text}')"))
            .execute(&session.on(Accounts))
            .await,
        diesel::sql_query(format!("INSERT INTO notes VALUES ('{text}')"))
            .execute(&session.on(Orders))
            .await,
    ] {
        write?;
    }
    Ok(())
}

fn both(server: &SecurePostgres, pools: bool) -> Binds {
    let verified = server.verified();
    let urls = [server.url("shop", &verified), server.url("bank", &verified)];
    let builder = Binds::builder()
        .namespace("tls")
        .recovery(RecoveryOptions::new().without_worker());
    let builder = match pools {
        false => builder
            .bind(Accounts, Source::url(&urls[0]))
            .bind(Orders, Source::url(&urls[1])),
        true => builder
            .bind(Accounts, ready_pool(server, "shop"))
            .bind(Orders, ready_pool(server, "bank")),
    };
    let steps = || {
        Steps::new().step(
            "2026-01-02-000000_notes",
            "CREATE TABLE notes (text TEXT)",
            "DROP TABLE notes",
        )
    };
    builder
        .migrations(Accounts, steps())
        .migrations(Orders, steps())
        .build()
        .unwrap()
}

async fn assert_works(server: &SecurePostgres, binds: &Binds) {
    binds.install().await.unwrap();
    binds.migrations().run().await.unwrap();
    binds.migrations().check().await.unwrap();
    let report = binds.check().await;
    assert!(report.severity() < Severity::Error, "{report}");
    for (point, kept) in [("decide:before", 0), ("decide:after", 1)] {
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        write(&session, point).await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(error.is_in_doubt(), "{error}");
        let doubt = binds.recovery().in_doubt().await;
        assert_eq!(doubt.in_doubt.len(), 1, "{doubt}");
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(pass.is_complete() && pass.recovered.len() == 1, "{pass}");
        for database in ["shop", "bank"] {
            let mut admin = server.admin(database).await;
            let notes = "SELECT text AS value FROM notes";
            assert_eq!(admin.values(notes).await.unwrap().len(), kept, "{point}");
        }
    }
    let mut session = binds.session();
    write(&session, "whole").await.unwrap();
    session.commit_all().await.unwrap();
    binds.migrations().revert_all().await.unwrap();
    timeout(Duration::from_secs(30), binds.close())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn units_migrations_and_recovery_work_over_tls_only() {
    let server = SecurePostgres::start().await;
    assert_works(&server, &both(&server, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_and_recovery_work_with_pools_of_the_application() {
    let server = SecurePostgres::start().await;
    assert_works(&server, &both(&server, true)).await;
}
