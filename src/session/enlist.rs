//! The first use of a bind in a unit: it checks a connection out, sets the terms of the transaction, and begins it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::MutexGuard;

use crate::backend::{Connection, Server};
use crate::bind::Bind;
use crate::error::{AbortReason, Error, PoolError, Waiting};
use crate::gid::UnitId;
use crate::pool::Pooled;
use crate::registry::Entry;
use crate::session::core::Core;
use crate::session::lease::Lease;
use crate::session::slot::Slot;

impl Core {
    /// Enlists `B`: begins the transaction of the unit there, unless it has begun.
    pub(super) async fn enlist<B: Bind>(&self) -> Result<(), Error> {
        let (position, slot) = self.slot::<B>()?;
        self.lock_enlisted(position, slot).await.map(drop)
    }

    /// Locks the lease of a slot for one user, and enlists the bind unless it is enlisted.
    pub(super) async fn lock_enlisted<'s, C: Connection>(
        &self,
        position: usize,
        slot: &'s Slot<C>,
    ) -> Result<MutexGuard<'s, Option<Box<Lease<C>>>>, Error> {
        if slot.entry.is_beginning() {
            return Err(Error::InsideHook {
                bind: slot.entry.key,
            });
        }
        let mut lease = self
            .deadline()
            .bound(slot.entry.key, Waiting::Statement, slot.lock())
            .await??;
        self.check_open()?;
        if lease.is_none() {
            let mut new = self.checkout_lease(position, slot).await?;
            let bind = slot.entry.key;
            let deadline = self.deadline();
            let begun = deadline.bound(bind, Waiting::Statement, new.begin());
            let later = slot.noting_conflict(begun.await.and_then(|begun| begun))?;
            // Cancellation safety: the lease is in its slot before the hooks run. So the unit keeps the effects of a
            // hook that is dropped, panics or exceeds the deadline. If a hook ended the transaction, the end of the
            // unit reports that.
            let hooked = lease.insert(new).run_hooks(later);
            let hooked = deadline.bound(bind, Waiting::Statement, hooked).await;
            let hooked = slot.noting_conflict(hooked.and_then(|hooked| hooked));
            // No statement may follow a hook that did not complete.
            if let Err(error) = &hooked {
                let reason = match error {
                    Error::AbortOnly { reason, .. } => *reason,
                    error => reason_to_abort(error).unwrap_or(AbortReason::NotBegun),
                };
                self.abort_only(bind, reason);
            }
            hooked?;
        }
        Ok(lease)
    }

    /// Checks a connection out, and makes a lease of it for the transaction of the unit.
    async fn checkout_lease<C: Connection>(
        &self,
        position: usize,
        slot: &Slot<C>,
    ) -> Result<Box<Lease<C>>, Error> {
        let entry = &slot.entry;
        let bind = entry.key;
        if self.registry.is_closed() {
            return Err(Error::Closed { bind });
        }
        let handle = Handle::try_current().map_err(|_| Error::NoRuntime { bind })?;
        self.registry.start_worker(&handle);
        self.check_settings(entry)?;
        let limit = match self.deadline().left() {
            Some(left) => entry.timeouts.checkout.min(left),
            None => entry.timeouts.checkout,
        };
        let checkout = async {
            match self.has_outer_connections() {
                true => self.checkout_outer(position, bind, limit).await,
                false => entry
                    .checkout(limit)
                    .await
                    .map_err(|source| entry.not_checked_out(source)),
            }
        };
        let pooled = checkout.await.map_err(|error| match error {
            Error::Pool {
                source: PoolError::TimedOut(_),
                ..
            } if self.deadline().has_passed() => Error::DeadlineExceeded {
                bind,
                waiting_for: Waiting::Connection,
            },
            error => error,
        })?;
        let server = self.known_server(entry);
        let is_known = server.is_some();
        // Reading the properties of a server may advance the clock that makes the id of the unit, so the id is made
        // after that.
        let unit = match is_known {
            true => self.unit(),
            false => UnitId::NONE,
        };
        let mut lease = Box::new(Lease::new(
            Arc::clone(entry),
            self.terms(entry, unit, server.unwrap_or_default()),
            Some(pooled),
            handle,
            self.registry.background.clone(),
        ));
        if !is_known {
            // Cancellation safety: if dropped here, the lease closes its connection, whose reply is unread.
            let server = self
                .deadline()
                .bound(bind, Waiting::Statement, lease.inspect())
                .await??;
            lease.terms = self.terms(entry, self.unit(), server);
        }
        let unit = lease.terms.unit;
        if !entry.is_only_bind
            && !entry.is_within_outer()
            && self.registry.clock.has_outlived_records(unit)
        {
            self.abort_only(bind, AbortReason::OutlivedRecords);
            return Err(AbortReason::OutlivedRecords.on(bind));
        }
        let (namespace, parameters) = (&self.registry.namespace, self.registry.trace.parameters);
        lease.unit = self.trace.context(unit, namespace, parameters);
        Ok(lease)
    }

    /// Returns the known properties of the server, if they need not be read. An outer connection may have another
    /// server than the pool.
    fn known_server<C: Connection>(&self, entry: &Entry<C>) -> Option<Arc<Server>> {
        if !self.has_outer_connections() {
            return entry.known_server();
        }
        // A question that fails on some hosts would abort the outer transaction on PostgreSQL.
        (!C::OUTER_NEEDS_SERVER).then(|| Arc::new(Server::unasked(C::BACKEND)))
    }

    /// Checks out the outer connection of the entry at `position`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a place in the queue is lost.
    async fn checkout_outer<C: Connection>(
        &self,
        position: usize,
        bind: &'static str,
        limit: Duration,
    ) -> Result<Box<dyn Pooled<C>>, Error> {
        for outer in &self.options.outer {
            if (outer.position)(&self.registry)? == position {
                return outer.checkout(bind, limit).await;
            }
        }
        Err(Error::NoOuterConnection { bind })
    }
}

/// Returns the reason why a unit cannot commit after a statement failed to begin. Returns `None` if that statement
/// could never run, because its author notices such an error at the first run.
pub(super) fn reason_to_abort(error: &Error) -> Option<AbortReason> {
    match error {
        Error::DeadlineExceeded { .. } => Some(AbortReason::DeadlineExceeded),
        Error::AbortOnly { .. }
        | Error::BindBusy { .. }
        | Error::InsideHook { .. }
        | Error::NoOuterConnection { .. }
        | Error::UnknownBind { .. }
        | Error::Unsupported { .. } => None,
        _ => Some(AbortReason::NotBegun),
    }
}
