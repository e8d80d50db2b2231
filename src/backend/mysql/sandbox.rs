//! A transaction that never commits on MySQL and MariaDB: an XA branch that is never ended.
//!
//! While a branch is active, the server refuses `COMMIT`, `ROLLBACK`, DDL and every other implicit commit. It also
//! refuses every statement after a deadlock. A lost connection takes its branch along.

use std::sync::Arc;

use diesel_async::{AnsiTransactionManager, AsyncMysqlConnection, SimpleAsyncConnection as _};

use crate::backend::mysql::{begin::begin, outer, xid};
use crate::backend::{Enclosed, NotEnclosed, Open, SandboxDialect, Terms, internals};
use crate::commit::Fault;

impl SandboxDialect for AsyncMysqlConnection {
    async fn enclose(
        mut self,
        terms: &Terms,
        _: Option<Arc<Open<Self>>>,
    ) -> Result<Enclosed<Self>, NotEnclosed> {
        // A branch takes its access mode only from its session.
        let access = match terms.read_only {
            true => "SET SESSION TRANSACTION READ ONLY; ",
            false => "",
        };
        let branch = Terms {
            read_only: false,
            two_phase: true,
            ..terms.clone()
        };
        let message = format!("{access}{}", begin(&branch));
        AnsiTransactionManager::begin_transaction_sql(&mut self, &message).await?;
        Ok(Enclosed {
            connection: self,
            copy: None,
        })
    }

    /// Fails if the branch is gone, or if a table without transactions was changed.
    async fn end_enclosure(&mut self, terms: &Terms) -> Result<(), Fault> {
        let kept = outer::refuse_non_transactional(self).await;
        let xid = xid(terms);
        self.batch_execute(&format!("XA END {xid}; XA ROLLBACK {xid}"))
            .await
            .map_err(Fault::TransactionEnded)?;
        internals::reset(internals::status(self));
        kept
    }
}
