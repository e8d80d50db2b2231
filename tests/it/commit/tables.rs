//! The tables of the protocol: missing, of another version, out of reach, shadowed.

use diesel_binds::error::Fault;
use diesel_binds::recovery::Outcome;
use diesel_binds::{BindOptions, Binds, CommitError, Source};
use kit::database::Database;
use kit::faulty::{CommitReport, Faulty, Limits};
use kit::prepared::decision;
use kit::side::{MariadbA, PostgresA, PostgresB, Side, Sqlite};

use crate::commit::pair::Pair;

async fn missing_tables_are_named<A: Side, B: Side>(first: &str, second: &str) {
    for table in ["diesel_binds_meta", "diesel_binds_decision"] {
        for bad in [0, 1] {
            let pair = Pair::<A, B>::new().await;
            let drop = format!("DROP TABLE {table}");
            let because = if bad == 0 {
                A::admin(&pair.first, &drop).await;
                first
            } else {
                B::admin(&pair.second, &drop).await;
                second
            };
            let mut session = pair.binds.session();
            pair.write(&session, "gone").await.unwrap();
            let fault = pair.rolls_back(&mut session, because, &[]).await;
            assert!(
                matches!(fault, Fault::NotInstalled(_)),
                "{table}: {fault:?}"
            );
            pair.binds.install().await.unwrap();
            pair.write(&session, "kept").await.unwrap();
            let _ = pair.commits(&mut session, &["kept"]).await;
        }
    }
}

#[tokio::test]
async fn missing_tables_are_named_on_postgres() {
    missing_tables_are_named::<PostgresA, PostgresB>("pg-a", "pg-b").await;
}

#[tokio::test]
async fn missing_tables_are_named_on_mariadb() {
    missing_tables_are_named::<PostgresA, MariadbA>("pg-a", "my-a").await;
}

#[tokio::test]
async fn missing_tables_are_named_on_sqlite() {
    missing_tables_are_named::<MariadbA, Sqlite>("my-a", "lite").await;
}

