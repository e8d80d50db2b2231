//! Mounts the behaviours under lost messages and replies on combinations with MySQL.

use kit::side::{MariadbA, MysqlA, MysqlB, PostgresA, PostgresB, Sqlite};

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
    postgres_and_mysql: (PostgresA, MysqlA),
    mysql_and_sqlite: (MysqlA, Sqlite),
    mysql_and_mysql: (MysqlA, MysqlB),
    mysql_and_mariadb: (MysqlA, MariadbA),
    all_four: (PostgresA, PostgresB, MysqlA, Sqlite),
]);

// The commit of an only writer that is not recorded has no last statement that fails outside of its transaction.
mount!([a_transaction_that_ends_within_a_message_leaves_all_or_nothing] on [
    postgres_and_mysql: (PostgresA, MysqlA),
    mysql_and_mysql: (MysqlA, MysqlB),
]);

mount!([a_recorded_transaction_that_ends_within_a_message_leaves_all_or_nothing] on [
    mysql: (MysqlA,),
    postgres_and_mysql: (PostgresA, MysqlA),
    mysql_and_mysql: (MysqlA, MysqlB),
]);
