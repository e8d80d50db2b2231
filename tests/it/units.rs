//! Mounts the behaviours of units of work on every backend, pool and combination of databases.

use kit::side::{MariadbA, MariadbB, PostgresA, PostgresB, PostgresPlain, Sqlite};

use crate::suite::mount::mount;
use crate::suite::second::NoSecond;

mount!(atomic: [
    commit_all_keeps_the_unit_on_every_bind,
    rollback_all_keeps_nothing_on_any_bind,
    a_dropped_session_keeps_nothing_and_frees_its_connections,
    a_swallowed_error_never_commits_half_of_a_unit,
    a_closure_commits_on_ok_and_rolls_back_on_err,
] on [
    postgres: <(PostgresA,)>,
    mariadb: <(MariadbA,)>,
    sqlite: <(Sqlite,)>,
    postgres_and_postgres: <(PostgresA, PostgresB)>,
    postgres_and_plain: <(PostgresA, PostgresPlain)>,
    postgres_and_mariadb: <(PostgresA, MariadbA)>,
    postgres_and_sqlite: <(PostgresA, Sqlite)>,
    mariadb_and_sqlite: <(MariadbA, Sqlite)>,
    mariadb_and_mariadb: <(MariadbA, MariadbB)>,
    all_four: <(PostgresA, PostgresB, MariadbA, Sqlite)>,
]);

mount!(ended: [
    nothing_commits_by_itself_after_a_raw_commit,
    no_text_forges_the_mark_of_a_unit,
    nothing_commits_by_itself_after_a_commit_in_text,
] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
    sqlite: <Sqlite>,
]);

mount!(ended: [nothing_commits_by_itself_after_an_error_that_rolled_back] on [
    sqlite: <Sqlite>,
]);

mount!(ended: [nothing_commits_by_itself_after_a_deadlock] on [
    mariadb: <MariadbA>,
]);

mount!(swapped: [
    connections_of_two_units_that_are_swapped_commit_nothing,
    a_connection_of_the_application_that_is_swapped_in_is_noticed,
] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
    sqlite: <Sqlite>,
]);

mount!(swapped: [
    connections_of_two_binds_that_are_swapped_commit_nothing,
] on [
    of_postgres: <PostgresA, PostgresB>,
    of_mariadb: <MariadbA, MariadbB>,
]);

mount!(described: [
    the_last_id_is_that_of_the_application,
    the_changed_rows_are_those_of_the_application,
] on [
    postgres: <PostgresA, NoSecond>,
    postgres_with_sqlite: <PostgresA, Sqlite>,
    mariadb: <MariadbA, NoSecond>,
    mariadb_with_postgres: <MariadbA, PostgresB>,
    sqlite: <Sqlite, NoSecond>,
    sqlite_with_postgres: <Sqlite, PostgresB>,
]);

mount!(described: [all_changes_of_sqlite_within_a_unit_are_those_of_the_application] on [
    sqlite: <NoSecond>,
    sqlite_with_postgres: <PostgresB>,
]);

mount!(undone: [
    a_commit_of_the_application_is_never_reported_as_rolled_back,
    typed_units_are_certain_to_be_undone,
] on [
    postgres: <PostgresA, PostgresB>,
    postgres_with_mariadb: <PostgresA, MariadbA>,
    mariadb: <MariadbA, MariadbB>,
    sqlite: <Sqlite, PostgresB>,
]);

mount!(undone: [
    a_dropped_commit_in_text_is_never_told_undone,
    the_only_bind_is_never_told_undone,
] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
    sqlite: <Sqlite>,
]);

mount!(undone_within: [a_commit_within_a_hook_is_never_reported_as_rolled_back] on [
    postgres: <PostgresA, NoSecond>,
    postgres_with_mariadb: <PostgresA, MariadbA>,
    mariadb: <MariadbA, NoSecond>,
    mariadb_with_postgres: <MariadbA, PostgresB>,
    sqlite: <Sqlite, NoSecond>,
]);

mount!(undone_within: [
    a_commit_before_a_deadline_is_never_reported_as_rolled_back,
    a_commit_within_a_joined_unit_is_never_reported_as_rolled_back,
    a_commit_within_a_scope_is_never_reported_as_rolled_back,
] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
    sqlite: <Sqlite>,
]);