async fn tables_of_another_version_are_refused<A: Side, B: Side>(first: &str, second: &str) {
    for bad in [0, 1] {
        let pair = Pair::<A, B>::new().await;
        let newer = "UPDATE diesel_binds_meta SET version = 99";
        let because = if bad == 0 {
            A::admin(&pair.first, newer).await;
            first
        } else {
            B::admin(&pair.second, newer).await;
            second
        };
        let mut session = pair.binds.session();
        pair.write(&session, "gone").await.unwrap();
        let fault = pair.rolls_back(&mut session, because, &[]).await;
        assert!(
            matches!(fault, Fault::OtherVersion { found: 99, .. }),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn tables_of_another_version_are_refused_everywhere() {
    tables_of_another_version_are_refused::<PostgresA, PostgresB>("pg-a", "pg-b").await;
    tables_of_another_version_are_refused::<MariadbA, Sqlite>("my-a", "lite").await;
}

/// An unqualified decision would go into another schema, where recovery would not find it.
#[tokio::test]
async fn a_search_path_does_not_move_the_decision() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    let decoys = "CREATE SCHEMA decoy; CREATE TABLE decoy.diesel_binds_meta (LIKE public.diesel_binds_meta); \
                  CREATE TABLE decoy.diesel_binds_decision (LIKE public.diesel_binds_decision)";
    PostgresA::admin(&pair.first, decoys).await;
    PostgresB::admin(&pair.second, decoys).await;
    let mut session = pair.binds.session();
    pair.write(&session, "kept").await.unwrap();
    let path = "SET LOCAL search_path TO decoy, pg_temp";
    PostgresA::sql(&session, path).await.unwrap();
    PostgresB::sql(&session, path).await.unwrap();
    let committed = pair.commits(&mut session, &["kept"]).await;
    assert_eq!(
        decision(pair.first.url(), committed.unit()).await,
        Some(Outcome::Committed)
    );
}

/// The unit's role may neither read nor write the tables of the protocol, and could not finish its prepared
/// transactions.
#[tokio::test]
async fn a_role_with_few_rights_does_not_stop_the_commit() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    let role = format!("poor_{}", pair.first.name().unwrap());
    PostgresA::admin(&pair.first, &format!("CREATE ROLE {role}")).await;
    PostgresB::admin(&pair.second, &format!("CREATE ROLE {role}")).await;
    for text in ["first", "second"] {
        let mut session = pair.binds.session();
        pair.write(&session, text).await.unwrap();
        let poor = format!("SET LOCAL ROLE {role}");
        PostgresA::sql(&session, &poor).await.unwrap();
        PostgresB::sql(&session, &poor).await.unwrap();
        let rows: &[&str] = if text == "first" {
            &["first"]
        } else {
            &["first", "second"]
        };
        let committed = pair.commits(&mut session, rows).await;
        assert_eq!(
            decision(pair.first.url(), committed.unit()).await,
            Some(Outcome::Committed)
        );
    }
    PostgresA::admin(&pair.first, &format!("DROP ROLE {role}")).await;
    PostgresB::admin(&pair.second, &format!("DROP ROLE {role}")).await;
}

/// Only its owner may finish a prepared transaction, and the pool connects as a role that is no superuser. So the unit
/// leaves its role before it prepares, and the role of the connection becomes the owner.
#[tokio::test]
async fn a_role_of_the_unit_keeps_no_prepared_transaction_from_its_end() {
    let (first, second) = (PostgresA::database().await, PostgresB::database().await);
    let (login, other) = (
        format!("login_{}", first.name().unwrap()),
        format!("other_{}", first.name().unwrap()),
    );
    let grants = format!(
        "CREATE ROLE {other}; CREATE ROLE {login} LOGIN IN ROLE {other}; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {login}, {other}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {login}, {other}"
    );
    PostgresA::admin(&first, &grants).await;
    PostgresB::admin(&second, &grants).await;
    let as_login = |database: &Database| database.url().replace("postgres@", &format!("{login}@"));
    let binds = Binds::builder()
        .namespace("owner")
        .bind(PostgresA, Source::url(as_login(&first)))
        .bind(PostgresB, Source::url(as_login(&second)))
        .build()
        .unwrap();
    let role = format!("SET LOCAL ROLE {other}");
    // The first unit of a process also asks each database for its id.
    for text in ["first", "second"] {
        let mut session = binds.session();
        PostgresA::write(&session, text).await.unwrap();
        PostgresB::write(&session, text).await.unwrap();
        PostgresA::sql(&session, &role).await.unwrap();
        PostgresB::sql(&session, &role).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        assert!(
            committed.committed().unwrap().pending().is_empty(),
            "{committed:?}"
        );
    }
    assert_eq!(PostgresB::rows(&second).await, ["first", "second"]);
    binds.close().await;
    let clean = format!("DROP OWNED BY {login}, {other}; DROP ROLE {login}, {other}");
    PostgresA::admin(&first, &clean).await;
    PostgresB::admin(&second, &clean).await;
}

/// Without its escapes, the name of the role would be another one, or end the text that it is in.
#[tokio::test]
async fn the_role_of_a_connection_is_back_before_the_end_whatever_its_name() {
    let (first, second) = (PostgresA::database().await, PostgresB::database().await);
    let login = format!("login_{}", first.name().unwrap());
    let other = format!("other_{login}");
    let odd = format!("o'br\\ien {login}");
    let setup = format!(
        "CREATE ROLE {other}; CREATE ROLE \"{odd}\" IN ROLE {other}; \
         CREATE ROLE {login} LOGIN IN ROLE \"{odd}\", {other}; \
         ALTER ROLE {login} SET role = '{}'; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO \"{odd}\", {other}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO \"{odd}\", {other}",
        odd.replace('\'', "''")
    );
    PostgresA::admin(&first, &setup).await;
    PostgresB::admin(&second, &setup).await;
    let as_login = |database: &Database| database.url().replace("postgres@", &format!("{login}@"));
    let binds = Binds::builder()
        .namespace("odd")
        .bind(PostgresA, Source::url(as_login(&first)))
        .bind(PostgresB, Source::url(as_login(&second)))
        .build()
        .unwrap();
    for text in ["first", "second"] {
        let mut session = binds.session();
        PostgresA::write(&session, text).await.unwrap();
        PostgresB::write(&session, text).await.unwrap();
        for role in [&other, &login] {
            let role = format!("SET LOCAL ROLE {role}");
            PostgresA::sql(&session, &role).await.unwrap();
            PostgresB::sql(&session, &role).await.unwrap();
        }
        let committed = session.commit_all().await.unwrap();
        assert!(
            committed.committed().unwrap().pending().is_empty(),
            "{committed:?}"
        );
    }
    assert_eq!(PostgresB::rows(&second).await, ["first", "second"]);
    binds.close().await;
    let clean =
        format!("DROP OWNED BY {login}, {other}, \"{odd}\"; DROP ROLE {login}, {other}, \"{odd}\"");
    PostgresA::admin(&first, &clean).await;
    PostgresB::admin(&second, &clean).await;
}

/// Deferred triggers run with the rights of the unit, not with those of the connection.
#[tokio::test]
async fn deferred_triggers_run_in_the_role_of_the_unit() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    let role = format!("poor_{}", pair.first.name().unwrap());
    let trigger = format!(
        "CREATE ROLE {role}; GRANT ALL ON notes TO {role}; GRANT ALL ON SEQUENCE notes_id_seq TO {role}; \
         CREATE TABLE acted (name TEXT); GRANT ALL ON acted TO {role}; \
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO acted VALUES (current_user); RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION act()"
    );
    PostgresA::admin(&pair.first, &trigger).await;
    PostgresB::admin(&pair.second, &trigger).await;
    let mut session = pair.binds.session();
    let poor = format!("SET LOCAL ROLE {role}");
    PostgresA::sql(&session, &poor).await.unwrap();
    PostgresB::sql(&session, &poor).await.unwrap();
    pair.write(&session, "kept").await.unwrap();
    let _ = pair.commits(&mut session, &["kept"]).await;
    for database in [&pair.first, &pair.second] {
        let mut admin = kit::admin::Admin::connect(database.url()).await;
        assert_eq!(
            admin
                .values("SELECT name AS value FROM acted")
                .await
                .unwrap(),
            [role.as_str()]
        );
        admin
            .run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_temporary_table_does_not_shadow_the_decision() {
    let pair = Pair::<PostgresA, Sqlite>::new().await;
    let mut session = pair.binds.session();
    pair.write(&session, "kept").await.unwrap();
    for shadow in [
        "CREATE TEMP TABLE diesel_binds_meta AS SELECT * FROM main.diesel_binds_meta WHERE false",
        "CREATE TEMP TABLE diesel_binds_decision AS SELECT * FROM main.diesel_binds_decision",
    ] {
        Sqlite::sql(&session, shadow).await.unwrap();
    }
    let committed = pair.commits(&mut session, &["kept"]).await;
    assert_eq!(
        decision(pair.second.url(), committed.unit()).await,
        Some(Outcome::Committed)
    );
}

/// The database was replaced after its id was read. It must decide nothing, because recovery would look for the
/// decision under the id in the branches.
#[tokio::test]
async fn a_holder_that_was_replaced_does_not_decide() {
    async fn replaced<A: Side, B: Side>(holder: usize) {
        let faulty = Faulty::<(A, B)>::start(Limits::default(), &BindOptions::new()).await;
        assert_eq!(
            faulty.attempt("warm").await.report(),
            CommitReport::COMMITTED
        );
        let url = faulty.world.databases[holder].url();
        let mut admin = kit::admin::Admin::connect(url).await;
        let other = "UPDATE diesel_binds_meta SET holder_id = '00000000000000000000000000000001'";
        admin.run(other).await.unwrap();
        let attempt = faulty.attempt("gone").await;
        assert_eq!(faulty.judge(&attempt).await, CommitReport::InDoubt);
        assert!(
            matches!(
                &attempt.result,
                Err(CommitError::InDoubt {
                    source: Fault::Replaced,
                    ..
                })
            ),
            "{attempt:?}"
        );
        assert_eq!(decision(url, attempt.unit).await, None);
        faulty.assert_works_again("replaced").await;
    }
    replaced::<PostgresA, PostgresB>(0).await;
    replaced::<PostgresA, MariadbA>(1).await;
}
