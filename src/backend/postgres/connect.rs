//! Opening a connection by a URL with an error that contains its cause, which diesel-async leaves out.

use std::error::Error as _;
use std::io;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio_postgres::NoTls;
use tokio_postgres::error::DbError;

/// Opens a connection.
pub(crate) async fn establish(url: &str) -> ConnectionResult<AsyncPgConnection> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .map_err(|error| ConnectionError::BadConnection(with_cause(&error)))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

/// Returns the error with the cause that the network or the server gave. The cause of a mistake in a URL is left out:
/// it may contain a part of the password.
fn with_cause(error: &tokio_postgres::Error) -> String {
    let cause = error.source();
    match cause.filter(|cause| cause.is::<io::Error>() || cause.is::<DbError>()) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
