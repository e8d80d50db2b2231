//! Mounts the behaviours of units that are run again on every backend.

use kit::side::{MariadbA, PostgresA, Sqlite};

use crate::suite::mount::mount;
use crate::suite::second::NoSecond;

mount!(retries: [a_deadlock_is_run_again, a_deadlock_is_retryable] on [
    postgres: <PostgresA, MariadbA>,
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
]);

mount!(retries: [a_row_changed_since_the_snapshot_is_run_again] on [
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
]);

mount!(retries: [
    units_are_run_again_in_any_language,
    a_lock_that_is_not_waited_for_is_run_again,
] on [
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
]);

mount!(retries: [
    a_serialization_failure_is_run_again,
    a_serialization_failure_is_retryable,
] on [postgres: <PostgresA, NoSecond>]);

mount!(retries: [a_lock_that_was_not_free_in_time_is_run_again] on [
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
    sqlite: <Sqlite, PostgresA>,
]);

mount!(retries: [
    nothing_else_is_run_again,
    a_lock_that_was_not_free_is_retryable_if_it_is_run_again,
] on [
    postgres: <PostgresA, NoSecond>,
    mariadb: <MariadbA, PostgresA>,
    sqlite: <Sqlite, NoSecond>,
]);

mount!(retries: [
    nothing_in_doubt_is_run_again,
    nothing_is_run_again_after_the_deadline,
    a_unit_that_could_not_be_rolled_back_is_not_run_again,
    a_unit_that_got_over_a_conflict_is_not_run_again,
] on [mariadb: <MariadbA, NoSecond>]);
