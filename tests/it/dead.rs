//! Mounts the behaviours of units whose connections died before their commit, on every backend and pool.

use kit::side::{MariadbA, MariadbB, PostgresA, PostgresB, Sqlite};

use crate::suite::mount::mount;

mount!(dead: [a_lone_commit_on_a_dead_connection_is_rolled_back] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
]);

mount!(dead: [a_writer_on_a_dead_connection_leaves_nothing_in_doubt] on [
    postgres_and_postgres: <PostgresA, PostgresB>,
    postgres_and_mariadb: <PostgresA, MariadbA>,
    mariadb_and_mariadb: <MariadbA, MariadbB>,
    postgres_and_sqlite: <PostgresA, Sqlite>,
    mariadb_and_sqlite: <MariadbA, Sqlite>,
]);

mount!(dead: [a_unit_behind_a_cut_network_is_rolled_back] on [
    postgres_with_postgres: <PostgresA, PostgresB>,
    postgres_with_mariadb: <PostgresA, MariadbA>,
    mariadb_with_postgres: <MariadbA, PostgresA>,
    postgres_with_sqlite: <PostgresA, Sqlite>,
    mariadb_with_sqlite: <MariadbA, Sqlite>,
]);

mount!(dead: [a_commit_behind_a_dropped_stream_is_certain] on [
    postgres: <PostgresA>,
    mariadb: <MariadbA>,
    sqlite: <Sqlite>,
]);
