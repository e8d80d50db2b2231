//! Tables of the protocol that cannot keep a promise: refused before the prepares, and reported by the preflight and by
//! `install()`.

use diesel_binds::check::Finding;
use diesel_binds::config::HolderPreference;
use diesel_binds::error::Fault;
use diesel_binds::{BindOptions, Binds, CommitError, Error, Source};
use kit::admin::Admin;
use kit::database::Database;
use kit::side::{MariadbA, PostgresA, PostgresB, Side, Sqlite};

use crate::commit::pair::{Pair, sqlite_with};

/// The statements that change a table of the protocol, and a word of the resulting error.
type Kind = (&'static str, &'static str);

const POSTGRES: [Kind; 15] = [
    (
        "ALTER TABLE diesel_binds_decision RENAME TO elsewhere; \
         CREATE VIEW diesel_binds_decision AS SELECT * FROM elsewhere",
        "a view",
    ),
    ("ALTER TABLE diesel_binds_decision SET UNLOGGED", "unlogged"),
    ("ALTER TABLE diesel_binds_meta SET UNLOGGED", "unlogged"),
    (
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER swallow BEFORE INSERT ON diesel_binds_decision FOR EACH ROW EXECUTE FUNCTION swallow()",
        "trigger `swallow`",
    ),
    (
        "CREATE RULE swallow AS ON INSERT TO diesel_binds_decision DO INSTEAD NOTHING",
        "rule `swallow`",
    ),
    (
        "DROP TABLE diesel_binds_decision; \
         CREATE TABLE diesel_binds_decision (unit text COLLATE \"C\" PRIMARY KEY, outcome text NOT NULL, \
             participants text NOT NULL, namespace text NOT NULL DEFAULT '', \
             at timestamptz NOT NULL DEFAULT current_timestamp) PARTITION BY HASH (unit); \
         CREATE TABLE part PARTITION OF diesel_binds_decision FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "partitioned",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP CONSTRAINT diesel_binds_decision_pkey",
        "no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP CONSTRAINT diesel_binds_decision_pkey, ADD PRIMARY KEY (unit, outcome)",
        "no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP CONSTRAINT diesel_binds_decision_pkey, \
         ADD PRIMARY KEY (unit) DEFERRABLE INITIALLY DEFERRED",
        "no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP CONSTRAINT diesel_binds_decision_pkey; \
         CREATE UNIQUE INDEX ON diesel_binds_decision (unit) WHERE outcome = 'abort'",
        "no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP CONSTRAINT diesel_binds_decision_pkey, ADD UNIQUE (unit), \
         ALTER COLUMN unit DROP NOT NULL",
        "`unit` may be null",
    ),
    (
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         ALTER TABLE diesel_binds_decision ALTER COLUMN unit TYPE text COLLATE loose",
        "`unit` is not compared byte by byte",
    ),
    (
        "CREATE TABLE child () INHERITS (diesel_binds_decision)",
        "the table `child` inherits",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP COLUMN participants, \
         ADD COLUMN participants text GENERATED ALWAYS AS (unit) STORED",
        "`participants` is a generated column",
    ),
    (
        "ALTER TABLE diesel_binds_horizon DROP CONSTRAINT diesel_binds_horizon_pkey",
        "no unique key on `namespace`",
    ),
];

