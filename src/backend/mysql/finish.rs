//! Finishing branches that other connections prepared, and recognizing those that the server has lost.
//!
//! On MySQL, every connection finishes a branch at once. On MariaDB, a connection that goes away releases the name of its
//! branch before InnoDB releases the transaction. If the branch is finished in between, the statement succeeds, but InnoDB
//! finds nothing to finish. The name is gone from `XA RECOVER`. The transaction and its locks stay prepared until the server
//! is restarted (10 of 400 on MariaDB 10.11.19, right after a `KILL`). So there, a branch is only touched when its connection
//! is gone. Afterwards its own row shows whether it is finished.

use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};

use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::listing::has_name;
use crate::backend::mysql::lost::{is_ending, is_gone, is_lost, owner};
use crate::backend::mysql::verb;
use crate::commit::Outcome;
use crate::gid::{Branch, Xid};

/// The number of attempts on a branch whose connection does not go away.
const ATTEMPTS: usize = 5;

/// The number of checks whether a connection is gone, every 10 ms: for one that may live, and for one that was killed.
const FEW_CHECKS: usize = 10;
const MANY_CHECKS: usize = 100;

/// Finishes a branch.
pub(super) async fn finish(
    connection: &mut AsyncMysqlConnection,
    branch: &Branch,
    flavour: Flavour,
    outcome: Outcome,
) -> QueryResult<()> {
    match flavour {
        Flavour::MariaDb => finish_attached(connection, branch, outcome).await,
        Flavour::MySql => finish_detached(connection, branch, outcome).await,
    }
}

/// Finishes a branch that belongs to no connection.
async fn finish_detached(
    connection: &mut AsyncMysqlConnection,
    branch: &Branch,
    outcome: Outcome,
) -> QueryResult<()> {
    let finished = connection.batch_execute(&statement(branch, outcome)).await;
    // The branch is unknown to `XA` if another process has finished it, or if it is just being prepared.
    if let Err(error) = &finished
        && !is_unknown(error)
    {
        return finished;
    }
    let (unit, bind) = (branch.gid.unit, &*branch.bind);
    match has_name(connection, Flavour::MySql, unit, bind).await? {
        false => Ok(()),
        true => finished.and(Err(error(
            "the server has finished the branch, and still shows its row as not committed",
        ))),
    }
}

/// Returns the statement that finishes a branch.
fn statement(branch: &Branch, outcome: Outcome) -> String {
    let xid = Xid {
        namespace: branch.gid.namespace.clone(),
        unit: branch.gid.unit,
        bind: branch.bind.clone(),
    };
    format!("XA {} {xid}", verb(outcome))
}

/// Returns whether the error says that `XA` does not know the branch, in every language.
fn is_unknown(error: &DieselError) -> bool {
    error.to_string().contains("XAER_NOTA")
}

/// Finishes a branch when the connection that prepared it is gone. Kills that connection if it stays, but not within the
/// end of the branch: a server whose commits wait for a replica would then show work that no replica has.
async fn finish_attached(
    connection: &mut AsyncMysqlConnection,
    branch: &Branch,
    outcome: Outcome,
) -> QueryResult<()> {
    let (unit, bind) = (branch.gid.unit, &*branch.bind);
    let finish = statement(branch, outcome);
    let owner = owner(connection, unit, bind).await?;
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        if let Some(owner) = &owner
            && is_ending(connection, owner.id).await?
        {
            return Err(error(
                "the connection that prepared the branch is ending it, and may wait for a replica",
            ));
        }
        if !has_name(connection, Flavour::MariaDb, unit, bind).await? {
            break;
        }
        if let Some(owner) = &owner
            && !is_gone(connection, owner.id, FEW_CHECKS).await?
            && owner.is_of_this_start
        {
            kill(connection, owner.id).await;
            if !is_gone(connection, owner.id, MANY_CHECKS).await? {
                return Err(error(
                    "the connection that prepared the branch does not close",
                ));
            }
        }
        let Err(error) = connection.batch_execute(&finish).await else {
            refused = None;
            break;
        };
        // The branch is listed, but unknown to `XA`: its connection lives, or another process is finishing it. Only
        // this error justifies a `KILL` if the server may have been restarted since the prepare. The number may then
        // belong to another connection.
        if !is_unknown(&error) {
            return Err(error);
        }
        if let Some(owner) = &owner {
            kill(connection, owner.id).await;
            is_gone(connection, owner.id, MANY_CHECKS).await?;
        }
        refused = Some(error);
    }
    if is_lost(connection, unit, bind).await? {
        return Err(error(
            "the server does not list the branch any more, and finishes it only after a restart",
        ));
    }
    match refused {
        Some(error) if has_name(connection, Flavour::MariaDb, unit, bind).await? => Err(error),
        _ => Ok(()),
    }
}

async fn kill(connection: &mut AsyncMysqlConnection, id: u64) {
    if let Err(error) = connection.batch_execute(&format!("KILL {id}")).await {
        tracing::trace!(%error, "the connection of a branch was already closed");
    }
}

fn error(message: &str) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()))
}
