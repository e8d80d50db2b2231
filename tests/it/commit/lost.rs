//! Mounts the behaviours under lost messages and replies on the combinations of databases.

use kit::side::{MariadbA, MariadbB, PostgresA, PostgresB, Sqlite};

macro_rules! mount {
    ([$($behaviour:ident),+ $(,)?] on $sides:tt) => {
        $(mount!(@sides $behaviour $sides);)+
    };
    (@sides $behaviour:ident [$($name:ident: $sides:ty),+ $(,)?]) => {
        mod $behaviour {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::suite::lost::$behaviour::<$sides>().await;
            })+
        }
    };
}

mount!([
    a_lost_message_or_reply_leaves_all_or_nothing,
    a_server_that_stays_away_is_in_doubt_or_pending,
    a_hanging_connection_ends_in_a_true_answer,
    a_hanging_statement_ends_at_the_deadline,
] on [
    postgres_and_postgres: (PostgresA, PostgresB),
    postgres_and_mariadb: (PostgresA, MariadbA),
    postgres_and_sqlite: (PostgresA, Sqlite),
    mariadb_and_sqlite: (MariadbA, Sqlite),
    mariadb_and_mariadb: (MariadbA, MariadbB),
    all_four: (PostgresA, PostgresB, MariadbA, Sqlite),
]);

mount!([
    a_transaction_that_ends_within_a_message_leaves_all_or_nothing,
    a_recorded_transaction_that_ends_within_a_message_leaves_all_or_nothing,
] on [
    postgres: (PostgresA,),
    mariadb: (MariadbA,),
    postgres_and_postgres: (PostgresA, PostgresB),
    postgres_and_mariadb: (PostgresA, MariadbA),
    postgres_and_sqlite: (PostgresA, Sqlite),
]);
