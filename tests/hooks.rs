//! Mounts hooks of units and of binds, and work within work, on every backend.

#[path = "hooks/pooler.rs"]
mod pooler;
mod suite;
mod support;

use crate::suite::mount::mount;
use crate::suite::options::Nobody;
use crate::suite::side::{MariadbA, PostgresA, PostgresB, Sqlite};

mount!(hooks: [
    hooks_hear_how_their_unit_ended,
    hooks_hear_how_their_closure_ended,
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
    what_it_writes_is_part_of_the_unit,
    it_is_not_undone_with_a_savepoint,
    a_hook_that_fails_lets_no_query_run,
    a_hook_must_not_end_the_transaction,
] on [
    postgres: <PostgresA, MariadbA>,
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, Nobody>,
    sqlite: <Sqlite, PostgresA>,
]);

mount!(after_begin: [nothing_that_it_sets_locally_reaches_the_next_user] on [
    postgres: <PostgresA, PostgresB>,
    postgres_and_mariadb: <PostgresA, MariadbA>,
]);

mount!(after_begin: [a_hook_of_no_bind_is_a_mistake] on [sqlite: <Sqlite, PostgresA>]);
