//! Settings for the observation of units.

use crate::registry::BindsBuilder;

impl BindsBuilder {
    /// Shows the parameters of statements in their spans. Also shows the text of batches, which may contain values, and
    /// the messages of failed statements, into which some servers put values. Do not use it if logs must not contain
    /// passwords or personal data. Defaults to off.
    pub fn trace_parameters(mut self) -> Self {
        self.trace.parameters = true;
        self
    }

    /// Begins each transaction with a comment that names the namespace, the bind and the unit, in the format of
    /// sqlcommenter. On PostgreSQL, the `application_name` is the unit and the bind until the transaction ends. This
    /// name is visible in `pg_stat_activity`, and as `%a` in `log_line_prefix`. Defaults to off.
    pub fn tag_transactions(mut self) -> Self {
        self.trace.tags = true;
        self
    }
}