const MARIADB: [Kind; 17] = [
    (
        "ALTER TABLE diesel_binds_decision ENGINE = MyISAM",
        "its engine is MyISAM",
    ),
    (
        "ALTER TABLE diesel_binds_branch ENGINE = MyISAM",
        "its engine is MyISAM",
    ),
    (
        "ALTER TABLE diesel_binds_meta ENGINE = MyISAM",
        "its engine is MyISAM",
    ),
    (
        "ALTER TABLE diesel_binds_horizon ENGINE = MEMORY",
        "its engine is MEMORY",
    ),
    (
        "RENAME TABLE diesel_binds_decision TO elsewhere; CREATE VIEW diesel_binds_decision AS SELECT * FROM elsewhere",
        "(view)",
    ),
    (
        "CREATE TRIGGER swallow BEFORE INSERT ON diesel_binds_decision FOR EACH ROW SET NEW.unit = UUID()",
        "trigger `swallow`",
    ),
    (
        "CREATE TRIGGER swallow AFTER INSERT ON diesel_binds_branch FOR EACH ROW SET @a = 1",
        "trigger `swallow`",
    ),
    (
        "ALTER TABLE diesel_binds_decision PARTITION BY KEY (unit) PARTITIONS 2",
        "partitioned",
    ),
    (
        "ALTER TABLE diesel_binds_decision ADD SYSTEM VERSIONING",
        "(system versioned)",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP PRIMARY KEY",
        "no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP PRIMARY KEY, ADD PRIMARY KEY (unit, outcome)",
        "no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_forced DROP PRIMARY KEY",
        "`diesel_binds_forced` cannot guarantee the outcome of a commit: no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP PRIMARY KEY, ADD PRIMARY KEY (unit(8))",
        "no unique key on `unit`",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP PRIMARY KEY, ADD UNIQUE (unit), MODIFY unit VARCHAR(36) \
         CHARACTER SET ascii COLLATE ascii_bin NULL",
        "`unit` may be null",
    ),
    (
        "ALTER TABLE diesel_binds_branch DROP PRIMARY KEY, MODIFY unit VARCHAR(36) \
         CHARACTER SET ascii COLLATE ascii_bin NULL",
        "`unit` may be null",
    ),
    (
        "ALTER TABLE diesel_binds_decision MODIFY unit VARCHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL",
        "`unit` is not compared byte by byte",
    ),
    (
        "ALTER TABLE diesel_binds_decision DROP COLUMN participants, \
         ADD COLUMN participants VARCHAR(36) AS (unit) STORED",
        "`participants` is a generated column",
    ),
];

const SQLITE: [Kind; 12] = [
    (
        "ALTER TABLE diesel_binds_decision RENAME TO elsewhere; \
         CREATE VIEW diesel_binds_decision AS SELECT * FROM elsewhere",
        "a view",
    ),
    (
        "DROP TABLE diesel_binds_decision; \
         CREATE VIRTUAL TABLE diesel_binds_decision USING fts5(unit, outcome, participants, namespace, at)",
        "a virtual table",
    ),
    (
        "CREATE TRIGGER swallow BEFORE INSERT ON diesel_binds_decision BEGIN SELECT RAISE(IGNORE); END",
        "trigger `swallow`",
    ),
    (
        "CREATE TRIGGER swallow AFTER UPDATE ON DIESEL_BINDS_HORIZON BEGIN SELECT 1; END",
        "trigger `swallow`",
    ),
    (
        "DROP TABLE diesel_binds_decision; CREATE TABLE diesel_binds_decision (unit TEXT NOT NULL, outcome TEXT, \
         participants TEXT, namespace TEXT, at TEXT)",
        "no unique key on `unit`",
    ),
    (
        "DROP TABLE diesel_binds_decision; CREATE TABLE diesel_binds_decision (unit TEXT NOT NULL, outcome TEXT, \
         participants TEXT, namespace TEXT, at TEXT, PRIMARY KEY (unit, outcome))",
        "no unique key on `unit`",
    ),
    (
        "DROP TABLE diesel_binds_decision; CREATE TABLE diesel_binds_decision (unit TEXT NOT NULL, outcome TEXT, \
         participants TEXT, namespace TEXT, at TEXT); \
         CREATE UNIQUE INDEX part ON diesel_binds_decision (unit) WHERE outcome = 'abort'",
        "no unique key on `unit`",
    ),
    (
        "DROP TABLE diesel_binds_decision; CREATE TABLE diesel_binds_decision (unit TEXT NOT NULL PRIMARY KEY \
         COLLATE NOCASE, outcome TEXT, participants TEXT, namespace TEXT, at TEXT)",
        "no unique key on `unit`",
    ),
    (
        "DROP TABLE diesel_binds_decision; CREATE TABLE diesel_binds_decision (unit TEXT PRIMARY KEY, outcome TEXT, \
         participants TEXT, namespace TEXT, at TEXT)",
        "`unit` may be null",
    ),
    (
        "DROP TABLE diesel_binds_decision; CREATE TABLE diesel_binds_decision (unit TEXT NOT NULL PRIMARY KEY \
         ON CONFLICT REPLACE, outcome TEXT, participants TEXT, namespace TEXT, at TEXT)",
        "ON CONFLICT",
    ),
    (
        "DROP TABLE diesel_binds_decision; CREATE TABLE diesel_binds_decision (unit TEXT NOT NULL PRIMARY KEY, \
         outcome TEXT, participants TEXT AS (unit), namespace TEXT, at TEXT)",
        "`participants` is a generated column",
    ),
    (
        "DROP TABLE diesel_binds_horizon; CREATE TABLE diesel_binds_horizon (namespace TEXT NOT NULL, unit TEXT, \
         moved_at INTEGER)",
        "no unique key on `namespace`",
    ),
];

