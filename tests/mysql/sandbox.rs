//! Mounts sandboxes on MySQL.

use kit::side::{MariadbA, MysqlA, MysqlB, PostgresA, Sqlite};

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
] on [mysql: <MysqlA>]);

mount!(ending: [
    a_connection_that_the_server_closed_is_reported,
    a_unit_that_outlives_its_sandbox_cannot_commit,
] on [mysql: <MysqlA>]);

mount!(production: [
    options_that_a_savepoint_cannot_have_are_refused,
    a_read_only_unit_writes_nothing,
    a_plan_of_faults_is_refused,
    a_new_id_is_refused,
    hooks_run_or_are_captured,
] on [mysql: <MysqlA>]);

mount!(production: [
    two_binds_are_kept_or_undone_together,
    several_writers_need_the_tables_of_the_protocol,
] on [
    postgres_and_mysql: <PostgresA, MysqlA>,
    mysql_and_sqlite: <MysqlA, Sqlite>,
]);

mount!(production: [two_that_cannot_commit_as_one_are_refused] on [
    mysql_and_mysql: <MysqlA, MysqlB>,
    mysql_and_mariadb: <MysqlA, MariadbA>,
]);

mount!(watching: [the_queries_of_the_application_are_told_apart_from_ours] on [mysql: <MysqlA>]);
