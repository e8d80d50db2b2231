//! Mounts the behaviours of cancellation on MySQL, with each pool on one runtime.

use kit::side::{MysqlA, MysqlB, PoolKind, PostgresA, PostgresB, Sqlite};

/// Mounts each behaviour of a module on each combination of databases.
macro_rules! mount {
    ($module:ident: [$($behaviour:ident),+ $(,)?] on $sides:tt) => {
        $(mod $behaviour {
            use super::*;

            mount!(@sides $module $behaviour $sides);
        })+
    };
    (@sides $module:ident $behaviour:ident [$($name:ident: [$($side:ty),+]),* $(,)?]) => {
        $(mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn deadpool_on_many_threads() {
                crate::suite::cancel::$module::$behaviour::<$($side),+>(PoolKind::Deadpool).await;
            }

            #[tokio::test(flavor = "current_thread")]
            async fn bb8_on_one_thread() {
                crate::suite::cancel::$module::$behaviour::<$($side),+>(PoolKind::Bb8).await;
            }
        })*
    };
}

mount!(statements: [
    a_first_statement_may_be_dropped_at_any_poll,
    a_second_unit_may_be_dropped_at_any_poll_of_its_begin,
    a_later_statement_dropped_at_any_poll_never_commits_by_half,
    a_unit_is_rolled_back_after_a_statement_dropped_at_any_poll,
    a_session_is_left_after_a_statement_dropped_at_any_poll,
    a_unit_is_abort_only_once_a_statement_was_sent_and_dropped,
    a_savepoint_dropped_between_two_statements_commits_nothing,
] on [
    mysql: [(MysqlA,)],
    postgres_and_mysql: [(PostgresA, MysqlA)],
]);

mount!(endings: [
    a_commit_dropped_at_any_poll_still_commits_everywhere,
    a_commit_of_one_writer_dropped_at_any_poll_still_commits,
    a_roll_back_dropped_at_any_poll_keeps_nothing,
    a_commit_of_one_bind_dropped_at_any_poll_keeps_no_other,
    a_closure_dropped_at_any_poll_is_kept_everywhere_or_nowhere,
    a_refused_commit_dropped_at_any_poll_keeps_nothing,
] on [
    mysql: [(MysqlA,)],
    postgres_and_mysql: [(PostgresA, MysqlA)],
    mysql_and_sqlite: [(MysqlA, Sqlite)],
    mysql_and_mysql: [(MysqlA, MysqlB)],
    all_four: [(PostgresA, PostgresB, MysqlA, Sqlite)],
]);

mount!(raw: [
    a_raw_statement_dropped_at_any_poll_falsifies_no_reply,
    a_unit_is_rolled_back_after_a_leaked_raw_statement,
    a_nested_transaction_dropped_at_any_poll_is_not_kept_by_half,
    a_commit_or_rollback_of_the_users_own_is_never_a_commit_of_the_unit,
    two_queries_run_at_once_on_two_binds_and_in_turn_on_one,
    a_query_that_waits_for_a_dropped_one_does_not_run,
    a_query_on_a_held_bind_fails_at_once,
    a_query_that_waits_learns_that_its_bind_is_held,
    a_raw_connection_sees_what_the_unit_wrote,
] on [
    mysql: [MysqlA, PostgresA],
    mysql_with_sqlite: [MysqlA, Sqlite],
]);

mount!(leaving: [
    a_session_may_be_dropped_outside_of_any_runtime,
    a_panic_rolls_back,
    an_early_return_rolls_back,
    a_session_may_outlive_its_runtime,
    a_runtime_may_end_with_units_open_in_its_tasks,
    a_runtime_may_end_in_the_middle_of_a_statement,
] on [
    mysql: [(MysqlA,)],
    all_four: [(PostgresA, PostgresB, MysqlA, Sqlite)],
]);

mount!(crash: [
    a_commit_that_dies_at_any_message_is_kept_everywhere_or_nowhere,
    a_commit_that_dies_at_any_turn_is_kept_everywhere_or_nowhere,
] on [
    mysql: [(MysqlA,)],
    postgres_and_mysql: [(PostgresA, MysqlA)],
    mysql_and_sqlite: [(MysqlA, Sqlite)],
    mysql_and_mysql: [(MysqlA, MysqlB)],
    all_four: [(PostgresA, PostgresB, MysqlA, Sqlite)],
]);

mount!(soak: [
    units_cancelled_anywhere_leave_nothing_and_are_whole,
] on [
    postgres_and_mysql: [(PostgresA, MysqlA)],
    mysql_and_mysql: [(MysqlA, MysqlB)],
    all_four: [(PostgresA, PostgresB, MysqlA, Sqlite)],
]);
