//! A URL of SQLite opens the file that Diesel opens: as a bind, attached to another bind, and on the command line.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_binds::__private::{SqlitePlace, sqlite_place};
use diesel_binds::{Binds, RunQueryDsl, Source};

use crate::registry::binds::{Archive, Cache};

#[derive(QueryableByName)]
struct File {
    #[diesel(sql_type = Text)]
    file: String,
}

const MAIN: &str = "SELECT file FROM pragma_database_list WHERE name = 'main'";
const ATTACHED: &str = "SELECT file FROM pragma_database_list WHERE name = 'archive'";

/// Returns the file that Diesel itself opens.
fn diesels(url: &str) -> String {
    let mut connection = SqliteConnection::establish(url).unwrap();
    let query = diesel::sql_query(MAIN);
    let found: File = diesel::RunQueryDsl::get_result(query, &mut connection).unwrap();
    found.file
}

async fn bound(url: &str) -> String {
    let binds = Binds::builder()
        .bind(Cache, Source::url(url))
        .build()
        .unwrap();
    let session = binds.session();
    let query = diesel::sql_query(MAIN);
    let found: File = query.get_result(&session.on(Cache)).await.unwrap();
    found.file
}

async fn attached(beside: &str, url: &str) -> String {
    let binds = Binds::builder()
        .bind(Cache, Source::url(beside))
        .bind(Archive, Source::url(url).attach_to(Cache))
        .build()
        .unwrap();
    let session = binds.session();
    let query = diesel::sql_query(ATTACHED);
    let found: File = query.get_result(&session.on(Cache)).await.unwrap();
    found.file
}

#[tokio::test]
async fn every_form_of_a_url_opens_the_file_that_diesel_opens() {
    let folder = tempfile::tempdir().unwrap();
    // Without symbolic links, because SQLite reports the real path of a file.
    let folder = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let at = folder.display();
    let beside = format!("{at}/beside.db");
    for (url, name) in [
        (format!("{at}/plain.db"), "plain.db"),
        (format!("{at}/per%20cent.db"), "per%20cent.db"),
        (format!("{at}/mark.db?mode=rwc"), "mark.db?mode=rwc"),
        (format!("{at}/it's.db"), "it's.db"),
        (format!("sqlite://{at}/scheme.db"), "scheme.db"),
        (format!("sqlite://{at}/mode.db?mode=rwc"), "mode.db"),
        (format!("sqlite://{at}/a%20space.db"), "a space.db"),
        (format!("sqlite://{at}/an%3Fmark.db#part"), "an?mark.db"),
        (format!("file:{at}/uri.db"), "uri.db"),
        (format!("file://{at}/slashes.db"), "slashes.db"),
        (format!("file://localhost{at}/host.db"), "host.db"),
        (format!("file:{at}/two.db?mode=rwc&cache=private"), "two.db"),
        (format!("file:{at}/spaced%20uri.db"), "spaced uri.db"),
    ] {
        let expected = folder.join(name).display().to_string();
        assert_eq!(diesels(&url), expected, "Diesel, {url}");
        assert_eq!(bound(&url).await, expected, "a bind, {url}");
        assert_eq!(attached(&beside, &url).await, expected, "attached, {url}");
        assert_eq!(
            sqlite_place(&url),
            SqlitePlace::File(folder.join(name)),
            "{url}"
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn shared_memory_is_one_database_for_all_connections() {
    for url in [
        "file:urls?mode=memory&cache=shared",
        "sqlite://urls2?mode=memory&cache=shared",
    ] {
        assert_eq!(sqlite_place(url), SqlitePlace::SharedMemory);
        let binds = Binds::builder()
            .bind(Cache, Source::url(url))
            .build()
            .unwrap();
        let first = binds.session();
        let made = diesel::sql_query("CREATE TABLE kept (id INTEGER)");
        made.execute(&first.on(Cache)).await.unwrap();
        let mut first = first;
        first.commit_all().await.unwrap();
        let read = diesel::sql_query("SELECT id FROM kept");
        assert_eq!(read.execute(&first.on(Cache)).await.unwrap(), 0);
        // This read locks whole tables, and does not wait for a lock.
        first.rollback_all().await.unwrap();
        let second = binds.session();
        let read = diesel::sql_query("SELECT id FROM kept");
        assert_eq!(read.execute(&second.on(Cache)).await.unwrap(), 0);
    }
}