fn assert_unfit(fault: &Fault, word: &str) {
    assert!(
        matches!(fault, Fault::UnfitTable { .. }) && fault.to_string().contains(word),
        "{word}: {fault:?}"
    );
}

/// Asserts that a changed table of `A`, which holds the decision or prepares, is refused by the commit, the preflight
/// and `install()`.
async fn assert_refused<A: Side, B: Side>(
    (statements, word): Kind,
    holds: HolderPreference,
    key: &str,
) {
    let pair = Pair::<A, B>::with(BindOptions::new().holder(holds), BindOptions::new()).await;
    A::admin(&pair.first, statements).await;
    let mut session = pair.binds.session();
    pair.write(&session, "gone").await.unwrap();
    let fault = pair.rolls_back(&mut session, key, &[]).await;
    assert_unfit(&fault, word);

    let report = pair.binds.check().await;
    let findings = &report.bind(key).unwrap().findings;
    let fault = findings.iter().find_map(|finding| match finding {
        Finding::Tables(fault) => Some(fault),
        _ => None,
    });
    assert_unfit(
        fault.unwrap_or_else(|| panic!("{word}: {findings:?}")),
        word,
    );

    let installed = pair.binds.install().await;
    let Err(Error::Tables { bind, source }) = installed else {
        panic!("{word}: {installed:?}");
    };
    assert_eq!(bind, key);
    assert_unfit(&source, word);
}

#[tokio::test]
async fn an_unfit_table_is_refused_on_postgres() {
    for (index, kind) in POSTGRES.into_iter().enumerate() {
        let holds = [HolderPreference::Prefer, HolderPreference::Avoid][index % 2];
        assert_refused::<PostgresA, PostgresB>(kind, holds, "pg-a").await;
    }
}

#[tokio::test]
async fn an_unfit_table_is_refused_on_mariadb() {
    // Only MariaDB has versions of rows.
    let kinds = MARIADB.into_iter();
    let kinds = kinds.filter(|(sql, _)| !(MariadbA::is_mysql() && sql.contains("VERSIONING")));
    for (index, kind) in kinds.enumerate() {
        let holds = [HolderPreference::Prefer, HolderPreference::Avoid][index % 2];
        assert_refused::<MariadbA, PostgresB>(kind, holds, "my-a").await;
    }
}

#[tokio::test]
async fn an_unfit_table_is_refused_on_sqlite() {
    for kind in SQLITE {
        assert_refused::<Sqlite, PostgresA>(kind, HolderPreference::Auto, "lite").await;
    }
}

