//! Forgetting: deletes what nobody will ask for any more.
//!
//! A record goes in two steps. First a horizon moves: whoever asks for a unit that lies behind it and is not recorded is
//! told that nobody knows, and not that it was rolled back. When it has stood for long enough that every question
//! which had not seen it has ended, a later pass deletes what lies behind it. Before each step the participants are looked
//! at, after the record was read.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tracing::Instrument as _;

use crate::backend::records::{PAGE, Record};
use crate::commit::Fault;
use crate::gid::{DatabaseId, UnitId};
use crate::recovery::database::{Database, Look, Records, Scope};
use crate::recovery::report::Recovery;
use crate::recovery::retention::{Seen, may_forget};
use crate::trace;

/// Deletes what may be, after a pass over all databases.
pub(super) async fn forget(scope: &Scope, recovery: &mut Recovery) {
    let Some(before) = SystemTime::now()
        .checked_sub(scope.retention)
        .and_then(UnitId::before_all_since)
    else {
        return;
    };
    let reached = |database: &&_| {
        let database: &dyn Database = AsRef::as_ref(*database);
        let mut unreachable = recovery.unreachable.iter();
        !unreachable.any(|(key, _)| *key == database.key())
    };
    let holders: Vec<_> = scope.databases.iter().filter(reached).collect();
    // A unit that was not decided and lies behind the horizon can only be finished by hand. So the horizon stays before
    // all that are known to be in doubt, and where it is while a database may hide one.
    let oldest = recovery.in_doubt.iter().filter_map(|branch| branch.unit);
    let horizon = match (recovery.unreachable.is_empty(), oldest.min()) {
        (false, _) => None,
        (true, oldest) => Some(oldest.unwrap_or(before)),
    };
    for holder in holders {
        let forgetting = Forgetting {
            scope,
            holder: holder.as_ref(),
            before,
            horizon,
        };
        let span = trace::recovery::forgetting(holder.key());
        let running = async { [forgetting.run().await, holder.delete_branch_rows().await] };
        let so_far = recovery.forgotten;
        for result in running.instrument(span.clone()).await {
            match result {
                Ok(count) => recovery.forgotten += count,
                // Where the tables are missing, nothing is recorded.
                Err(Fault::NotInstalled(_)) => {}
                Err(fault) => {
                    trace::recovery::note_error(&span, &fault);
                    tracing::warn!(
                        parent: &span,
                        bind = holder.key(),
                        error = &fault as &dyn std::error::Error,
                        "old records could not be deleted"
                    );
                    recovery.not_forgotten.push((holder.key(), fault));
                }
            }
        }
        trace::recovery::note_place(&span, holder.place());
        span.record("forgotten", recovery.forgotten - so_far);
    }
}

/// What one holder may forget.
struct Forgetting<'a> {
    scope: &'a Scope,
    holder: &'a dyn Database,
    /// Units that begin later are younger than the retention.
    before: UnitId,
    /// Up to where the horizon may move, if at all.
    horizon: Option<UnitId>,
}

impl Forgetting<'_> {
    /// Returns how many records were deleted.
    ///
    /// Cancellation safety: each step stands for itself, and the next pass goes on.
    async fn run(&self) -> Result<usize, Fault> {
        let mut deleted = 0;
        let mut after = None;
        let mut last = None;
        loop {
            let Records { holder, page } = self.holder.records(self.before, after).await?;
            let looks = self.look(&page).await;
            let units = forgettable(&page, self.scope.retention, &looks);
            deleted += self.holder.delete(holder, &units).await?;
            let movable = units.iter().rfind(|unit| Some(**unit) < self.horizon);
            last = movable.map(|unit| (holder, *unit)).or(last);
            after = page.last().map(|record| record.unit);
            if page.len() < PAGE {
                break;
            }
        }
        if let Some((holder, unit)) = last {
            self.holder.move_horizon(holder, unit).await?;
        }
        Ok(deleted)
    }

    /// Looks at all participants of the records. These were read before, so what is not listed now is finished.
    async fn look(&self, page: &[Record]) -> HashMap<&'static str, Look> {
        let named: HashSet<&str> = page
            .iter()
            .flat_map(|record| &record.participants)
            .map(|(bind, _)| bind.as_str())
            .collect();
        let databases: Vec<_> = named
            .iter()
            .filter_map(|bind| self.scope.by_key(bind))
            .collect();
        let looks = join_all(databases.iter().map(|database| database.look())).await;
        databases
            .iter()
            .zip(looks)
            .filter_map(|(database, look)| Some((database.key(), look.ok()?)))
            .collect()
    }
}

/// The units of a page whose records may be deleted.
fn forgettable(
    page: &[Record],
    retention: Duration,
    looks: &HashMap<&'static str, Look>,
) -> Vec<UnitId> {
    page.iter()
        .filter(|record| {
            let seen = |bind: &str, id: &DatabaseId| see(looks.get(bind), record.unit, id);
            may_forget(&record.participants, record.age, retention, seen)
        })
        .map(|record| record.unit)
        .collect()
}

/// What a look shows of one participant of a unit.
fn see(look: Option<&Look>, unit: UnitId, id: &DatabaseId) -> Seen {
    match look {
        None => Seen::Unreached,
        Some(look) if look.database != *id => Seen::Replaced,
        Some(look) if look.listed.iter().any(|found| found.unit == unit) => Seen::Listed,
        Some(_) => Seen::Gone,
    }
}
