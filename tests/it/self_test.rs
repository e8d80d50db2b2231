//! Tests of the test kit itself: the databases, the proxy and its faults, crashes.

use std::time::{Duration, Instant};

use diesel::sql_types::BigInt;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
};
use kit::database::Database;
use kit::proxy::{Fault, Half, Proxy};
use kit::servers::Server;

const TABLE: &str = "CREATE TABLE entries (amount BIGINT NOT NULL)";
const INSERT: &str = "INSERT INTO entries VALUES (7)";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// A connection of either kind, whose statements are prepared (`execute`) or sent as text (`batch`).
enum Connection {
    Postgres(Box<AsyncPgConnection>),
    Mysql(AsyncMysqlConnection),
}

impl Connection {
    async fn open(url: &str) -> Self {
        if url.starts_with("postgres") {
            Self::Postgres(Box::new(
                AsyncPgConnection::establish(url)
                    .await
                    .expect("PostgreSQL can be reached"),
            ))
        } else {
            Self::Mysql(
                AsyncMysqlConnection::establish(url)
                    .await
                    .expect("MariaDB can be reached"),
            )
        }
    }

    async fn batch(&mut self, statement: &str) -> QueryResult<()> {
        match self {
            Self::Postgres(connection) => connection.batch_execute(statement).await,
            Self::Mysql(connection) => connection.batch_execute(statement).await,
        }
    }

    async fn execute(&mut self, statement: &str) -> QueryResult<usize> {
        match self {
            Self::Postgres(connection) => sql_query(statement).execute(connection).await,
            Self::Mysql(connection) => sql_query(statement).execute(connection).await,
        }
    }

    async fn entries(&mut self) -> i64 {
        let query = sql_query("SELECT count(*) AS count FROM entries");
        let row: QueryResult<Count> = match self {
            Self::Postgres(connection) => query.get_result(connection).await,
            Self::Mysql(connection) => query.get_result(connection).await,
        };
        row.expect("the table can be read").count
    }
}

/// A database with a table, a connection to it, and a proxy in front of it.
struct Fixture {
    database: Database,
    direct: Connection,
    proxy: Proxy,
}

impl Fixture {
    async fn on(server: Server) -> Self {
        let database = Database::on(server).await;
        let mut direct = Connection::open(database.url()).await;
        direct.batch(TABLE).await.expect("the table can be made");
        let proxy = Proxy::start(database.url()).await;
        Self {
            database,
            direct,
            proxy,
        }
    }

    async fn connect(&self) -> Connection {
        Connection::open(&self.proxy.url(self.database.url())).await
    }

    async fn insert(connection: &mut Connection, sent: Sent) -> QueryResult<()> {
        match sent {
            Sent::AsText => connection.batch(INSERT).await,
            Sent::Prepared => connection.execute(INSERT).await.map(|_| ()),
        }
    }
}

/// The form in which the driver sends a statement.
#[derive(Clone, Copy, Debug)]
enum Sent {
    AsText,
    Prepared,
}

async fn lost_requests_do_nothing_and_lost_replies_hide_what_was_done(server: Server) {
    let mut fixture = Fixture::on(server).await;
    for sent in [Sent::AsText, Sent::Prepared] {
        for (fault, inserts, done) in [
            (Fault::before("INSERT"), 1, 0),
            (Fault::after("INSERT"), 1, 1),
            (Fault::before("INSERT").occurrence(2), 2, 1),
            (Fault::after("INSERT").occurrence(2), 2, 2),
        ] {
            fixture.direct.batch("DELETE FROM entries").await.unwrap();
            let mut connection = fixture.connect().await;
            let fired = fixture.proxy.fired();
            fixture.proxy.inject(fault.clone());
            for _ in 1..inserts {
                Fixture::insert(&mut connection, sent)
                    .await
                    .expect("the fault is not there yet");
            }
            Fixture::insert(&mut connection, sent)
                .await
                .expect_err("the connection is lost");
            assert_eq!(fixture.proxy.fired(), fired + 1);
            assert_eq!(fixture.direct.entries().await, done, "{fault:?}, {sent:?}");
        }
    }
}

async fn a_connection_can_be_lost_at_each_message(server: Server) {
    let mut fixture = Fixture::on(server).await;
    let mut lost = 0;
    for number in 1.. {
        fixture.direct.batch("DELETE FROM entries").await.unwrap();
        let mut connection = fixture.connect().await;
        fixture.proxy.inject(Fault::before_message(number));
        let inserted = Fixture::insert(&mut connection, Sent::Prepared).await;
        assert_eq!(fixture.direct.entries().await, i64::from(inserted.is_ok()));
        if fixture.proxy.disarm() {
            inserted.expect("without a fault all is well");
            break;
        }
        lost += 1;
    }
    assert!(
        lost >= 2,
        "preparing and executing are messages of their own"
    );
}

async fn a_stalled_statement_hangs_until_the_connection_is_cut(server: Server) {
    let mut fixture = Fixture::on(server).await;
    let mut connection = fixture.connect().await;
    fixture.proxy.inject(Fault::after("INSERT").stalling());
    let insert = connection.batch(INSERT);
    tokio::pin!(insert);
    tokio::time::timeout(Duration::from_millis(200), &mut insert)
        .await
        .expect_err("no reply comes");
    fixture.proxy.wait_fired(1).await;
    assert_eq!(fixture.direct.entries().await, 1);
    fixture.proxy.cut();
    insert.await.expect_err("the connection is cut");

    let mut connection = fixture.connect().await;
    fixture.proxy.stall();
    let count = connection.entries();
    tokio::pin!(count);
    tokio::time::timeout(Duration::from_millis(200), &mut count)
        .await
        .expect_err("nothing is forwarded");
    fixture.proxy.resume();
    assert_eq!(count.await, 1);
    assert_eq!(fixture.proxy.connections(), 2);
}

