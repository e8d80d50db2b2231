//! Mounts units that are run again on every backend.

mod suite;
mod support;

use crate::suite::options::Nobody;
use crate::suite::side::{MariadbA, PoolKind, PostgresA, Sqlite};

/// Mounts each behaviour of a module on each type, or list of types, with each pool.
macro_rules! mount {
    ($module:ident: [$($behaviour:ident),+ $(,)?] on $sides:tt) => {
        $(mount!(@sides $module $behaviour $sides);)+
    };
    (@sides $module:ident $behaviour:ident [$($name:ident: <$($side:ty),+>),+ $(,)?]) => {
        mod $behaviour {
            use super::*;

            $(mod $name {
                use super::*;

                #[tokio::test(flavor = "multi_thread")]
                async fn deadpool() {
                    suite::$module::$behaviour::<$($side),+>(PoolKind::Deadpool).await;
                }

                #[tokio::test]
                async fn bb8() {
                    suite::$module::$behaviour::<$($side),+>(PoolKind::Bb8).await;
                }
            })+
        }
    };
}

mount!(retries: [a_deadlock_is_run_again] on [
    postgres: <PostgresA, MariadbA>,
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, Nobody>,
]);

mount!(retries: [units_are_run_again_in_any_language] on [
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, Nobody>,
]);

mount!(retries: [a_serialization_failure_is_run_again] on [postgres: <PostgresA, Nobody>]);

mount!(retries: [a_lock_that_was_not_free_in_time_is_run_again] on [
    mariadb: <MariadbA, PostgresA>,
    mariadb_alone: <MariadbA, Nobody>,
    sqlite: <Sqlite, PostgresA>,
]);

mount!(retries: [nothing_else_is_run_again] on [
    postgres: <PostgresA, Nobody>,
    mariadb: <MariadbA, PostgresA>,
    sqlite: <Sqlite, Nobody>,
]);

mount!(retries: [
    nothing_in_doubt_is_run_again,
    who_got_over_a_conflict_is_not_run_again,
] on [mariadb: <MariadbA, Nobody>]);
