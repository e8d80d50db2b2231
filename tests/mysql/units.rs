//! Mounts the behaviours of units, their hooks, options and retries on MySQL.

use kit::side::{MariadbA, MysqlA, MysqlB, PostgresA, PostgresB, Sqlite};

use crate::suite::mount::mount;
use crate::suite::second::NoSecond;

mount!(atomic: [
    commit_all_keeps_the_unit_on_every_bind,
    rollback_all_keeps_nothing_on_any_bind,
    a_dropped_session_keeps_nothing_and_frees_its_connections,
    a_swallowed_error_never_commits_half_of_a_unit,
    a_closure_commits_on_ok_and_rolls_back_on_err,
] on [
    mysql: <(MysqlA,)>,
    postgres_and_mysql: <(PostgresA, MysqlA)>,
    mysql_and_sqlite: <(MysqlA, Sqlite)>,
    mysql_and_mysql: <(MysqlA, MysqlB)>,
    mysql_and_mariadb: <(MysqlA, MariadbA)>,
    all_four: <(PostgresA, PostgresB, MysqlA, Sqlite)>,
]);

mount!(ended: [
    nothing_commits_by_itself_after_a_raw_commit,
    no_text_forges_the_mark_of_a_unit,
    nothing_commits_by_itself_after_a_commit_in_text,
    nothing_commits_by_itself_after_a_deadlock,
] on [
    mysql: <MysqlA>,
]);

mount!(swapped: [
    connections_of_two_units_that_are_swapped_commit_nothing,
    a_connection_of_the_application_that_is_swapped_in_is_noticed,
] on [
    mysql: <MysqlA>,
]);

mount!(swapped: [
    connections_of_two_binds_that_are_swapped_commit_nothing,
] on [
    mysql: <MysqlA, MysqlB>,
]);

mount!(described: [
    the_last_id_is_that_of_the_application,
    the_changed_rows_are_those_of_the_application,
] on [
    mysql: <MysqlA, NoSecond>,
    mysql_with_postgres: <MysqlA, PostgresB>,
]);

mount!(undone: [
    a_commit_of_the_application_is_never_reported_as_rolled_back,
    typed_units_are_certain_to_be_undone,
] on [
    postgres_with_mysql: <PostgresA, MysqlA>,
    mysql: <MysqlA, MysqlB>,
]);

mount!(undone: [
    a_dropped_commit_in_text_is_never_told_undone,
    the_only_bind_is_never_told_undone,
] on [
    mysql: <MysqlA>,
]);

mount!(undone_within: [a_commit_within_a_hook_is_never_reported_as_rolled_back] on [
    postgres_with_mysql: <PostgresA, MysqlA>,
    mysql: <MysqlA, NoSecond>,
    mysql_with_postgres: <MysqlA, PostgresB>,
]);

mount!(undone_within: [
    a_commit_before_a_deadline_is_never_reported_as_rolled_back,
    a_commit_within_a_joined_unit_is_never_reported_as_rolled_back,
    a_commit_within_a_scope_is_never_reported_as_rolled_back,
] on [
    mysql: <MysqlA>,
]);

mount!(hooks: [
    hooks_run_at_the_end_of_their_unit_with_its_outcome,
    hooks_run_at_the_end_of_their_closure_with_its_outcome,
    a_hook_that_fails_after_the_commit_is_reported_beside_it,
    a_hook_before_the_commit_takes_part_and_may_veto,
    a_hook_that_did_not_say_yes_is_a_veto,
    a_dropped_commit_still_runs_its_hooks,
    no_hook_runs_while_the_outcome_is_in_doubt,
    hooks_of_a_savepoint_share_its_fate,
] on [
    postgres_and_mysql: <(PostgresA, MysqlA)>,
]);

mount!(nested: [
    work_that_is_in_no_unit_is_one,
    joined_work_is_kept_or_lost_with_its_unit,
    joined_work_that_fails_takes_its_unit_along,
    work_that_must_stand_alone_is_refused_within_a_unit,
    joined_work_that_is_dropped_leaves_only_the_roll_back,
    new_work_stands_alone,
] on [
    postgres_and_mysql: <(PostgresA, MysqlA)>,
]);

mount!(after_begin: [
    after_begin_writes_belong_to_the_unit,
    after_begin_writes_survive_a_savepoint_that_is_undone,
    a_hook_that_fails_lets_no_query_run,
    a_hook_must_not_end_the_transaction,
] on [
    mysql: <MysqlA, PostgresA>,
    mysql_alone: <MysqlA, NoSecond>,
]);

mount!(reentry: [
    binds_can_be_closed_anywhere,
    a_hook_at_the_begin_cannot_use_its_own_bind,
    a_hook_ends_with_the_deadline_of_its_unit,
    a_hook_before_the_commit_ends_whatever_it_calls,
    a_sandbox_can_be_ended_by_a_hook,
] on [
    mysql: <MysqlA>,
]);