async fn half_a_connection_can_be_closed(server: Server) {
    let mut fixture = Fixture::on(server).await;
    for (fault, is_answered, done) in [
        (
            Fault::before("INSERT").half_closing(Half::ToServer),
            false,
            0,
        ),
        // The reply still arrives.
        (Fault::after("INSERT").half_closing(Half::ToServer), true, 1),
        (
            Fault::before("INSERT").half_closing(Half::ToClient),
            false,
            0,
        ),
        (
            Fault::after("INSERT").half_closing(Half::ToClient),
            false,
            1,
        ),
    ] {
        fixture.direct.batch("DELETE FROM entries").await.unwrap();
        let mut connection = fixture.connect().await;
        fixture.proxy.inject(fault.clone());
        let inserted = connection.batch(INSERT).await;
        assert_eq!(inserted.is_ok(), is_answered, "{fault:?}");
        assert!(!fixture.proxy.disarm(), "{fault:?}");
        connection.batch(INSERT).await.expect_err("it is closed");
        // The server may act after the client has gone on without its reply.
        while fixture.direct.entries().await < done {
            tokio::task::yield_now().await;
        }
        assert_eq!(fixture.direct.entries().await, done, "{fault:?}");
    }
}

async fn one_message_or_its_reply_can_be_late(server: Server) {
    let mut fixture = Fixture::on(server).await;
    const LATE: Duration = Duration::from_millis(100);
    for fault in [Fault::before("INSERT"), Fault::after("INSERT")] {
        fixture.direct.batch("DELETE FROM entries").await.unwrap();
        let mut connection = fixture.connect().await;
        fixture.proxy.inject(fault.delaying(LATE));
        let start = Instant::now();
        connection.batch(INSERT).await.expect("nothing is lost");
        assert!(start.elapsed() >= LATE);
        assert_eq!(connection.entries().await, 1);
        assert!(!fixture.proxy.disarm());
    }
}

async fn a_delay_holds_for_each_direction_of_a_round_trip(server: Server) {
    const DELAY: Duration = Duration::from_millis(40);
    let fixture = Fixture::on(server).await;
    let mut connection = fixture.connect().await;
    fixture.proxy.delay(DELAY);
    for trips in 1..=3 {
        let start = Instant::now();
        for _ in 0..trips {
            connection.batch(INSERT).await.unwrap();
        }
        assert!(start.elapsed() >= 2 * trips * DELAY);
    }
}

async fn a_database_is_gone_after_the_test(server: Server) {
    let database = Database::on(server).await;
    let url = database.url().to_owned();
    let left_open = Connection::open(&url).await;
    drop(database);
    drop(left_open);
    let established = match url.starts_with("postgres") {
        true => AsyncPgConnection::establish(&url).await.is_ok(),
        false => AsyncMysqlConnection::establish(&url).await.is_ok(),
    };
    assert!(!established);
}

mod postgres {
    use kit::servers::Server;

    #[tokio::test]
    async fn lost_requests_do_nothing_and_lost_replies_hide_what_was_done() {
        super::lost_requests_do_nothing_and_lost_replies_hide_what_was_done(Server::PostgresA)
            .await;
    }

    #[tokio::test]
    async fn a_connection_can_be_lost_at_each_message() {
        super::a_connection_can_be_lost_at_each_message(Server::PostgresA).await;
    }

    #[tokio::test]
    async fn a_stalled_statement_hangs_until_the_connection_is_cut() {
        super::a_stalled_statement_hangs_until_the_connection_is_cut(Server::PostgresA).await;
    }

    #[tokio::test]
    async fn half_a_connection_can_be_closed() {
        super::half_a_connection_can_be_closed(Server::PostgresA).await;
    }

    #[tokio::test]
    async fn one_message_or_its_reply_can_be_late() {
        super::one_message_or_its_reply_can_be_late(Server::PostgresA).await;
    }

    #[tokio::test]
    async fn a_delay_holds_for_each_direction_of_a_round_trip() {
        super::a_delay_holds_for_each_direction_of_a_round_trip(Server::PostgresA).await;
    }

    #[tokio::test]
    async fn a_database_is_gone_after_the_test() {
        super::a_database_is_gone_after_the_test(Server::PostgresA).await;
    }
}

mod mariadb {
    use kit::servers::Server;

    #[tokio::test]
    async fn lost_requests_do_nothing_and_lost_replies_hide_what_was_done() {
        super::lost_requests_do_nothing_and_lost_replies_hide_what_was_done(Server::MariadbA).await;
    }

    #[tokio::test]
    async fn a_connection_can_be_lost_at_each_message() {
        super::a_connection_can_be_lost_at_each_message(Server::MariadbA).await;
    }

    #[tokio::test]
    async fn a_stalled_statement_hangs_until_the_connection_is_cut() {
        super::a_stalled_statement_hangs_until_the_connection_is_cut(Server::MariadbA).await;
    }

    #[tokio::test]
    async fn half_a_connection_can_be_closed() {
        super::half_a_connection_can_be_closed(Server::MariadbA).await;
    }

    #[tokio::test]
    async fn one_message_or_its_reply_can_be_late() {
        super::one_message_or_its_reply_can_be_late(Server::MariadbA).await;
    }

    #[tokio::test]
    async fn a_delay_holds_for_each_direction_of_a_round_trip() {
        super::a_delay_holds_for_each_direction_of_a_round_trip(Server::MariadbA).await;
    }

    #[tokio::test]
    async fn a_database_is_gone_after_the_test() {
        super::a_database_is_gone_after_the_test(Server::MariadbA).await;
    }
}