/// A temporary trigger exists on one connection, and no other connection sees it.
#[tokio::test]
async fn a_trigger_of_one_connection_is_refused_on_sqlite() {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    let binds = Binds::builder()
        .namespace("unfit")
        .bind(PostgresA, Source::url(postgres.url()))
        .bind(Sqlite, Source::url(sqlite.url()).setup(sqlite_with(
                "PRAGMA synchronous = FULL; CREATE TEMP TRIGGER swallow BEFORE INSERT ON main.diesel_binds_decision \
                 BEGIN SELECT RAISE(IGNORE); END",
            )))
        .build()
        .unwrap();
    let mut session = binds.session();
    PostgresA::write(&session, "gone").await.unwrap();
    Sqlite::write(&session, "gone").await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    let CommitError::RolledBack {
        bind: "lite",
        source,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_unfit(&source, "trigger `swallow`");
    assert!(PostgresA::rows(&postgres).await.is_empty());
}

/// A bind that is alone is in no unit of several writers, but may record its commits.
#[tokio::test]
async fn a_record_is_not_made_in_an_unfit_table() {
    async fn refused<S: Side>((statements, word): Kind, key: &str) {
        let database = S::database().await;
        let builder = Binds::builder().namespace("records");
        let options = BindOptions::new().record_every_commit();
        let pool = kit::side::PoolKind::Deadpool;
        let binds = S::register(builder, database.url(), pool, 2, options).await;
        let binds = binds.build().unwrap();
        S::admin(&database, statements).await;
        let mut session = binds.session();
        S::write(&session, "gone").await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        let CommitError::RolledBack { source, .. } = error else {
            panic!("{error:?}");
        };
        assert_unfit(&source, word);
        assert!(S::rows(&database).await.is_empty());
        let report = binds.check().await;
        let findings = &report.bind(key).unwrap().findings;
        assert!(
            matches!(
                findings.first(),
                Some(Finding::Tables(Fault::UnfitTable { .. }))
            ),
            "{findings:?}"
        );
    }
    refused::<PostgresA>(POSTGRES[1], "pg-a").await;
    refused::<MariadbA>(MARIADB[0], "my-a").await;
    refused::<Sqlite>(SQLITE[2], "lite").await;
}

/// Row-level security may hide rows from the role that connects.
#[tokio::test]
async fn row_level_security_is_refused_for_roles_that_it_hides_rows_from() {
    let (first, second) = (PostgresA::database().await, PostgresB::database().await);
    let login = format!("login_{}", first.name().unwrap());
    PostgresA::admin(
        &first,
        &format!(
            "CREATE ROLE {login} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {login}; \
             GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {login}; \
             ALTER TABLE diesel_binds_decision ENABLE ROW LEVEL SECURITY"
        ),
    )
    .await;
    let as_login = first.url().replace("postgres@", &format!("{login}@"));
    let refused = Binds::builder()
        .namespace("policies")
        .bind(PostgresA, Source::url(as_login))
        .bind(PostgresB, Source::url(second.url()))
        .build()
        .unwrap();
    let mut session = refused.session();
    PostgresA::write(&session, "gone").await.unwrap();
    PostgresB::write(&session, "gone").await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    let CommitError::RolledBack {
        bind: "pg-a",
        source,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_unfit(&source, "row-level security");
    refused.close().await;

    // The owner of the table sees all rows.
    let owner = Binds::builder()
        .namespace("policies")
        .bind(PostgresA, Source::url(first.url()))
        .bind(PostgresB, Source::url(second.url()))
        .build()
        .unwrap();
    let mut session = owner.session();
    PostgresA::write(&session, "kept").await.unwrap();
    PostgresB::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    let drop = format!("DROP OWNED BY {login}; DROP ROLE {login}");
    PostgresA::admin(&first, &drop).await;
}

/// A role without the privilege TRIGGER sees no trigger. The message of the decision, or of the prepare, then fails.
#[tokio::test]
async fn a_trigger_that_the_role_cannot_see_turns_no_row_away_unnoticed() {
    for (table, prefers) in [
        ("diesel_binds_decision", HolderPreference::Prefer),
        ("diesel_binds_branch", HolderPreference::Avoid),
    ] {
        let (first, second) = (MariadbA::database().await, PostgresB::database().await);
        let login = format!("l{}", &first.name().unwrap()[5..]);
        let name = first.name().unwrap();
        MariadbA::admin(
            &first,
            &format!(
                "CREATE USER '{login}'@'%' IDENTIFIED BY 'secret'; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO '{login}'@'%'; \
                 CREATE TRIGGER {name}.swallow BEFORE INSERT ON {name}.{table} FOR EACH ROW \
                 SET NEW.namespace = 'elsewhere'"
            ),
        )
        .await;
        let as_login = first.url().replace("root@", &format!("{login}:secret@"));
        let binds = Binds::builder()
            .namespace("hidden")
            .bind(
                MariadbA,
                Source::url(as_login).options(BindOptions::new().holder(prefers)),
            )
            .bind(PostgresB, Source::url(second.url()))
            .build()
            .unwrap();
        let mut session = binds.session();
        MariadbA::write(&session, "gone").await.unwrap();
        PostgresB::write(&session, "gone").await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(
                &error,
                CommitError::RolledBack { bind: "my-a", .. } | CommitError::InDoubt { .. }
            ),
            "{error:?}"
        );
        let mut admin = Admin::connect(first.url()).await;
        admin
            .run(&format!("DROP TRIGGER {name}.swallow"))
            .await
            .unwrap();
        let _ = binds.recovery().run().await;
        assert!(MariadbA::rows(&first).await.is_empty(), "{table}");
        assert!(PostgresB::rows(&second).await.is_empty(), "{table}");
        binds.close().await;
        admin
            .run(&format!("DROP USER '{login}'@'%'"))
            .await
            .unwrap();
    }
}

/// The id of a database and the fitness of its tables are not read in every unit.
#[tokio::test]
async fn a_trigger_that_was_made_since_turns_no_row_away_unnoticed() {
    use HolderPreference::{Avoid, Prefer};

    async fn turned_away<S: Side>(holds: HolderPreference, trigger: &str) {
        let holds = BindOptions::new().holder(holds);
        let pair = Pair::<S, PostgresB>::with(holds, BindOptions::new()).await;
        let mut session = pair.binds.session();
        pair.write(&session, "warm").await.unwrap();
        let _ = pair.commits(&mut session, &["warm"]).await;
        S::admin(&pair.first, trigger).await;
        pair.write(&session, "gone").await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(
                &error,
                CommitError::RolledBack { .. } | CommitError::InDoubt { .. }
            ),
            "{error:?}"
        );
        assert_eq!(
            pair.rows().await,
            (vec!["warm".into()], vec!["warm".into()])
        );
    }
    turned_away::<PostgresA>(Prefer, POSTGRES[3].0).await;
    turned_away::<PostgresA>(Prefer, POSTGRES[4].0).await;
    turned_away::<MariadbA>(
        Avoid,
        "CREATE TRIGGER swallow BEFORE INSERT ON diesel_binds_branch FOR EACH ROW SET NEW.holder = 'elsewhere'",
    )
    .await;
    turned_away::<MariadbA>(
        Prefer,
        "CREATE TRIGGER swallow BEFORE INSERT ON diesel_binds_decision FOR EACH ROW SET NEW.outcome = 'abort'",
    )
    .await;
}

