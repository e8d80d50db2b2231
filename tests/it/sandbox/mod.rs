//! Mounts sandboxes on every backend and pool, and on pairs of them.

mod mariadb;
mod parallel;
mod postgres;
mod sqlite;
mod waiting;

use kit::side::{MariadbA, MariadbB, PostgresA, PostgresB, PostgresPlain, Sqlite};

/// Mounts each behaviour on each type, or list of types.
macro_rules! mount {
    ($module:ident: [$($behaviour:ident),+ $(,)?] on $sides:tt) => {
        $(mount!(@sides $module $behaviour $sides);)+
    };
    (@sides $module:ident $behaviour:ident [$($name:ident: <$($side:ty),+>),+ $(,)?]) => {
        mod $behaviour {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                crate::suite::sandbox::$module::$behaviour::<$($side),+>().await;
            })+
        }
    };
}

mount!(keeping: [
    units_see_each_other_and_nobody_else_sees_them,
    a_roll_back_restores,
    nothing_escapes_by_statements_of_the_application,
    a_commit_of_the_application_is_an_error,
    one_unit_at_a_time_has_the_connection,
    a_statement_dropped_before_its_reply_is_reported,
    the_real_database_is_out_of_reach,
] on [postgres: <PostgresA>, mariadb: <MariadbA>, sqlite: <Sqlite>]);

mount!(ending: [a_connection_that_the_server_closed_is_reported] on [
    postgres: <PostgresA>, mariadb: <MariadbA>,
]);

mount!(ending: [a_unit_that_outlives_its_sandbox_cannot_commit] on [
    postgres: <PostgresA>, mariadb: <MariadbA>, sqlite: <Sqlite>,
]);

mount!(production: [
    options_that_a_savepoint_cannot_have_are_refused,
    a_read_only_unit_writes_nothing,
    a_plan_of_faults_is_refused,
    a_new_id_is_refused,
    hooks_run_or_are_captured,
] on [postgres: <PostgresA>, mariadb: <MariadbA>, sqlite: <Sqlite>]);

mount!(production: [
    two_binds_are_kept_or_undone_together,
    several_writers_need_the_tables_of_the_protocol,
] on [
    postgres_and_postgres: <PostgresA, PostgresB>,
    postgres_and_mariadb: <PostgresA, MariadbA>,
    mariadb_and_sqlite: <MariadbA, Sqlite>,
    sqlite_and_postgres: <Sqlite, PostgresA>,
]);

mount!(production: [two_that_cannot_commit_as_one_are_refused] on [
    plain_and_sqlite: <PostgresPlain, Sqlite>,
    mariadb_and_mariadb: <MariadbA, MariadbB>,
    postgres_and_mariadb: <PostgresA, MariadbA>,
]);

mount!(watching: [the_queries_of_the_application_are_told_apart_from_ours] on [
    postgres: <PostgresA>, mariadb: <MariadbA>, sqlite: <Sqlite>,
]);
