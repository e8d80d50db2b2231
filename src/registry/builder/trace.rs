//! What observers may hear of.

use crate::registry::BindsBuilder;

impl BindsBuilder {
    /// Shows the parameters of statements in their spans, the text of batches, which may be made of values, and the
    /// messages of failed statements, which some servers put values into. Never for what logs must not hold: passwords,
    /// personal data. Defaults to off.
    pub fn trace_parameters(mut self) -> Self {
        self.trace_parameters = true;
        self
    }
}
