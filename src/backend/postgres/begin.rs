//! The begin of a unit's transaction on PostgreSQL. All settings are local to the transaction, because a pooler may
//! give the connection to another client at its end.

use crate::backend::Terms;
use crate::backend::message::{Part, sql};
use crate::backend::settings::milliseconds;
use crate::backend::sql;

/// Writes the message that begins the transaction and leaves the marker.
///
/// A limit of the unit always holds. Limits of the registry hold only if the connections of the pool have none of their
/// own. All of it is `SET LOCAL`, without a query: a `SELECT` would take the snapshot of the transaction. The server
/// would then refuse a `SET TRANSACTION` of the application.
pub(super) fn begin(terms: &Terms) -> String {
    let settings = &terms.settings;
    let session = &terms.server.session;
    let mut message = sql! { sql::tag(terms), "BEGIN" };
    if let Some(isolation) = settings.isolation {
        message.push_str(" ISOLATION LEVEL ");
        message.push_str(isolation.sql());
    }
    if terms.read_only {
        message.push_str(" READ ONLY");
    } else if terms.sandboxed {
        // The connection of a sandbox is read-only outside of its transaction.
        message.push_str(" READ WRITE");
    }
    if settings.deferrable {
        message.push_str(" DEFERRABLE");
    }
    let mut set = |name: &str, value: &dyn Part| {
        sql! { &mut message; "; SET LOCAL ", name, " = E'" }
        value.append_to(&mut message);
        message.push('\'');
    };
    set("diesel_binds.unit", &terms.marker());
    let lock_timeout = match settings.lock_timeout {
        None if !session.limits_locks => Some(terms.lock_timeout),
        asked => asked,
    };
    let idle_timeout = (!session.limits_idling).then_some(terms.idle_timeout);
    for (name, limit) in [
        ("statement_timeout", settings.statement_timeout),
        ("lock_timeout", lock_timeout),
        ("idle_in_transaction_session_timeout", idle_timeout),
    ] {
        if let Some(limit) = limit {
            set(name, &i64::from(milliseconds(limit)));
        }
    }
    if terms.tagged {
        // The server truncates long names, so the bind is cut off and not the unit.
        set("application_name", &sql! { terms.unit, " ", terms.bind });
    }
    message.push_str(&sql::open_savepoints(terms.savepoints));
    message
}
