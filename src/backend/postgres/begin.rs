//! How a transaction of a unit begins on PostgreSQL: everything that is set is local to it, also behind a pooler that
//! gives the connection to somebody else at its end.

use crate::backend::Terms;
use crate::backend::settings::milliseconds;
use crate::backend::sql;

/// Begins, and leaves the marker.
///
/// A limit that the unit asks for always holds; those of the registry only where the connection has none of its own.
pub(super) fn begin(terms: &Terms) -> String {
    let settings = &terms.settings;
    let mut modes = String::new();
    if let Some(isolation) = settings.isolation {
        modes.push_str(" ISOLATION LEVEL ");
        modes.push_str(isolation.sql());
    }
    if terms.read_only {
        modes.push_str(" READ ONLY");
    } else if terms.sandboxed {
        // Its connection lets nothing be written outside of it.
        modes.push_str(" READ WRITE");
    }
    if settings.deferrable {
        modes.push_str(" DEFERRABLE");
    }
    let mut asked = String::new();
    for (name, limit) in [
        ("statement_timeout", settings.statement_timeout),
        ("lock_timeout", settings.lock_timeout),
    ] {
        if let Some(limit) = limit {
            let limit = milliseconds(limit);
            asked.push_str(&format!(
                ", pg_catalog.set_config('{name}', '{limit}', true)"
            ));
        }
    }
    if terms.tagged {
        // The server cuts off what is longer than a name may be: the bind, not the unit.
        asked.push_str(&format!(
            ", pg_catalog.set_config('application_name', '{} {}', true)",
            terms.unit, terms.bind
        ));
    }
    format!(
        "{}BEGIN{modes}; \
         SELECT pg_catalog.set_config('diesel_binds.unit', '{}', true), \
         pg_catalog.set_config('diesel_binds.role', pg_catalog.current_setting('role'), true){asked}; \
         SELECT pg_catalog.set_config(name, value, true) FROM (VALUES ('lock_timeout', '{}'), \
         ('idle_in_transaction_session_timeout', '{}')) AS unset (name, value) \
         WHERE pg_catalog.current_setting(name) = '0'{}",
        sql::tag(terms),
        terms.unit,
        milliseconds(terms.lock_timeout),
        milliseconds(terms.idle_timeout),
        sql::open_savepoints(terms.savepoints),
    )
}
