//! What is known of the transaction while the application has its connection, or runs what no type describes: whether it
//! may have ended it, and whether the marker of the unit was seen since.

use std::sync::Arc;

use crate::backend::{self, Backend, Connection, Standing, Unseen};
use crate::commit::{Fault, Undone};
use crate::session::lease::Lease;
use crate::trace::Counted;

impl<C: Connection> Lease<C> {
    /// Notes which connection this is, before it is [lent](Self::lend).
    pub(in crate::session) async fn mark(&mut self) -> diesel::QueryResult<()> {
        if self.lent.is_some() {
            return Ok(());
        }
        let Some((connection, _)) = self.start() else {
            return Err(diesel::result::Error::BrokenTransactionManager);
        };
        let marked = connection.mark().await;
        self.completed();
        self.lent = marked?;
        Ok(())
    }

    /// Whether another connection stands in the place of the one that was lent.
    async fn is_exchanged(&mut self) -> Result<bool, Fault> {
        let Some(lent) = self.lent else {
            return Ok(false);
        };
        let Some((connection, _)) = self.start() else {
            return Err(Fault::Incomplete);
        };
        let found = connection.marked().await.map_err(Fault::Lost)?;
        self.completed();
        Ok(found != Some(lent))
    }

    /// Notes that the application does what cannot be followed: with the raw connection, or in a hook.
    pub(in crate::session) fn lose_sight(&mut self) {
        self.unverified = true;
        self.watch();
        self.unseen = self.unseen.max(Unseen::Anything);
    }

    /// Notes that a statement runs that no type describes.
    pub(in crate::session) fn undescribed(&mut self) {
        self.undescribed = true;
        self.watch();
        self.unseen = self.unseen.max(Unseen::Text);
    }

    /// Lets the messages of the connection be counted from now on, unless they are.
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

    /// What may have ended the transaction since its marker was last seen. A message has not, if it begins with a word that
    /// cannot, and is known to be of one statement.
    pub(in crate::session) fn settle_unseen(&mut self) -> Unseen {
        let watched = self.watch.take();
        let Some(((watch, before), pooled)) = watched.zip(self.pooled.as_mut()) else {
            return self.unseen;
        };
        // Another one, or none: the application has changed it, or the whole connection.
        let watches = backend::watch(pooled.connection());
        let watches = watches.is_some_and(|current| Arc::ptr_eq(&current, &watch));
        let Counted { ends, several, .. } = watch.count();
        let is_harmless = match self.unseen {
            Unseen::Nothing => true,
            Unseen::Text => watches && ends == before.ends,
            Unseen::Anything => watches && ends == before.ends && several == before.several,
            Unseen::Hidden => false,
        };
        if is_harmless {
            self.unseen = Unseen::Nothing;
        }
        self.unseen
    }

    /// Whether the application has set since this was last asked what SQLite does not set within a transaction.
    pub(in crate::session) fn set_nothing(&mut self) -> bool {
        let Some((watch, before)) = &mut self.watch else {
            return false;
        };
        let idle = watch.count().idle;
        C::BACKEND == Backend::Sqlite && std::mem::replace(&mut before.idle, idle) != idle
    }

    /// Notes what the reply to a message tells that begins with the marker.
    pub(in crate::session) fn met_marker(&mut self, fault: &Fault) {
        match fault {
            Fault::Ended(_) => self.gone(),
            Fault::TimedOut | Fault::Lost(_) | Fault::Unreached(_) | Fault::Incomplete => {}
            _ if self.unseen == Unseen::Hidden => self.undone = Undone::Unconfirmed,
            _ => self.unseen = Unseen::Nothing,
        }
    }

    /// Notes that the marker is gone.
    ///
    /// An error of SQLite rolls back by itself, and nothing stands between us and the file. On a server there may be
    /// a proxy, which goes on with another transaction.
    pub(super) fn gone(&mut self) {
        if C::BACKEND != Backend::Sqlite || self.unseen != Unseen::Nothing {
            self.undone = Undone::Ended;
        }
    }

    /// Whether an error may have ended the transaction such that the next statement would commit by itself.
    pub(in crate::session) fn errors_may_end_it(&self) -> bool {
        // A deadlock rolls back the transaction that was joined, and outside of it MySQL commits each statement.
        C::ERRORS_END_TRANSACTIONS || (C::BACKEND == Backend::Mysql && self.terms.joined)
    }

    /// Makes sure that the connection is where it was lent, after the application had it in its hands.
    pub(in crate::session) async fn verify(&mut self) -> Result<(), Fault> {
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
        let standing = match verified {
            Ok(standing) => standing,
            Err(fault) => {
                if matches!(fault, Fault::Ended(_)) {
                    self.gone();
                }
                return Err(fault);
            }
        };
        self.unverified = false;
        match standing {
            Standing::Marked => self.unseen = Unseen::Nothing,
            Standing::Aborted if C::BACKEND == Backend::Postgres => {
                if self.settle_unseen() == Unseen::Anything {
                    self.unseen = Unseen::Hidden;
                }
            }
            Standing::Open | Standing::Aborted => {}
        }
        match self.set_nothing() {
            true => Err(Fault::WithoutEffect),
            false => Ok(()),
        }
    }

    /// Whether to [verify](Self::verify) before a statement, which must not run by itself where the application has ended
    /// the transaction.
    pub(in crate::session) fn must_verify(&mut self) -> bool {
        let undescribed = std::mem::take(&mut self.undescribed);
        self.unverified |= undescribed && C::autocommits(&self.terms);
        self.unverified
    }

    /// Verifies before a statement, if that is needed.
    pub(in crate::session) async fn verify_for_statement(&mut self) -> Result<(), Fault> {
        match self.must_verify() {
            true => self.verify().await,
            false => Ok(()),
        }
    }
}
