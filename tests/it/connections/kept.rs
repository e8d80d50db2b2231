//! The writes that stay prepared on a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::ConnectionResult;
use diesel::connection::InstrumentationEvent;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::AsyncConnection as _;
use diesel_binds::build::FromUrl;
use diesel_binds::{Bind, BindOptions, Binds, PoolOptions, RunQueryDsl as _, Session, Source};
use kit::pooler::Pooler;
use kit::proxy::Proxy;
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite, mariadb_a};

/// The largest number of texts of one type of statement that are kept.
const LIMIT_OF_TYPE: usize = 4;

type ConnectionOf<S> = <<S as Side>::Bind as Bind>::Connection;

/// Makes a registry whose connection counts the updates that Diesel keeps prepared.
fn counting<S: Side>(url: &str, options: BindOptions) -> (Binds, Arc<AtomicUsize>)
where
    ConnectionOf<S>: FromUrl,
{
    let kept = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&kept);
    let source = Source::url(url)
        .options(options)
        .pool_options(PoolOptions::new().max_size(1))
        .setup(move |url: &str| {
            let (url, counter) = (url.to_owned(), Arc::clone(&counter));
            Box::pin(async move {
                let mut connection = ConnectionOf::<S>::establish(&url).await?;
                connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                    if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                        counter.fetch_add(usize::from(sql.starts_with("UPDATE")), Ordering::SeqCst);
                    }
                });
                ConnectionResult::Ok(connection)
            })
        });
    (
        Binds::builder().bind(S::bind(), source).build().unwrap(),
        kept,
    )
}

async fn rename<S: Side>(binds: &Binds) {
    let mut session = binds.session();
    S::rename(&session, "old", "new").await.unwrap();
    session.commit_all().await.unwrap();
}

macro_rules! on_backends {
    ($($behaviour:ident),+ $(,)?) => {
        $(mod $behaviour {
            use super::*;

            #[tokio::test]
            async fn postgres() {
                super::$behaviour::<PostgresA>().await;
            }

            #[tokio::test]
            async fn mariadb() {
                super::$behaviour::<MariadbA>().await;
            }

            #[tokio::test]
            async fn sqlite() {
                super::$behaviour::<Sqlite>().await;
            }
        })+
    };
}

on_backends!(
    an_update_is_kept_from_its_second_use,
    an_update_is_not_kept_where_that_is_off,
    an_update_after_text_is_not_kept,
);

async fn an_update_is_kept_from_its_second_use<S: Side>()
where
    ConnectionOf<S>: FromUrl,
{
    let database = S::database().await;
    let (binds, kept) = counting::<S>(database.url(), BindOptions::new());
    for expected in [0, 1, 1, 1] {
        rename::<S>(&binds).await;
        assert_eq!(kept.load(Ordering::SeqCst), expected);
    }
}

async fn an_update_is_not_kept_where_that_is_off<S: Side>()
where
    ConnectionOf<S>: FromUrl,
{
    let database = S::database().await;
    let options = BindOptions::new().prepare_writes_anew();
    let (binds, kept) = counting::<S>(database.url(), options);
    for _ in 0..3 {
        rename::<S>(&binds).await;
    }
    assert_eq!(kept.load(Ordering::SeqCst), 0);
}

async fn an_update_after_text_is_not_kept<S: Side>()
where
    ConnectionOf<S>: FromUrl,
{
    let database = S::database().await;
    let (binds, kept) = counting::<S>(database.url(), BindOptions::new());
    for _ in 0..3 {
        let mut session = binds.session();
        S::sql(&session, "SELECT 1").await.unwrap();
        S::rename(&session, "old", "new").await.unwrap();
        session.commit_all().await.unwrap();
    }
    assert_eq!(kept.load(Ordering::SeqCst), 0);
}

