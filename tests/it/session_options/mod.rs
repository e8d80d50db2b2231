//! Mounts the behaviours of session options (read-only units, deadlines), of savepoints and of closures on every
//! backend.

mod sqlite;

use kit::side::{MariadbA, PostgresA, PostgresB, Sqlite};

use crate::suite::mount::mount;
use crate::suite::second::NoSecond;

mount!(read_only: [
    a_read_only_unit_refuses_what_may_write,
    the_server_refuses_to_write_in_a_read_only_unit,
    a_connection_may_write_again_after_a_read_only_unit,
    a_read_only_unit_that_text_made_writable_keeps_nothing,
] on [postgres: <PostgresA>, mariadb: <MariadbA>, sqlite: <Sqlite>]);

mount!(read_only: [a_read_only_unit_needs_no_decision] on [
    postgres: <(PostgresA,)>,
    mariadb_and_sqlite: <(MariadbA, Sqlite)>,
    all: <(PostgresA, PostgresB, MariadbA, Sqlite)>,
]);

mount!(options: [
    a_unit_has_the_isolation_that_it_asked_for,
    options_of_a_bind_hold_unless_the_unit_overrides_them,
    a_statement_past_its_timeout_is_ended_by_the_server,
] on [
    postgres: <PostgresA, MariadbA>,
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
]);

mount!(options: [
    nothing_that_a_unit_was_told_reaches_the_next,
    a_lock_that_is_not_free_in_time_is_an_error,
] on [
    postgres: <PostgresA, MariadbA>,
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
    sqlite: <Sqlite, PostgresA>,
]);

mount!(options: [
    options_that_cannot_hold_are_refused_by_bind_and_option,
    a_bind_that_only_reads_refuses_what_may_write,
] on [postgres: <PostgresA>, mariadb: <MariadbA>, sqlite: <Sqlite>]);

mount!(deadline: [
    the_deadline_ends_waiting_for_a_pool,
    the_deadline_ends_waiting_for_a_lock,
    a_deadline_that_passed_keeps_the_commit_from_beginning,
    a_unit_within_its_deadline_is_as_any_other,
    each_unit_of_a_session_has_a_deadline_of_its_own,
] on [postgres: <PostgresA>, mariadb: <MariadbA>, sqlite: <Sqlite>]);

mount!(deadline: [
    a_statement_past_the_deadline_is_stopped,
    the_deadline_ends_waiting_for_a_server_that_hangs,
] on [postgres: <PostgresA>, mariadb: <MariadbA>]);

mount!(declared: [
    the_first_query_begins_on_all_declared_binds,
    two_first_queries_at_once_share_what_is_begun,
    a_declared_bind_must_be_registered,
    a_first_query_may_be_dropped_at_any_poll,
] on [
    postgres_and_mariadb: <PostgresA, MariadbA>,
    mariadb_and_sqlite: <MariadbA, Sqlite>,
]);

mount!(savepoints: [
    a_savepoint_is_kept_on_ok_and_undone_on_err,
    savepoints_nest,
    a_bind_that_joins_within_goes_back_to_its_begin,
    an_sql_error_within_is_undone,
    an_sql_error_swallowed_within_never_keeps_half,
    a_unit_cannot_be_ended_within,
    a_dropped_savepoint_leaves_only_the_roll_back,
    an_error_is_the_closures_own_even_where_nothing_can_be_undone,
] on [
    postgres_and_postgres: <PostgresA, PostgresB>,
    postgres_and_mariadb: <PostgresA, MariadbA>,
    mariadb_and_sqlite: <MariadbA, Sqlite>,
    sqlite_and_postgres: <Sqlite, PostgresA>,
]);

mount!(closures: [
    a_closure_gets_the_result_of_its_commit,
    a_closure_that_runs_once_may_move_what_it_captures,
    a_closure_borrows_within_a_task,
    a_panic_rolls_back,
    a_cancelled_closure_rolls_back,
    a_session_is_fresh_after_each_unit,
] on [
    postgres: <(PostgresA,)>,
    mariadb: <(MariadbA,)>,
    sqlite: <(Sqlite,)>,
    all: <(PostgresA, PostgresB, MariadbA, Sqlite)>,
]);

mount!(closures: [an_ok_over_an_abort_only_unit_is_an_error] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
    sqlite: <Sqlite>,
]);

mount!(closures: [
    one_bind_commits_apart_from_the_rest,
    a_decision_of_one_bind_is_not_that_of_the_unit,
] on [
    postgres_and_postgres: <PostgresA, PostgresB>,
    postgres_and_mariadb: <PostgresA, MariadbA>,
    mariadb_and_sqlite: <MariadbA, Sqlite>,
    sqlite_and_postgres: <Sqlite, PostgresA>,
]);
