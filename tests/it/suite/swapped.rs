//! The application replaces a borrowed raw connection by another one: it is never committed, and never goes into a
//! pool.

use std::mem::swap;

use diesel_async::AsyncConnection;
use diesel_binds::query::BoundConnection;
use diesel_binds::{Bind, Session, SessionOptions};
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World};

type Lent<'s, S> = BoundConnection<'s, <S as Side>::Bind>;

async fn lent<S: Side>(session: &Session) -> Lent<'_, S> {
    session.connection(S::bind()).await.unwrap()
}

/// Asserts that no connection of the pools is in a transaction, and that each goes to the right database.
async fn pools_are_clean<S: Sides>(world: &World) {
    for round in 0..8 {
        let sessions = [read_only(world), read_only(world)];
        for session in &sessions {
            let seen = S::read(session).await.unwrap();
            assert!(seen.iter().all(Vec::is_empty), "{round}: {seen:?}");
        }
    }
    let mut session = world.binds.session();
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    let rows = S::rows(world).await;
    assert!(rows.iter().all(|rows| rows == &["kept"]), "{rows:?}");
}

/// Returns a read-only session: two units that write would wait for each other on SQLite.
fn read_only(world: &World) -> Session {
    world
        .binds
        .with(SessionOptions::new().read_only())
        .session()
}

/// The end of the units.
#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    CommitAlone,
    Query,
    RollBack,
    Drop,
}

impl End {
    const ALL: [Self; 5] = [
        Self::Commit,
        Self::CommitAlone,
        Self::Query,
        Self::RollBack,
        Self::Drop,
    ];

    async fn carry_out<S: Side>(self, mut session: Session) {
        match self {
            Self::Commit => {
                let ended = session.commit_all().await;
                assert!(ended.is_err(), "{ended:?}");
            }
            Self::CommitAlone => {
                let ended = session.commit_only(S::bind()).await;
                assert!(ended.is_err(), "{ended:?}");
            }
            Self::Query => {
                let read = S::read(&session).await;
                assert!(read.is_err(), "{read:?}");
                let ended = session.commit_all().await;
                assert!(ended.is_err(), "{ended:?}");
            }
            Self::RollBack => drop(session.rollback_all().await),
            Self::Drop => {}
        }
    }
}

/// The connections of two units on one bind are swapped: a unit that reads would commit the writes of the other.
pub(crate) async fn connections_of_two_units_that_are_swapped_commit_nothing<S: Side>(
    pool: PoolKind,
) where
    (S,): Sides,
{
    for end in End::ALL {
        let world = World::of::<(S,)>(pool).await;
        let (one, two) = (world.binds.session(), read_only(&world));
        S::write(&one, "lost").await.unwrap();
        S::read(&two).await.unwrap();
        let (mut first, mut second) = (lent::<S>(&one).await, lent::<S>(&two).await);
        swap(first.raw().unwrap(), second.raw().unwrap());
        drop((first, second));
        end.carry_out::<S>(one).await;
        end.carry_out::<S>(two).await;
        pools_are_clean::<(S,)>(&world).await;
    }
}

/// The other connection is the application's own, in a transaction of its own or in none.
pub(crate) async fn a_connection_of_the_application_that_is_swapped_in_is_noticed<S: Side>(
    pool: PoolKind,
) where
    (S,): Sides,
    <S::Bind as Bind>::Connection: AsyncConnection,
{
    for (end, begun) in End::ALL.iter().flat_map(|end| [(end, false), (end, true)]) {
        let world = World::of::<(S,)>(pool).await;
        let url = world.databases[0].url();
        let mut own = <S::Bind as Bind>::Connection::establish(url).await.unwrap();
        let session = world.binds.session();
        S::write(&session, "lost").await.unwrap();
        if begun {
            own.begin_test_transaction().await.unwrap();
        }
        let mut connection = lent::<S>(&session).await;
        swap(connection.raw().unwrap(), &mut own);
        drop(connection);
        end.carry_out::<S>(session).await;
        // The transaction of the unit goes with its connection.
        drop(own);
        pools_are_clean::<(S,)>(&world).await;
    }
}

/// The connections of two binds of one unit are swapped.
pub(crate) async fn connections_of_two_binds_that_are_swapped_commit_nothing<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
    A::Bind: Bind<Connection = <B::Bind as Bind>::Connection>,
{
    for end in End::ALL {
        let world = World::of::<(A, B)>(pool).await;
        let session = world.binds.session();
        <(A, B)>::write(&session, "lost").await.unwrap();
        let (mut first, mut second) = (lent::<A>(&session).await, lent::<B>(&session).await);
        swap(first.raw().unwrap(), second.raw().unwrap());
        drop((first, second));
        end.carry_out::<A>(session).await;
        pools_are_clean::<(A, B)>(&world).await;
    }
}