/// Others may change the current database of a connection of these pools while it is not in a unit.
#[tokio::test]
async fn an_update_on_mariadb_is_not_kept_where_others_use_the_connection() {
    let database = MariadbA::database().await;
    let proxy = Proxy::start(database.url()).await;
    let url = proxy.url(database.url());
    let keeping = BindOptions::new().keep_session_state();
    let own = Source::url(&url)
        .options(keeping)
        .pool_options(PoolOptions::new().max_size(1));
    let own = Binds::builder().bind(MariadbA, own).build().unwrap();
    let (builder, options) = (Binds::builder(), BindOptions::new());
    let ready = MariadbA::register(builder, &url, PoolKind::Deadpool, 1, options).await;
    for binds in [own, ready.build().unwrap()] {
        let session = binds.session();
        MariadbA::read(&session).await.unwrap();
        let mut costs = Vec::new();
        for _ in 0..4 {
            let before = proxy.messages();
            MariadbA::rename(&session, "old", "new").await.unwrap();
            costs.push(proxy.messages() - before);
        }
        // The close of the statement before comes with the next.
        assert_eq!(costs, [2, 3, 3, 3]);
    }
}

/// Another connection of the server may have another statement of that name.
#[tokio::test]
async fn an_update_behind_a_pooler_is_not_kept() {
    let database = PostgresA::database().await;
    let pooler = Pooler::in_front_of(Server::PostgresA, 1);
    let url = pooler.url(database.url());
    let (binds, kept) = counting::<PostgresA>(&url, BindOptions::new());
    for _ in 0..3 {
        rename::<PostgresA>(&binds).await;
    }
    assert_eq!(kept.load(Ordering::SeqCst), 0);
}

/// MariaDB looks for the tables of a kept statement in the database in which it was prepared.
#[tokio::test]
async fn an_update_after_use_changes_the_other_database() {
    let (first, second) = (MariadbA::database().await, MariadbA::database().await);
    for database in [&first, &second] {
        MariadbA::admin(database, "INSERT INTO notes (text) VALUES ('old')").await;
    }
    let source = Source::url(first.url()).pool_options(PoolOptions::new().max_size(1));
    let binds = Binds::builder().bind(MariadbA, source).build().unwrap();
    for _ in 0..3 {
        let mut session = binds.session();
        MariadbA::rename(&session, "old", "old").await.unwrap();
        session.commit_all().await.unwrap();
    }
    let mut session = binds.session();
    let other = second.name().expect("a database on a server has a name");
    MariadbA::sql(&session, &format!("USE {other}"))
        .await
        .unwrap();
    MariadbA::rename(&session, "old", "new").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(MariadbA::rows(&first).await, ["old"]);
    assert_eq!(MariadbA::rows(&second).await, ["new"]);
}

/// Updates the rows of lists of 1 to `lengths` ids, each list in a text of its own on MariaDB.
async fn update_lists(session: &Session, lengths: i32) {
    use mariadb_a::notes;

    for length in 1..=lengths {
        let ids: Vec<i32> = (0..length).collect();
        diesel::update(notes::table.filter(notes::id.eq_any(ids)))
            .set(notes::text.eq("new"))
            .execute(session)
            .await
            .unwrap();
    }
}

/// Lists of ever-changing lengths keep no more than the limit, and push out nothing that is kept.
#[tokio::test]
async fn a_bounded_number_of_texts_is_kept() {
    let database = MariadbA::database().await;
    let proxy = Proxy::start(database.url()).await;
    let source =
        Source::url(proxy.url(database.url())).pool_options(PoolOptions::new().max_size(1));
    let binds = Binds::builder().bind(MariadbA, source).build().unwrap();
    let session = binds.session();
    for _ in 0..2 {
        MariadbA::rename(&session, "old", "new").await.unwrap();
    }
    let mut costs = Vec::new();
    for _ in 0..4 {
        let before = proxy.messages();
        update_lists(&session, 300).await;
        // It is still kept, and takes one message.
        MariadbA::rename(&session, "old", "new").await.unwrap();
        costs.push(proxy.messages() - before);
    }
    // A statement that is not kept takes a message to prepare it, one to execute it, and one to close it.
    assert_eq!(costs[0], 3 * 300 + 1);
    assert_eq!(costs[3], costs[0] - 2 * LIMIT_OF_TYPE, "{costs:?}");
}
