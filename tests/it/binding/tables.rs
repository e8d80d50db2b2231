//! One or two databases of one backend, with tables of the same names and different rows.

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use diesel_binds::build::FromUrl;
use diesel_binds::{Bind, Binds, Session, SessionOptions, Source};
use kit::database::Database;

/// Binds of one backend, and their databases. A query on the wrong bind finds other rows, or no database.
pub(crate) struct Tables {
    pub(crate) binds: Binds,
    _databases: Vec<Database>,
}

/// The names of the column types on a backend.
pub(crate) struct Words {
    pub(crate) id: &'static str,
    pub(crate) text: &'static str,
}

impl Tables {
    /// Creates the tables on the main bind alone.
    pub(crate) async fn of<Main>(main: Database, words: &Words) -> Self
    where
        Main: Bind<Connection: FromUrl + SimpleAsyncConnection> + Default,
    {
        fill::<Main::Connection>(&main, words, MAIN).await;
        let binds = Binds::builder()
            .bind(Main::default(), Source::url(main.url()))
            .build();
        Self {
            binds: binds.unwrap(),
            _databases: vec![main],
        }
    }

    /// Creates the tables on both binds.
    pub(crate) async fn of_both<Main, Other>(main: Database, other: Database, words: &Words) -> Self
    where
        Main: Bind<Connection: FromUrl + SimpleAsyncConnection> + Default,
        Other: Bind<Connection: FromUrl + SimpleAsyncConnection> + Default,
    {
        fill::<Main::Connection>(&main, words, MAIN).await;
        fill::<Other::Connection>(&other, words, OTHER).await;
        let binds = Binds::builder()
            .namespace("binding")
            .bind(Main::default(), Source::url(main.url()))
            .bind(Other::default(), Source::url(other.url()))
            .build();
        Self {
            binds: binds.unwrap(),
            _databases: vec![main, other],
        }
    }

    pub(crate) fn session(&self) -> Session {
        self.binds.session()
    }

    pub(crate) fn read_only(&self) -> Session {
        self.binds.with(SessionOptions::new().read_only()).session()
    }
}

const MAIN: &str = "
    INSERT INTO users (name, boss_id) VALUES ('ann', NULL), ('bob', 1), ('cid', 1), ('dan', 2);
    INSERT INTO posts (user_id, title) VALUES (1, 'a1'), (1, 'a2'), (2, 'b1');
    INSERT INTO comments (post_id, body) VALUES (1, 'c1'), (1, 'c2'), (3, 'c3');";

const OTHER: &str = "INSERT INTO users (name) VALUES ('zoe')";

async fn fill<C>(database: &Database, Words { id, text }: &Words, rows: &str)
where
    C: AsyncConnection + SimpleAsyncConnection,
{
    let sql = format!(
        "CREATE TABLE users (id {id}, name {text} NOT NULL UNIQUE, boss_id INTEGER);
        CREATE TABLE posts (id {id}, user_id INTEGER NOT NULL, title {text} NOT NULL);
        CREATE TABLE comments (id {id}, post_id INTEGER NOT NULL, body {text} NOT NULL);
        CREATE TABLE archive (id INTEGER NOT NULL PRIMARY KEY, name {text} NOT NULL);
        {rows}"
    );
    let mut connection = C::establish(database.url()).await.unwrap();
    connection.batch_execute(&sql).await.unwrap();
}