/// The commits of such a role would be in doubt: it could write neither the decision nor the fence.
#[tokio::test]
async fn a_role_that_may_not_record_prepares_nothing() {
    async fn refused<S: Side>(database: &Database, as_login: String, table: &str, key: &str) {
        let second = PostgresB::database().await;
        let binds = Binds::builder().namespace("denied");
        let pool = kit::side::PoolKind::Deadpool;
        let binds = S::register(binds, &as_login, pool, 2, BindOptions::new()).await;
        let binds = binds
            .bind(PostgresB, Source::url(second.url()))
            .build()
            .unwrap();
        let mut session = binds.session();
        S::write(&session, "gone").await.unwrap();
        PostgresB::write(&session, "gone").await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(&error, CommitError::RolledBack { bind, source: Fault::Denied { table: of, privilege }, .. }
                if *bind == key && **of == *table && &**privilege == "INSERT"),
            "{error:?}"
        );
        assert!(S::rows(database).await.is_empty());
        assert!(PostgresB::rows(&second).await.is_empty());
        let report = binds.check().await;
        let findings = &report.bind(key).unwrap().findings;
        assert!(
            findings
                .iter()
                .any(|finding| matches!(finding, Finding::Tables(Fault::Denied { .. }))),
            "{findings:?}"
        );
        drop(session);
        binds.close().await;
    }

    let database = PostgresA::database().await;
    let login = format!("login_{}", database.name().unwrap());
    let grant = format!(
        "CREATE ROLE {login} LOGIN; GRANT ALL ON notes TO {login}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {login}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {login}"
    );
    PostgresA::admin(&database, &grant).await;
    let as_login = database.url().replace("postgres@", &format!("{login}@"));
    refused::<PostgresA>(&database, as_login, "diesel_binds_decision", "pg-a").await;
    let drop = format!("DROP OWNED BY {login}; DROP ROLE {login}");
    PostgresA::admin(&database, &drop).await;

    for denied in ["diesel_binds_decision", "diesel_binds_branch"] {
        let database = MariadbA::database().await;
        let name = database.name().unwrap();
        let login = format!("l{}", &name[5..]);
        let other = match denied {
            "diesel_binds_branch" => "diesel_binds_decision",
            _ => "diesel_binds_branch",
        };
        let grant = format!(
            "CREATE USER '{login}'@'%' IDENTIFIED BY 'secret'; GRANT SELECT ON {name}.* TO '{login}'@'%'; \
             GRANT INSERT ON {name}.notes TO '{login}'@'%'; GRANT INSERT ON {name}.{other} TO '{login}'@'%'"
        );
        MariadbA::admin(&database, &grant).await;
        let as_login = database.url().replace("root@", &format!("{login}:secret@"));
        refused::<MariadbA>(&database, as_login, denied, "my-a").await;
        MariadbA::admin(&database, &format!("DROP USER '{login}'@'%'")).await;
    }
}

