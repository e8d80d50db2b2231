//! Mounts the behaviours of cancellation on every backend, pool, runtime and combination of databases.

use kit::side::{MariadbA, MariadbB, PoolKind, PostgresA, PostgresB, Sqlite, SqliteTokio};

/// Mounts each behaviour of a module on each combination of databases: with each pool on each runtime, or (`brief`) with
/// each pool on one of them.
macro_rules! mount {
    ($module:ident: [$($behaviour:ident),+ $(,)?] on $full:tt, brief $brief:tt) => {
        $(mod $behaviour {
            use super::*;

            mount!(@full $module $behaviour $full);
            mount!(@brief $module $behaviour $brief);
        })+
    };
    (@full $module:ident $behaviour:ident [$($name:ident: [$($sides:ty),+]),* $(,)?]) => {
        $(mod $name {
            use super::*;

            mount!(@one $module $behaviour [$($sides),+]
                deadpool_on_many_threads Deadpool (flavor = "multi_thread"));
            mount!(@one $module $behaviour [$($sides),+]
                deadpool_on_one_thread Deadpool (flavor = "current_thread"));
            mount!(@one $module $behaviour [$($sides),+]
                bb8_on_many_threads Bb8 (flavor = "multi_thread"));
            mount!(@one $module $behaviour [$($sides),+]
                bb8_on_one_thread Bb8 (flavor = "current_thread"));
        })*
    };
    (@brief $module:ident $behaviour:ident [$($name:ident: [$($sides:ty),+]),* $(,)?]) => {
        $(mod $name {
            use super::*;

            mount!(@one $module $behaviour [$($sides),+]
                deadpool_on_many_threads Deadpool (flavor = "multi_thread"));
            mount!(@one $module $behaviour [$($sides),+]
                bb8_on_one_thread Bb8 (flavor = "current_thread"));
        })*
    };
    (@one $module:ident $behaviour:ident [$($sides:ty),+] $name:ident $pool:ident ($($runtime:tt)+)) => {
        #[tokio::test($($runtime)+)]
        async fn $name() {
            crate::suite::cancel::$module::$behaviour::<$($sides),+>(PoolKind::$pool).await;
        }
    };
}

mount!(statements: [
    a_first_statement_may_be_dropped_at_any_poll,
    a_second_unit_may_be_dropped_at_any_poll_of_its_begin,
    a_later_statement_dropped_at_any_poll_never_commits_by_half,
] on [
    postgres: [(PostgresA,)],
    mariadb: [(MariadbA,)],
    sqlite: [(Sqlite,)],
], brief [
    postgres_and_mariadb: [(PostgresA, MariadbA)],
    mariadb_and_sqlite: [(MariadbA, Sqlite)],
]);

mount!(statements: [
    a_unit_is_rolled_back_after_a_statement_dropped_at_any_poll,
    a_session_is_left_after_a_statement_dropped_at_any_poll,
] on [], brief [
    postgres: [(PostgresA,)],
    mariadb: [(MariadbA,)],
    sqlite: [(Sqlite,)],
    mariadb_and_sqlite: [(MariadbA, Sqlite)],
]);

mount!(statements: [
    a_unit_is_abort_only_once_a_statement_was_sent_and_dropped,
    a_savepoint_dropped_between_two_statements_commits_nothing,
] on [], brief [
    postgres: [(PostgresA,)],
    mariadb: [(MariadbA,)],
    postgres_and_mariadb: [(PostgresA, MariadbA)],
    mariadb_and_sqlite: [(MariadbA, Sqlite)],
]);

mount!(endings: [
    a_commit_dropped_at_any_poll_still_commits_everywhere,
    a_commit_of_one_writer_dropped_at_any_poll_still_commits,
    a_roll_back_dropped_at_any_poll_keeps_nothing,
    a_commit_of_one_bind_dropped_at_any_poll_keeps_no_other,
    a_closure_dropped_at_any_poll_is_kept_everywhere_or_nowhere,
    a_refused_commit_dropped_at_any_poll_keeps_nothing,
] on [
    postgres: [(PostgresA,)],
    mariadb: [(MariadbA,)],
    sqlite: [(Sqlite,)],
], brief [
    postgres_and_postgres: [(PostgresA, PostgresB)],
    postgres_and_mariadb: [(PostgresA, MariadbA)],
    postgres_and_sqlite: [(PostgresA, Sqlite)],
    mariadb_and_sqlite: [(MariadbA, Sqlite)],
    mariadb_and_mariadb: [(MariadbA, MariadbB)],
    all_four: [(PostgresA, PostgresB, MariadbA, Sqlite)],
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
] on [], brief [
    postgres: [PostgresA, MariadbA],
    mariadb: [MariadbA, PostgresA],
    mariadb_with_sqlite: [MariadbA, Sqlite],
    sqlite: [Sqlite, PostgresB],
]);

