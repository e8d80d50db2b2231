//! Prepared branches: finding and finishing them.

use std::time::Duration;

use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::message::sql;
use crate::backend::{ListedBranch, Reach};
use crate::commit::Outcome;
use crate::gid::Branch;

/// Finishes a branch. `COMMIT PREPARED` must be alone in its message.
pub(super) async fn finish(
    connection: &mut AsyncPgConnection,
    branch: &Branch,
    outcome: Outcome,
) -> QueryResult<()> {
    let verb = match outcome {
        Outcome::Committed => "COMMIT",
        Outcome::RolledBack => "ROLLBACK",
    };
    let message = sql! { verb, " PREPARED '", branch, "'" };
    connection.batch_execute(&message).await
}

/// Finishes a branch that may belong to another role.
pub(super) async fn finish_listed(
    connection: &mut AsyncPgConnection,
    branch: &Branch,
    Listed { owner, own }: Listed,
    outcome: Outcome,
) -> QueryResult<()> {
    if own {
        return finish(connection, branch, outcome).await;
    }
    // Even a member of the owning role must first set that role. The role is set only if necessary: behind a
    // transaction pooler, it may remain for the next user.
    let role = owner.replace('"', "\"\"");
    connection
        .batch_execute(&format!("SET ROLE \"{role}\""))
        .await?;
    let finished = finish(connection, branch, outcome).await;
    connection.batch_execute("RESET ROLE").await?;
    finished
}

/// Returns the branches of the namespace, and those of others in this database.
pub(super) async fn branches(
    connection: &mut AsyncPgConnection,
    namespace: &str,
) -> QueryResult<Vec<ListedBranch>> {
    // An underscore in a namespace is a wildcard of LIKE; `starts_with` has none.
    let rows: Vec<Prepared> = sql_query(format!(
        "SELECT gid, (extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint AS age, \
         database::text AS database, database = pg_catalog.current_database() AS is_here, \
         coalesce(owner::text, '') AS owner, coalesce(pg_catalog.pg_has_role(owner, 'MEMBER'), false) AS is_own \
         FROM pg_catalog.pg_prepared_xacts WHERE pg_catalog.starts_with(gid, 'db1:{namespace}:') \
         OR (pg_catalog.starts_with(gid, 'db1:') AND database = pg_catalog.current_database())"
    ))
    .load(connection)
    .await?;
    Ok(rows.into_iter().filter_map(Prepared::listed).collect())
}

/// Returns the branch, if the server lists it.
pub(super) async fn listed(
    connection: &mut AsyncPgConnection,
    branch: &Branch,
) -> QueryResult<Option<Listed>> {
    let listed = sql_query(format!(
        "SELECT owner::text AS owner, owner = current_user AS own FROM pg_catalog.pg_prepared_xacts \
         WHERE gid = '{branch}' AND database = pg_catalog.current_database()"
    ))
    .get_result(connection)
    .await;
    listed.optional()
}

/// The role that prepared a branch.
#[derive(QueryableByName)]
pub struct Listed {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Bool)]
    own: bool,
}

#[derive(QueryableByName)]
struct Prepared {
    #[diesel(sql_type = Text)]
    gid: String,
    #[diesel(sql_type = BigInt)]
    age: i64,
    #[diesel(sql_type = Text)]
    database: String,
    #[diesel(sql_type = Bool)]
    is_here: bool,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Bool)]
    is_own: bool,
}

impl Prepared {
    fn listed(self) -> Option<ListedBranch> {
        let branch: Branch = self.gid.parse().ok()?;
        Some(ListedBranch {
            name: self.gid,
            namespace: branch.gid.namespace.clone(),
            unit: branch.gid.unit,
            bind: branch.bind.clone(),
            branch: Some(branch),
            age: u64::try_from(self.age).ok().map(Duration::from_millis),
            reach: match (self.is_here, self.is_own) {
                (false, _) => Reach::OtherDatabase(self.database),
                (true, false) => Reach::OtherRole(self.owner),
                (true, true) => Reach::Here,
            },
        })
    }
}