/// A temporary table hides the protocol's table of the same name, on its connection alone.
#[tokio::test]
async fn a_temporary_table_of_the_unit_does_not_take_the_decision_on_mariadb() {
    let holds = BindOptions::new().holder(HolderPreference::Prefer);
    let holds = match MariadbA::is_mysql() {
        // A branch of MySQL refuses temporary tables.
        true => holds.never_prepare(),
        false => holds,
    };
    let pair = Pair::<MariadbA, PostgresB>::with(holds, BindOptions::new()).await;
    let mut session = pair.binds.session();
    pair.write(&session, "gone").await.unwrap();
    let shadow = "CREATE TEMPORARY TABLE diesel_binds_decision (unit VARCHAR(36) PRIMARY KEY, outcome TEXT, \
                  participants TEXT, namespace TEXT, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB";
    MariadbA::sql(&session, shadow).await.unwrap();
    if MariadbA::is_mysql() {
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(
                &error,
                CommitError::TransactionEnded {
                    bind: "my-a",
                    source: Fault::NonTransactional(_),
                    ..
                }
            ),
            "{error:?}"
        );
        return;
    }
    let fault = pair.rolls_back(&mut session, "my-a", &[]).await;
    // Before 11.2, no catalog lists the table, and only the record that is missing shows it.
    match Admin::connect(pair.first.url())
        .await
        .mariadb_version()
        .await
    {
        later if later >= (11, 2) => {
            assert!(matches!(fault, Fault::UnfitTable { .. }), "{fault:?}");
            assert!(
                fault.to_string().contains("a temporary table hides it"),
                "{fault}"
            );
        }
        _ => assert!(matches!(fault, Fault::NonTransactional(_)), "{fault:?}"),
    }
}
