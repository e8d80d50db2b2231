//! Two databases behind application code that reaches its session by its scope.

use diesel::prelude::*;
use diesel_binds::{Error, RunQueryDsl, Session, current};
use futures_util::future::join_all;
use kit::side::{MariadbA, PoolKind, PostgresA, mariadb_a, postgres_a};
use kit::world::{Sides as _, World};

/// Two databases that prepare, with pools of four connections. MariaDB holds the decision.
pub(crate) type Two = (PostgresA, MariadbA);

/// The number of connections that a pool of four gives, if none is lost.
pub(crate) const POOL: usize = 4;

pub(crate) async fn world() -> World {
    World::of::<Two>(PoolKind::Deadpool).await
}

/// Writes a row on both binds, as application code deep inside of a request does.
pub(crate) async fn note(text: &str) -> Result<(), Error> {
    let scope = current()?;
    diesel::insert_into(postgres_a::notes::table)
        .values(postgres_a::notes::text.eq(text))
        .execute(&scope)
        .await?;
    diesel::insert_into(mariadb_a::notes::table)
        .values(mariadb_a::notes::text.eq(text))
        .execute(&scope)
        .await?;
    Ok(())
}

/// Asserts that no uncommitted row is left, and that every connection is available.
pub(crate) async fn both_have(world: &World, expected: &[&str]) {
    let sessions: Vec<Session> = (0..POOL).map(|_| world.binds.session()).collect();
    for rows in join_all(sessions.iter().map(Two::read)).await {
        assert_eq!(rows.unwrap(), [expected, expected]);
    }
}
