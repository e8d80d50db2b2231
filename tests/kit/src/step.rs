//! The steps of a unit on one bind, for tests that take each of them.

use std::pin::pin;

use diesel_binds::{Error, Session};
use futures_util::TryStreamExt as _;

use crate::side::Side;

/// One step of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Insert,
    Update,
    Select,
    /// Reads all rows as a stream.
    Stream,
    /// Reads one row of a stream and drops the stream.
    StreamLeft,
    /// Writes in a savepoint.
    Savepoint,
    /// Takes the connection and gives it back.
    Connection,
    /// Writes on the connection.
    OnConnection,
}

impl Step {
    pub const ALL: [Self; 8] = [
        Self::Insert,
        Self::Update,
        Self::Select,
        Self::Stream,
        Self::StreamLeft,
        Self::Savepoint,
        Self::Connection,
        Self::OnConnection,
    ];

    /// Runs the step on one bind. An insert writes the row `to`, an update changes the row `from` to it.
    pub async fn run<X: Side>(
        self,
        session: &mut Session,
        from: &str,
        to: &str,
    ) -> Result<(), Error> {
        match self {
            Self::Insert => {
                X::write(session, to).await?;
            }
            Self::Update => {
                X::rename(session, from, to).await?;
            }
            Self::Select => {
                X::read(session).await?;
            }
            Self::Stream => {
                let _rows: Vec<String> = X::stream(session).await?.try_collect().await?;
            }
            Self::StreamLeft => {
                let mut rows = pin!(X::stream(session).await?);
                rows.try_next().await?;
            }
            Self::Savepoint => {
                session
                    .savepoint::<_, Error, _>(async |session| {
                        X::write(session, to).await?;
                        Ok(())
                    })
                    .await?;
            }
            Self::Connection => {
                session.connection(X::bind()).await?;
            }
            Self::OnConnection => {
                let connection = session.connection(X::bind()).await?;
                assert_eq!(X::echo_on(&connection, 5).await?, 5);
                X::write_on(&connection, to).await?;
            }
        }
        Ok(())
    }
}
