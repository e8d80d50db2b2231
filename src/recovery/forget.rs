//! Forgetting: deletes records that are not needed any more.
//!
//! A record is deleted in two steps. First a horizon moves: for a unit behind it without a record, the answer is
//! "unknown" and not "rolled back". A later pass deletes the records behind it, when every question that began before
//! the horizon moved has ended. Before each step, the participants are listed, after the record was read.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use tracing::Instrument as _;

use crate::backend::Record;
use crate::backend::records::PAGE;
use crate::commit::Fault;
use crate::gid::{DatabaseId, UnitId};
use crate::recovery::database::{Database, IdentifiedListing, Records, RecoveryScope};
use crate::recovery::events::note_server;
use crate::recovery::report::RecoveryReport;
use crate::recovery::retention::{ParticipantState, may_forget};
use crate::trace;

/// Deletes the records that are not needed any more, after a pass over all databases.
pub(super) async fn forget(scope: &RecoveryScope, recovery: &mut RecoveryReport) {
    if scope.retention == Duration::MAX {
        return;
    }
    let reached = |database: &&_| {
        let database: &dyn Database = AsRef::as_ref(*database);
        let mut unreachable = recovery.unreachable.iter();
        !unreachable.any(|(key, _)| *key == database.key())
    };
    let holders: Vec<_> = scope.databases.iter().filter(reached).collect();
    // An undecided unit behind the horizon can only be finished by hand. So the horizon stays before all units in
    // doubt, and does not move while a database cannot be read.
    let horizon = match recovery.unreachable.is_empty() {
        false => Horizon::Stays,
        true => {
            let in_doubt = recovery.in_doubt.iter().filter_map(|branch| branch.unit);
            Horizon::Before(in_doubt.min())
        }
    };
    for holder in holders {
        let forgetting = Forgetting {
            scope,
            holder: holder.as_ref(),
            horizon,
        };
        let span = trace::recovery::forgetting(holder.key());
        let mut unreachable = HashMap::new();
        let running = async {
            let records = forgetting.run(&mut unreachable).await;
            [records, holder.delete_branch_rows().await]
        };
        let so_far = recovery.forgotten;
        for result in running.instrument(span.clone()).await {
            match result {
                Ok(count) => recovery.forgotten += count,
                // Without the tables, nothing is recorded.
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
        for (bind, fault) in unreachable {
            let mut reported = recovery.unreachable.iter().chain(&recovery.not_forgotten);
            if !reported.any(|(key, _)| *key == bind) {
                tracing::warn!(
                    parent: &span,
                    bind,
                    error = &fault as &dyn std::error::Error,
                    "old records are kept, because a participant could not be read"
                );
                recovery.not_forgotten.push((bind, fault));
            }
        }
        note_server(&span, holder.as_ref());
        span.record("forgotten", recovery.forgotten - so_far);
    }
}

/// The forgetting of the records of one holder.
struct Forgetting<'a> {
    scope: &'a RecoveryScope,
    holder: &'a dyn Database,
    horizon: Horizon,
}

/// The limit up to which the horizon may move, among the units older than the retention.
#[derive(Clone, Copy)]
enum Horizon {
    Stays,
    /// The horizon stays before the oldest unit in doubt, if there is one.
    Before(Option<UnitId>),
}

impl Horizon {
    fn may_reach(self, unit: UnitId) -> bool {
        match self {
            Self::Stays => false,
            Self::Before(in_doubt) => in_doubt.is_none_or(|in_doubt| unit < in_doubt),
        }
    }
}

impl Forgetting<'_> {
    /// Returns the number of deleted records. `unreachable` gets the binds that could not be read: records that name
    /// them stay.
    ///
    /// Cancellation safety: each step is complete in itself, and the next pass continues.
    async fn run(&self, unreachable: &mut HashMap<&'static str, Fault>) -> Result<usize, Fault> {
        let mut deleted = 0;
        let mut after = None;
        let mut last = None;
        loop {
            let Records { holder, page } = self.holder.records(self.scope.retention, after).await?;
            let listings = self.list_participants(&page).await;
            let units = forgettable(&page, self.scope.retention, &listings);
            unreachable.extend(listings.unreachable);
            deleted += self.holder.delete(holder, &units).await?;
            let movable = units.iter().rfind(|unit| self.horizon.may_reach(**unit));
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

    /// Lists all participants of the records. These were read before, so a branch that is not listed now is finished.
    async fn list_participants(&self, page: &[Record]) -> ParticipantListings {
        let participants = page.iter().flat_map(|record| &record.participants);
        let named: HashSet<(&str, &DatabaseId)> =
            participants.map(|(bind, id)| (bind.as_str(), id)).collect();
        let mut listings = ParticipantListings::default();
        let is_named = |database: &&dyn Database| {
            let mut keys = named.iter().map(|(bind, _)| *bind);
            keys.any(|bind| bind == database.key())
        };
        let (first, others): (Vec<_>, Vec<_>) = self.databases().partition(is_named);
        listings.add(first).await;
        // A database with another key now: its bind was renamed, or two were swapped.
        if named.iter().any(|(bind, id)| !listings.is_behind(bind, id)) {
            listings.add(others).await;
        }
        listings
    }

    fn databases(&self) -> impl Iterator<Item = &dyn Database> {
        self.scope.databases.iter().map(AsRef::as_ref)
    }
}

/// The lists of databases, read after the records.
#[derive(Default)]
struct ParticipantListings {
    listings: HashMap<&'static str, IdentifiedListing>,
    /// The binds of this process that did not answer.
    unreachable: HashMap<&'static str, Fault>,
}

impl ParticipantListings {
    async fn add(&mut self, databases: Vec<&dyn Database>) {
        let listings = join_all(
            databases
                .iter()
                .map(|database| database.identify_and_list()),
        )
        .await;
        for (database, listing) in databases.into_iter().zip(listings) {
            match listing {
                Ok(listing) => {
                    self.listings.insert(database.key(), listing);
                }
                Err(fault) => {
                    self.unreachable.insert(database.key(), fault);
                }
            }
        }
    }

    /// Returns whether the bind leads to this database.
    fn is_behind(&self, bind: &str, id: &DatabaseId) -> bool {
        self.listings
            .get(bind)
            .is_some_and(|listing| listing.database == *id)
    }

    /// Returns the state of one participant of a unit, as the databases list it.
    ///
    /// The key only says which bind to read first. The database is identified by its id, since its bind may have been
    /// renamed. Each database with the id must have finished.
    fn state(&self, bind: &str, unit: UnitId, id: &DatabaseId) -> ParticipantState {
        if self.unreachable.contains_key(bind) {
            return ParticipantState::Unreached;
        }
        let mut listings = self
            .listings
            .values()
            .filter(|listing| listing.database == *id);
        let lists =
            |listing: &IdentifiedListing| listing.branches.iter().any(|branch| branch.unit == unit);
        match listings.next() {
            Some(first) if lists(first) || listings.any(lists) => ParticipantState::Listed,
            Some(_) => ParticipantState::Gone,
            None if self.listings.contains_key(bind) => ParticipantState::Replaced,
            None => ParticipantState::Unreached,
        }
    }
}

/// Returns the units of a page whose records may be deleted.
fn forgettable(
    page: &[Record],
    retention: Duration,
    listings: &ParticipantListings,
) -> Vec<UnitId> {
    page.iter()
        .filter(|record| {
            let state = |bind: &str, id: &DatabaseId| listings.state(bind, record.unit, id);
            may_forget(&record.participants, record.age, retention, state)
        })
        .map(|record| record.unit)
        .collect()
}
