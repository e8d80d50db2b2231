//! Mounts the behaviours of many units with conflicts on every backend.

use kit::side::{MariadbA, PostgresA, Sqlite};

use crate::suite::mount::mount;
use crate::suite::second::NoSecond;

mount!(conflicts: [
    deadlocked_units_all_commit_on_postgres,
    units_with_stale_snapshots_all_commit_on_postgres,
] on [
    postgres: <PostgresA, MariadbA>,
]);

mount!(conflicts: [deadlocked_units_all_commit_on_mysql] on [
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, NoSecond>,
]);

mount!(conflicts: [units_with_stale_snapshots_all_commit_on_mariadb] on [
    mariadb_alone: <MariadbA, NoSecond>,
]);

mount!(conflicts: [units_on_one_file_all_commit] on [
    sqlite: <Sqlite, NoSecond>,
]);