mount!(leaving: [
    a_session_may_be_dropped_outside_of_any_runtime,
    a_panic_rolls_back,
    an_early_return_rolls_back,
    a_session_may_outlive_its_runtime,
    a_runtime_may_end_with_units_open_in_its_tasks,
    a_runtime_may_end_in_the_middle_of_a_statement,
] on [
    postgres: [(PostgresA,)],
    mariadb: [(MariadbA,)],
    sqlite: [(Sqlite,)],
], brief [
    all_four: [(PostgresA, PostgresB, MariadbA, Sqlite)],
]);

// Each of these starts runtimes of its own, of both kinds.
mount!(crash: [
    a_commit_that_dies_at_any_message_is_kept_everywhere_or_nowhere,
    a_commit_that_dies_at_any_turn_is_kept_everywhere_or_nowhere,
] on [], brief [
    postgres: [(PostgresA,)],
    mariadb: [(MariadbA,)],
    postgres_and_postgres: [(PostgresA, PostgresB)],
    postgres_and_mariadb: [(PostgresA, MariadbA)],
    postgres_and_sqlite: [(PostgresA, Sqlite)],
    mariadb_and_sqlite: [(MariadbA, Sqlite)],
    mariadb_and_mariadb: [(MariadbA, MariadbB)],
    all_four: [(PostgresA, PostgresB, MariadbA, Sqlite)],
]);

mount!(soak: [
    units_cancelled_anywhere_leave_nothing_and_are_whole,
] on [], brief [
    postgres_and_mariadb: [(PostgresA, MariadbA)],
    mariadb_and_mariadb: [(MariadbA, MariadbB)],
    postgres_and_sqlite: [(PostgresA, Sqlite)],
    all_four: [(PostgresA, PostgresB, MariadbA, Sqlite)],
]);

/// A pool that does not test its connections gives them out in the state in which they came back.
mod pools_that_ask_nothing {
    use super::*;
    use crate::suite::cancel::{endings, raw, statements};

    const POOL: PoolKind = PoolKind::DeadpoolUnasked;

    #[tokio::test]
    async fn a_first_statement_may_be_dropped_at_any_poll() {
        statements::a_first_statement_may_be_dropped_at_any_poll::<(MariadbA,)>(POOL).await;
        statements::a_first_statement_may_be_dropped_at_any_poll::<(PostgresA, Sqlite)>(POOL).await;
    }

    #[tokio::test]
    async fn a_later_statement_dropped_at_any_poll_never_commits_by_half() {
        statements::a_later_statement_dropped_at_any_poll_never_commits_by_half::<(
            MariadbA,
            Sqlite,
        )>(POOL)
        .await;
    }

    #[tokio::test]
    async fn a_session_is_left_after_a_statement_dropped_at_any_poll() {
        statements::a_session_is_left_after_a_statement_dropped_at_any_poll::<(MariadbA, PostgresA)>(
            POOL,
        )
        .await;
    }

    #[tokio::test]
    async fn a_raw_statement_dropped_at_any_poll_falsifies_no_reply() {
        raw::a_raw_statement_dropped_at_any_poll_falsifies_no_reply::<MariadbA, PostgresA>(POOL)
            .await;
    }

    #[tokio::test]
    async fn a_nested_transaction_dropped_at_any_poll_is_not_kept_by_half() {
        raw::a_nested_transaction_dropped_at_any_poll_is_not_kept_by_half::<MariadbA, Sqlite>(POOL)
            .await;
    }

    #[tokio::test]
    async fn a_commit_dropped_at_any_poll_still_commits_everywhere() {
        endings::a_commit_dropped_at_any_poll_still_commits_everywhere::<(
            PostgresA,
            MariadbA,
            Sqlite,
        )>(POOL)
        .await;
    }
}

/// Diesel-async's own wrapper blocks when the future of a running statement is dropped, which takes many threads.
mod users_own_pools_of_the_plain_wrapper {
    use super::*;
    use crate::suite::cancel::{endings, leaving, statements};

    #[tokio::test(flavor = "multi_thread")]
    async fn deadpool() {
        all(PoolKind::Deadpool).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bb8() {
        all(PoolKind::Bb8).await;
    }

    async fn all(pool: PoolKind) {
        statements::a_first_statement_may_be_dropped_at_any_poll::<(SqliteTokio,)>(pool).await;
        statements::a_later_statement_dropped_at_any_poll_never_commits_by_half::<(
            PostgresA,
            SqliteTokio,
        )>(pool)
        .await;
        endings::a_commit_dropped_at_any_poll_still_commits_everywhere::<(PostgresA, SqliteTokio)>(
            pool,
        )
        .await;
        leaving::a_panic_rolls_back::<(SqliteTokio,)>(pool).await;
        leaving::a_session_may_be_dropped_outside_of_any_runtime::<(SqliteTokio,)>(pool).await;
    }
}
