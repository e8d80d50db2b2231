//! Checks of a transaction after the application had its connection or ran statements in text: whether they may have
//! ended it, and whether its marker was seen since.

use std::sync::Arc;

use crate::backend::{self, Connection, TransactionState, Unseen};
use crate::commit::{Fault, Undone};
use crate::session::lease::Lease;
use crate::trace::Counted;

impl<C: Connection> Lease<C> {
    /// Stores the number of the connection before it is [lent](Self::lend).
    pub(in crate::session) async fn number_connection(&mut self) -> diesel::QueryResult<()> {
        if self.lent.is_some() {
            return Ok(());
        }
        let Some((connection, _)) = self.start() else {
            return Err(diesel::result::Error::BrokenTransactionManager);
        };
        let numbered = connection.assign_connection_number().await;
        self.completed();
        self.lent = numbered?;
        Ok(())
    }

    /// Returns whether another connection is in the place of the lent one.
    async fn is_exchanged(&mut self) -> Result<bool, Fault> {
        let Some(lent) = self.lent else {
            return Ok(false);
        };
        let Some((connection, _)) = self.start() else {
            return Err(Fault::Incomplete);
        };
        let found = connection.connection_number().await.map_err(Fault::Lost)?;
        self.completed();
        Ok(found != Some(lent))
    }

    /// Records that the application may run any statement, on the raw connection or in a hook.
    pub(in crate::session) fn lose_sight(&mut self) {
        self.unverified = true;
        self.watch();
        self.unseen = self.unseen.max(Unseen::Anything);
    }

    /// Records that a statement runs that its type does not describe.
    pub(in crate::session) fn undescribed(&mut self) {
        self.undescribed = true;
        self.watch();
        self.unseen = self.unseen.max(Unseen::Text);
    }

    /// Starts to count the messages of the connection, unless they are counted already.
    fn watch(&mut self) {
        if self.unseen == Unseen::Nothing
            && let Some(pooled) = self.pooled.as_mut()
        {
            self.watch = backend::watch(pooled.connection()).map(|watch| {
                let counted = watch.count();
                (watch, counted)
            });
        }
    }

    /// Returns the statements that may have ended the transaction since its marker was last seen. A message cannot have
    /// ended it if it is known to be one statement with a harmless first word.
    pub(in crate::session) fn settle_unseen(&mut self) -> Unseen {
        if self.is_harmless() {
            self.unseen = Unseen::Nothing;
        }
        self.watch = None;
        self.unseen
    }

    /// Returns whether no statement so far may have ended the transaction.
    pub(super) fn is_harmless(&mut self) -> bool {
        let Some(((watch, before), pooled)) = self.watch.as_ref().zip(self.pooled.as_mut()) else {
            return self.unseen == Unseen::Nothing;
        };
        // If it is another one now, the application has replaced the instrumentation or the whole connection.
        let watches = backend::watch(pooled.connection());
        let watches = watches.is_some_and(|current| Arc::ptr_eq(&current, watch));
        let Counted { ends, several, .. } = watch.count();
        match self.unseen {
            Unseen::Nothing => true,
            Unseen::Text => watches && ends == before.ends,
            Unseen::Anything => watches && ends == before.ends && several == before.several,
            Unseen::Hidden => false,
        }
    }

    /// Returns whether, since the last call, the application ran a setting that has no effect within a transaction.
    pub(in crate::session) fn set_nothing(&mut self) -> bool {
        let Some((watch, before)) = &mut self.watch else {
            return false;
        };
        let idle = watch.count().idle;
        C::IGNORES_SETTINGS && std::mem::replace(&mut before.idle, idle) != idle
    }

    /// Evaluates an error of a message that begins with the marker.
    pub(in crate::session) fn met_marker(&mut self, fault: &Fault) {
        match fault {
            Fault::TransactionEnded(_) => self.gone(),
            Fault::TimedOut | Fault::Lost(_) | Fault::Unreached(_) | Fault::Incomplete => {}
            _ if self.unseen == Unseen::Hidden => self.undone = Undone::Unconfirmed,
            _ => self.unseen = Unseen::Nothing,
        }
    }

    /// Records that the marker is gone.
    ///
    /// SQLite rolls back by itself on some errors, and no proxy stands before the file. On a server, a proxy may have
    /// moved the connection to another transaction.
    pub(super) fn gone(&mut self) {
        if !C::IS_FILE || self.unseen != Unseen::Nothing {
            self.undone = Undone::Ended;
        }
    }

    /// Returns whether an error may have ended the transaction, so that the next statement would commit by itself.
    pub(in crate::session) fn errors_may_end_it(&self) -> bool {
        C::errors_end_transaction(&self.terms)
    }

    /// Makes sure that the connection is still the lent one and in the transaction of the unit.
    pub(in crate::session) async fn verify(&mut self) -> Result<(), Fault> {
        self.read_rest().await;
        if !self.unverified {
            return Ok(());
        }
        if self.is_exchanged().await? {
            return Err(Fault::Exchanged);
        }
        let Some((connection, terms)) = self.start() else {
            return Err(Fault::Incomplete);
        };
        let verified = connection.verify(terms).await;
        if !matches!(verified, Err(Fault::Incomplete | Fault::Lost(_))) {
            self.completed();
        }
        let state = match verified {
            Ok(state) => state,
            Err(fault) => {
                if matches!(fault, Fault::TransactionEnded(_)) {
                    self.gone();
                }
                return Err(fault);
            }
        };
        self.unverified = false;
        match state {
            TransactionState::Marked => self.unseen = Unseen::Nothing,
            TransactionState::Aborted if C::ABORT_HIDES_MARKER => {
                if self.settle_unseen() == Unseen::Anything {
                    self.unseen = Unseen::Hidden;
                }
            }
            TransactionState::Open | TransactionState::Aborted => {}
        }
        match self.set_nothing() {
            true => Err(Fault::WithoutEffect),
            false => Ok(()),
        }
    }

    /// [Verifies](Self::verify) before a statement, which would commit by itself if the application has ended the
    /// transaction.
    pub(in crate::session) async fn verify_for_statement(&mut self) -> Result<(), Fault> {
        let undescribed = std::mem::take(&mut self.undescribed);
        self.unverified |= undescribed && C::autocommits(&self.terms);
        self.verify().await
    }
}
