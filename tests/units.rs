//! Mounts the behaviours of units of work on every backend, pool and combination of databases.

mod suite;
mod support;

use crate::suite::mount::mount;
use crate::suite::side::{MariadbA, MariadbB, PostgresA, PostgresB, PostgresPlain, Sqlite};

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
