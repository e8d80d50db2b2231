//! MariaDB, or MySQL in its place, over TLS.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_binds::build::BuildProblem;
use diesel_binds::check::Severity;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{
    Binds, PoolOptions, RecoveryOptions, RunQueryDsl, Session, SessionOptions, Source,
};
use kit::certificates::Shown;
use kit::database::Database;
use kit::in_the_clear::InTheClear;
use kit::secure_mysql::SecureMysql;
use kit::secure_postgres::CERTIFIED;
use kit::servers::Server;
use kit::source::Steps;
use tokio::time::{Instant, sleep};

use crate::registry::binds::{Cache, Ledger, texts};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
}

fn binds(url: &str) -> Binds {
    let pooling = PoolOptions::new().connect_timeout(Duration::from_secs(20));
    let source = Source::url(url).pool_options(pooling);
    Binds::builder()
        .bind(Ledger, source)
        .recovery(RecoveryOptions::new().without_worker())
        .build()
        .unwrap()
}

/// Returns whether a connection is encrypted as its server sees it, or why there is none.
async fn seen(binds: &Binds) -> String {
    let schema = match Server::MariadbA.is_mysql() {
        true => "performance_schema",
        false => "information_schema",
    };
    let query = format!(
        "SELECT IF(VARIABLE_VALUE = '', 'clear', 'encrypted') AS value FROM {schema}.session_status \
         WHERE VARIABLE_NAME = 'Ssl_cipher'"
    );
    let session = binds.session();
    let found: Result<Row, _> = diesel::sql_query(query)
        .get_result(&session.on(Ledger))
        .await;
    match found {
        Ok(row) => row.value,
        Err(error) => texts(&error),
    }
}

async fn assert_seen(url: &str, expected: &str) {
    let seen = seen(&binds(url)).await;
    let is_as_expected = match expected {
        "encrypted" | "clear" => seen == expected,
        part => seen.contains(part),
    };
    assert!(is_as_expected, "{url}: {expected}, and not: {seen}");
}

const UNKNOWN: &str = "the certificate of the server was refused: no authority that is trusted here has signed it (`ssl-ca`)";
const NO_TLS: &str = "the server offers no TLS, and `ssl-mode` does not allow a connection without";

