//! A private copy of SQLite files. Units are real transactions there, so they behave as on the files themselves.

use std::path::Path;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncConnection as _;
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::FutureExt as _;
use tempfile::TempDir;

use crate::backend::sqlite::pragma::{busy_timeout, patiently, text, texts};
use crate::backend::sqlite::{attach, lineage};
use crate::backend::{
    Attached, Enclosed, NotEnclosed, Open, PrivateCopy, Reopen, SandboxDialect, Terms,
};
use crate::commit::Fault;

type Connection<S> = SyncConnectionWrapper<SqliteConnection, S>;

/// Settings of a connection that change the effect of statements on the data.
const SETTINGS: [&str; 4] = [
    "foreign_keys",
    "recursive_triggers",
    "ignore_check_constraints",
    "legacy_alter_table",
];

/// A copy, with the settings to open it with.
struct Copy {
    path: String,
    /// `true` if the connection was on a file. A database without a file is filled by the code that opens it, and
    /// cannot be filled twice.
    of_file: bool,
    attached: Arc<[Attached]>,
    settings: String,
    /// The settings on which the atomic commit of a group of files depends.
    journals: String,
}

impl<S> SandboxDialect for Connection<S>
where
    S: SpawnBlocking + Send + 'static,
{
    /// Copies the files of the connection, and opens the copy as the application would.
    async fn enclose(
        mut self,
        terms: &Terms,
        open: Option<Arc<Open<Self>>>,
    ) -> Result<Enclosed<Self>, NotEnclosed> {
        let folder = Arc::new(tempfile::Builder::new().prefix("diesel-binds-").tempdir()?);
        let (attached, to) = (Arc::clone(&terms.attached), Arc::clone(&folder));
        let copy = self
            .spawn_blocking(move |connection| {
                let waits = busy_timeout(connection)?;
                patiently(connection, |connection| {
                    let mut copy = copy(connection, &attached, to.path())?;
                    copy.settings
                        .push_str(&format!("PRAGMA busy_timeout = {waits}; "));
                    Ok(copy)
                })
            })
            .await?;
        drop(self);
        let attached = Arc::clone(&copy.attached);
        let open = open.filter(|_| copy.of_file);
        let copy = Arc::new((copy, folder));
        let reopen: Reopen<Connection<S>> =
            Arc::new(move || open_copy(Arc::clone(&copy), open.clone()).boxed());
        Ok(Enclosed {
            connection: reopen().await?,
            copy: Some(PrivateCopy { attached, reopen }),
        })
    }

    /// Does nothing: the copy is deleted as it is.
    async fn end_enclosure(&mut self, _: &Terms) -> Result<(), Fault> {
        Ok(())
    }
}

async fn open_copy<S>(
    copy: Arc<(Copy, Arc<TempDir>)>,
    open: Option<Arc<Open<Connection<S>>>>,
) -> Result<Connection<S>, NotEnclosed>
where
    S: SpawnBlocking + Send + 'static,
{
    let shared = Arc::clone(&copy);
    let (copy, folder) = &*copy;
    let folder = folder.path().canonicalize()?;
    let (mut connection, settings) = match open {
        Some(open) => (open(&copy.path).await?, String::new()),
        None => (
            Connection::<S>::establish(&copy.path).await?,
            copy.settings.clone(),
        ),
    };
    let outside = connection
        .spawn_blocking(move |connection| {
            let (copy, _) = &*shared;
            connection.batch_execute(&settings)?;
            attach::attach(connection, &copy.attached)?;
            let outside = outside(connection, &folder)?;
            if outside.is_none() {
                connection.batch_execute(&copy.journals)?;
                lineage::forget(connection);
            }
            Ok(outside)
        })
        .await?;
    match outside {
        None => Ok(connection),
        Some(file) => Err(format!(
            "the set-up of the connection opened `{file}`, and not only the copy that it was given: a change \
             there would be kept. Attach files by `Source::attach_to`"
        )
        .into()),
    }
}

/// Returns a database of the connection outside of the folder of the copies. A database in memory may be attached: it
/// is never kept.
fn outside(connection: &mut SqliteConnection, folder: &Path) -> QueryResult<Option<String>> {
    let files = texts(
        connection,
        "SELECT file AS value FROM pragma_database_list WHERE name = 'main' OR (name <> 'temp' AND file <> '')",
    )?;
    Ok(files.into_iter().find(|file| {
        let file = Path::new(file).canonicalize();
        !file.is_ok_and(|file| file.starts_with(folder))
    }))
}

fn copy(connection: &mut SqliteConnection, attached: &[Attached], to: &Path) -> QueryResult<Copy> {
    attach::attach(connection, attached)?;
    let path_of = |schema: &str| to.join(format!("{schema}.db")).display().to_string();
    let copies = attached.iter().map(|file| Attached {
        key: file.key,
        path: path_of(file.key),
    });
    let copies: Arc<[Attached]> = copies.collect();
    let path = path_of("main");
    vacuum(connection, "main", &path)?;
    for file in &*copies {
        vacuum(connection, file.key, &file.path)?;
    }
    let mut settings = String::new();
    for name in SETTINGS {
        let query = format!("SELECT CAST({name} AS TEXT) AS value FROM pragma_{name}");
        let value = text(connection, &query)?;
        settings.push_str(&format!("PRAGMA {name} = {value}; "));
    }
    let file = "SELECT file AS value FROM pragma_database_list WHERE name = 'main'";
    // Each file was read by now. Before that, a connection reports outdated settings.
    let mut journals = String::new();
    for schema in attach::schemas(attached) {
        for name in ["journal_mode", "synchronous"] {
            let query =
                format!("SELECT CAST({name} AS TEXT) AS value FROM pragma_{name}('{schema}')");
            let value = text(connection, &query)?;
            journals.push_str(&format!("PRAGMA \"{schema}\".{name} = {value}; "));
        }
    }
    Ok(Copy {
        path,
        of_file: !text(connection, file)?.is_empty(),
        attached: copies,
        settings,
        journals,
    })
}

fn vacuum(connection: &mut SqliteConnection, schema: &str, to: &str) -> QueryResult<()> {
    let to = to.replace('\'', "''");
    connection.batch_execute(&format!("VACUUM \"{schema}\" INTO '{to}'"))
}
