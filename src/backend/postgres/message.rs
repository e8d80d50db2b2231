//! A message that begins with the marker, and what it failed of.

use std::pin::pin;

use diesel::result::Error;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::{FutureExt as _, StreamExt as _};

use crate::backend::postgres::marker::MARKER_LOST;
use crate::commit::Fault;

/// Whether the server has said it, and not the driver.
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

/// What such a message failed of.
pub(super) fn fault(connection: &mut AsyncPgConnection, error: Error) -> Fault {
    if let Error::DatabaseError(_, information) = &error
        && information.message().contains(MARKER_LOST)
    {
        return Fault::Ended(error);
    }
    if is_of_server(&error) {
        return Fault::Refused(error);
    }
    match reason_heard(connection) {
        // The server has ended the session in reply to nothing: no message was on its way to it.
        Some(reason) if is_of_server(&reason) => Fault::Unreached(reason),
        _ => Fault::Lost(error),
    }
}

/// Why the driver closed the connection, where that was no reply: the server has said it, or the network.
pub(super) fn reason_heard(connection: &mut AsyncPgConnection) -> Option<Error> {
    // It comes behind the notifications, which nobody will ask a closed connection for.
    let mut heard = pin!(connection.notifications_stream());
    while let Some(Some(notification)) = heard.next().now_or_never() {
        if let Err(error) = notification {
            return Some(error);
        }
    }
    None
}