/// The modes, with what becomes of a connection for each certificate in the order of [`Shown::ALL`], and without TLS.
fn table(server: &SecureMysql) -> Vec<(String, [&'static str; 6])> {
    let root = server
        .certificates
        .certificate("root")
        .display()
        .to_string();
    let refused = match Server::MariadbA.is_mysql() {
        true => "require_secure_transport",
        // MariaDB does not say why.
        false => "Access denied",
    };
    let (expired, other) = ("certificate expired", "not valid for name");
    let all = |last| {
        [
            "encrypted",
            "encrypted",
            "encrypted",
            "encrypted",
            "encrypted",
            last,
        ]
    };
    let authority = ["encrypted", "encrypted", expired, UNKNOWN, UNKNOWN, NO_TLS];
    vec![
        (
            "ssl-mode=DISABLED".into(),
            [refused, refused, refused, refused, refused, "clear"],
        ),
        (String::new(), all("clear")),
        ("ssl-mode=PREFERRED".into(), all("clear")),
        ("ssl-mode=REQUIRED".into(), all(NO_TLS)),
        ("require_ssl=true&verify_ca=false".into(), all(NO_TLS)),
        (format!("ssl-mode=VERIFY_CA&ssl-ca={root}"), authority),
        (format!("ssl-ca={root}"), authority),
        (
            format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={root}"),
            ["encrypted", other, expired, UNKNOWN, UNKNOWN, NO_TLS],
        ),
        (
            "ssl-ca=system".into(),
            [UNKNOWN, UNKNOWN, expired, UNKNOWN, UNKNOWN, NO_TLS],
        ),
    ]
}

#[tokio::test]
async fn each_mode_accepts_the_servers_that_it_should() {
    let server = SecureMysql::start().await;
    for (index, shown) in Shown::ALL.into_iter().enumerate() {
        if !server.shows(shown).await {
            assert!(matches!(shown, Shown::Expired | Shown::OtherAuthority));
            continue;
        }
        for (parameters, expected) in table(&server) {
            println!("{shown:?} {parameters}");
            assert_seen(&server.url("shop", &parameters), expected[index]).await;
        }
    }
    let in_the_clear = InTheClear::start().await;
    for (parameters, expected) in table(&server) {
        println!("no TLS {parameters}");
        let url = format!("{}?{parameters}", in_the_clear.url());
        assert_seen(&url, expected[5]).await;
    }
}

#[tokio::test]
async fn a_client_proves_by_its_certificate_who_it_is() {
    let server = SecureMysql::start().await;
    let root = server.certificates.certificate("root");
    let verified = format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={}", root.display());
    let identity = |name: &str| {
        let (certificate, key) = (
            server.certificates.certificate(name),
            server.certificates.key(name),
        );
        let parameters = format!(
            "{verified}&ssl-cert={}&ssl-key={}",
            certificate.display(),
            key.display()
        );
        server
            .url("shop", &parameters)
            .replace("app:app-secret", CERTIFIED)
    };
    assert_seen(&identity("client-rsa"), "encrypted").await;
    let without = server
        .url("shop", &verified)
        .replace("app:app-secret", CERTIFIED);
    assert_seen(&without, "Access denied").await;
    let built = Binds::builder()
        .bind(Ledger, Source::url(identity("client")))
        .build();
    let problem = built.unwrap_err().problems()[0].clone();
    assert!(matches!(problem, BuildProblem::Url { .. }));
    assert!(
        problem
            .to_string()
            .ends_with("`ssl-key` is not supported: the driver of MySQL reads keys of RSA only"),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_statement_is_killed() {
    let server = SecureMysql::start().await;
    let binds = binds(&server.url("shop", "ssl-mode=REQUIRED"));
    let sleeping = async || {
        let query = "SELECT INFO AS value FROM information_schema.PROCESSLIST \
                     WHERE INFO LIKE '%SLEEP(20)%' AND ID <> CONNECTION_ID()";
        server
            .admin("shop")
            .await
            .values(query)
            .await
            .unwrap()
            .len()
    };
    let begun = Instant::now();
    let mut session = binds.session();
    let sleeps = diesel::sql_query("SELECT CAST(SLEEP(20) AS CHAR) AS value");
    let target = session.on(Ledger);
    let until_it_runs = async {
        while sleeping().await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = RunQueryDsl::get_result::<Row>(sleeps, &target) => panic!("the statement ends"),
        () = until_it_runs => {}
    }
    session.rollback_all().await.ok();
    drop(session);
    binds.close().await;
    while sleeping().await > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "the statement still runs"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

async fn write(session: &Session, text: &str) {
    let insert = || diesel::sql_query(format!("INSERT INTO notes VALUES ('{text}')"));
    insert().execute(&session.on(Ledger)).await.unwrap();
    insert().execute(&session.on(Cache)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn units_migrations_and_recovery_work_over_tls_only() {
    let server = SecureMysql::start().await;
    let file = Database::sqlite();
    let steps = || {
        Steps::new().step(
            "2026-01-02-000000_notes",
            "CREATE TABLE notes (text VARCHAR(50))",
            "DROP TABLE notes",
        )
    };
    let binds = Binds::builder()
        .namespace("tls")
        .recovery(RecoveryOptions::new().without_worker())
        .bind(Ledger, Source::url(server.url("shop", "ssl-mode=REQUIRED")))
        .bind(Cache, Source::url(file.url()))
        .migrations(Ledger, steps())
        .migrations(Cache, steps())
        .build()
        .unwrap();
    binds.install().await.unwrap();
    binds.migrations().run().await.unwrap();
    let report = binds.check().await;
    assert!(report.severity() < Severity::Error, "{report}");
    for (point, kept) in [("decide:before", 0), ("decide:after", 1)] {
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        write(&session, point).await;
        let error = session.commit_all().await.unwrap_err();
        assert!(error.is_in_doubt(), "{error}");
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(pass.is_complete() && pass.recovered.len() == 1, "{pass}");
        let notes = "SELECT text AS value FROM notes";
        let mut admin = server.admin("shop").await;
        assert_eq!(admin.values(notes).await.unwrap().len(), kept, "{point}");
    }
    binds.close().await;
}
