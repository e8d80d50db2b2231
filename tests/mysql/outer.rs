//! Mounts the behaviours of sessions in a transaction of the application on MySQL.

use kit::side::{MysqlA, PostgresA, Sqlite};

/// Mounts each behaviour on each type, or list of types.
macro_rules! mount {
    ([$($behaviour:ident),+ $(,)?] on $sides:tt) => {
        $(mount!(@sides $behaviour $sides);)+
    };
    (@sides $behaviour:ident [$($name:ident: <$($side:ty),+>),+ $(,)?]) => {
        mod $behaviour {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                crate::suite::outer::$behaviour::<$($side),+>().await;
            })+
        }
    };
}

mount!([
    the_outer_transaction_decides_what_is_kept,
    a_roll_back_goes_back_to_where_the_unit_began,
    a_unit_that_is_left_open_is_undone,
    a_unit_whose_outer_transaction_is_gone_runs_nothing,
    options_that_cannot_hold_in_the_outer_transaction_are_refused,
    a_unit_that_only_reads_leaves_nothing,
    a_commit_dropped_at_any_poll_is_whole,
    a_dropped_statement_ends_the_outer_transaction,
    a_first_statement_dropped_at_any_poll_leaves_no_reply_behind,
    work_that_was_not_undone_is_never_reported_as_rolled_back,
    a_unit_within_an_outer_transaction_is_not_run_again,
] on [mysql: <MysqlA>]);

mount!([two_binds_within_outer_transactions_are_kept_or_undone_together] on [
    postgres_and_mysql: <PostgresA, MysqlA>,
    mysql_and_sqlite: <MysqlA, Sqlite>,
]);
