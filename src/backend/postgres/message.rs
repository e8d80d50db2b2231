//! A message that begins with the marker, and the fault of its error.

use std::pin::pin;

use diesel::result::Error;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::{FutureExt as _, StreamExt as _};

use crate::backend::postgres::marker::MARKER_LOST;
use crate::commit::Fault;

/// Returns whether an error comes from the server, and not from the driver.
pub(super) fn is_of_server(error: &Error) -> bool {
    use diesel::result::DatabaseErrorKind::UnableToSendCommand;
    use diesel::result::Error::DatabaseError;

    matches!(error, DatabaseError(kind, _) if !matches!(kind, UnableToSendCommand))
}

/// Runs a message that begins with the marker.
pub(super) async fn run(connection: &mut AsyncPgConnection, message: &str) -> Result<(), Fault> {
    let done = connection.batch_execute(message).await;
    done.map_err(|error| fault(connection, error))
}

/// Converts an error of such a message to a fault.
pub(super) fn fault(connection: &mut AsyncPgConnection, error: Error) -> Fault {
    if let Error::DatabaseError(_, information) = &error
        && information.message().contains(MARKER_LOST)
    {
        return Fault::TransactionEnded(error);
    }
    if is_of_server(&error) {
        return Fault::Refused(error);
    }
    match pending_error(connection) {
        // The server ended the session before it received a message.
        Some(reason) if is_of_server(&reason) => Fault::Unreached(reason),
        _ => Fault::Lost(error),
    }
}

/// Returns why the driver closed the connection, if the reason did not come in a reply. The server or the network gave
/// it.
pub(super) fn pending_error(connection: &mut AsyncPgConnection) -> Option<Error> {
    // The reason follows the notifications, which are of no use on a closed connection.
    let mut notifications = pin!(connection.notifications_stream());
    while let Some(Some(notification)) = notifications.next().now_or_never() {
        if let Err(error) = notification {
            return Some(error);
        }
    }
    None
}
