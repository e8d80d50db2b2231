//! Mounts hooks of units and of binds, and work within work, on every backend.

mod pooler;

use kit::side::{MariadbA, PostgresA, PostgresB, Sqlite};

use crate::suite::mount::mount;
use crate::suite::second::NoSecond;

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
    sqlite: <(Sqlite,)>,
    postgres_and_mariadb: <(PostgresA, MariadbA)>,
]);

mount!(nested: [
    work_that_is_in_no_unit_is_one,
    joined_work_is_kept_or_lost_with_its_unit,
    joined_work_that_fails_takes_its_unit_along,
    work_that_must_stand_alone_is_refused_within_a_unit,
    joined_work_that_is_dropped_leaves_only_the_roll_back,
] on [
    sqlite: <(Sqlite,)>,
    postgres_and_mariadb: <(PostgresA, MariadbA)>,
]);

mount!(nested: [new_work_stands_alone] on [
    sqlite: <(Sqlite,)>,
    postgres_and_mariadb: <(PostgresA, MariadbA)>,
]);

mount!(after_begin: [
    after_begin_writes_belong_to_the_unit,
    after_begin_writes_survive_a_savepoint_that_is_undone,
    a_hook_that_fails_lets_no_query_run,
    a_hook_must_not_end_the_transaction,
] on [
    postgres: <PostgresA, MariadbA>,
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
    sqlite: <Sqlite, PostgresA>,
]);

mount!(after_begin: [local_settings_of_after_begin_never_reach_the_next_user] on [
    postgres: <PostgresA, PostgresB>,
    postgres_and_mariadb: <PostgresA, MariadbA>,
]);

mount!(after_begin: [a_hook_of_no_bind_is_a_mistake] on [sqlite: <Sqlite, PostgresA>]);

mount!(reentry: [
    binds_can_be_closed_anywhere,
    a_hook_at_the_begin_cannot_use_its_own_bind,
    a_hook_ends_with_the_deadline_of_its_unit,
    a_hook_before_the_commit_ends_whatever_it_calls,
    a_sandbox_can_be_ended_by_a_hook,
] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
    sqlite: <Sqlite>,
]);