mount!(read_only: [
    a_read_only_unit_refuses_what_may_write,
    the_server_refuses_to_write_in_a_read_only_unit,
    a_connection_may_write_again_after_a_read_only_unit,
    a_read_only_unit_that_text_made_writable_keeps_nothing,
] on [mysql: <MysqlA>]);

mount!(read_only: [a_read_only_unit_needs_no_decision] on [
    mysql_and_sqlite: <(MysqlA, Sqlite)>,
]);

mount!(options: [
    a_unit_has_the_isolation_that_it_asked_for,
    options_of_a_bind_hold_unless_the_unit_overrides_them,
    a_statement_past_its_timeout_is_ended_by_the_server,
    nothing_that_a_unit_was_told_reaches_the_next,
    a_lock_that_is_not_free_in_time_is_an_error,
] on [
    mysql: <MysqlA, PostgresA>,
    mysql_alone: <MysqlA, NoSecond>,
]);

mount!(options: [
    options_that_cannot_hold_are_refused_by_bind_and_option,
    a_bind_that_only_reads_refuses_what_may_write,
] on [mysql: <MysqlA>]);

mount!(deadline: [
    the_deadline_ends_waiting_for_a_pool,
    the_deadline_ends_waiting_for_a_lock,
    a_deadline_that_passed_keeps_the_commit_from_beginning,
    a_unit_within_its_deadline_is_as_any_other,
    each_unit_of_a_session_has_a_deadline_of_its_own,
    a_statement_past_the_deadline_is_stopped,
    the_deadline_ends_waiting_for_a_server_that_hangs,
] on [mysql: <MysqlA>]);

mount!(declared: [
    the_first_query_begins_on_all_declared_binds,
    two_first_queries_at_once_share_what_is_begun,
    a_declared_bind_must_be_registered,
    a_first_query_may_be_dropped_at_any_poll,
] on [
    postgres_and_mysql: <PostgresA, MysqlA>,
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
    postgres_and_mysql: <PostgresA, MysqlA>,
    mysql_and_sqlite: <MysqlA, Sqlite>,
]);

mount!(closures: [
    a_closure_gets_the_result_of_its_commit,
    a_closure_that_runs_once_may_move_what_it_captures,
    a_closure_borrows_within_a_task,
    a_panic_rolls_back,
    a_cancelled_closure_rolls_back,
    a_session_is_fresh_after_each_unit,
] on [
    mysql: <(MysqlA,)>,
    all: <(PostgresA, PostgresB, MysqlA, Sqlite)>,
]);

mount!(closures: [an_ok_over_an_abort_only_unit_is_an_error] on [
    mysql: <MysqlA>,
]);

mount!(closures: [
    one_bind_commits_apart_from_the_rest,
    a_decision_of_one_bind_is_not_that_of_the_unit,
] on [
    postgres_and_mysql: <PostgresA, MysqlA>,
    mysql_and_sqlite: <MysqlA, Sqlite>,
]);

mount!(retries: [
    a_deadlock_is_run_again,
    a_deadlock_is_retryable,
    units_are_run_again_in_any_language,
    a_lock_that_was_not_free_in_time_is_run_again,
    a_lock_that_is_not_waited_for_is_run_again,
] on [
    mysql: <MysqlA, PostgresA>,
    mysql_alone: <MysqlA, NoSecond>,
]);

mount!(retries: [
    nothing_else_is_run_again,
    a_lock_that_was_not_free_is_retryable_if_it_is_run_again,
] on [
    mysql: <MysqlA, PostgresA>,
]);

mount!(retries: [
    nothing_in_doubt_is_run_again,
    nothing_is_run_again_after_the_deadline,
    a_unit_that_could_not_be_rolled_back_is_not_run_again,
    a_unit_that_got_over_a_conflict_is_not_run_again,
] on [mysql: <MysqlA, NoSecond>]);

mount!(dead: [a_lone_commit_on_a_dead_connection_is_rolled_back] on [
    mysql: <MysqlA>,
]);

mount!(dead: [a_writer_on_a_dead_connection_leaves_nothing_in_doubt] on [
    postgres_and_mysql: <PostgresA, MysqlA>,
    mysql_and_mysql: <MysqlA, MysqlB>,
    mysql_and_sqlite: <MysqlA, Sqlite>,
]);

mount!(dead: [a_unit_behind_a_cut_network_is_rolled_back] on [
    postgres_with_mysql: <PostgresA, MysqlA>,
    mysql_with_postgres: <MysqlA, PostgresA>,
    mysql_with_sqlite: <MysqlA, Sqlite>,
]);

mount!(dead: [a_commit_behind_a_dropped_stream_is_certain] on [
    mysql: <MysqlA>,
]);
