//! What observers may hear of.

use crate::registry::BindsBuilder;

impl BindsBuilder {
    /// Shows the parameters of statements in their spans, the text of batches, which may be made of values, and the
    /// messages of failed statements, which some servers put values into. Never for what logs must not hold: passwords,
    /// personal data. Defaults to off.
    pub fn trace_parameters(mut self) -> Self {
        self.trace.parameters = true;
        self
    }

    /// Begins each transaction with a comment that says what it is for, with the keys of sqlcommenter: the namespace, the
    /// bind, the unit. On PostgreSQL the unit and the bind are also the `application_name` until the transaction ends, for
    /// `pg_stat_activity` and for `%a` in its log. Defaults to off.
    pub fn tag_transactions(mut self) -> Self {
        self.trace.tags = true;
        self
    }
}
