//! The order in which the binds are migrated.

use std::sync::Arc;

use crate::migrate::any_set::AnySet;
#[cfg(feature = "testing")]
use crate::migrate::any_set::Refusing;
use crate::migrate::known::{MigrationId, MigrationMistake};

/// The migrations of all binds, in the order in which they run.
pub(crate) struct Sets {
    pub(crate) sets: Vec<Arc<dyn AnySet>>,
    pub(crate) needs: Vec<Need>,
}

/// The need of one bind for a version of another.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) bind: &'static str,
    pub(crate) needs: &'static str,
    pub(crate) version: String,
}

impl Sets {
    /// Puts the sets in order. Fails if they have mistakes, each with its bind.
    pub(crate) fn new(
        sets: Vec<Arc<dyn AnySet>>,
        needs: Vec<Need>,
    ) -> Result<Self, Vec<(&'static str, MigrationMistake)>> {
        let mut mistakes = collisions(&sets);
        for need in &needs {
            if !sets.iter().any(|set| set.key() == need.bind) {
                mistakes.push((need.bind, MigrationMistake::UnknownBind));
            }
            let there = sets.iter().any(|set| {
                set.key() == need.needs
                    && set
                        .known()
                        .iter()
                        .any(|known| known.id.version == need.version)
            });
            if !there {
                mistakes.push((
                    need.bind,
                    MigrationMistake::UnknownVersion {
                        needs: need.needs,
                        version: need.version.clone(),
                    },
                ));
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        match in_order(sets, &needs) {
            Ok(sets) => Ok(Self { sets, needs }),
            Err(binds) => Err(vec![(binds[0], MigrationMistake::Cycle { binds })]),
        }
    }

    /// Returns the same sets, whose databases refuse every connection.
    #[cfg(feature = "testing")]
    pub(crate) fn refusing(&self, refusal: fn() -> crate::commit::Fault) -> Self {
        let refuse = |set: &Arc<dyn AnySet>| {
            Arc::new(Refusing {
                set: Arc::clone(set),
                refusal,
            }) as Arc<dyn AnySet>
        };
        Self {
            sets: self.sets.iter().map(refuse).collect(),
            needs: self.needs.clone(),
        }
    }

    /// Returns the needs of `bind`.
    pub(super) fn needs_of(&self, bind: &str) -> impl Iterator<Item = &Need> {
        self.needs.iter().filter(move |need| need.bind == bind)
    }
}

/// Finds versions that two binds of one database both have.
fn collisions(sets: &[Arc<dyn AnySet>]) -> Vec<(&'static str, MigrationMistake)> {
    let mut found = Vec::new();
    for (position, set) in sets.iter().enumerate() {
        for other in &sets[..position] {
            if other.place() == set.place()
                && let Some(id) = common(set.as_ref(), other.as_ref())
            {
                found.push((
                    set.key(),
                    MigrationMistake::VersionCollision {
                        migration: id.name.clone(),
                        with: other.key(),
                    },
                ));
            }
        }
    }
    found
}

/// Returns the first migration of `set` whose version `other` has, too.
pub(super) fn common<'a>(set: &'a dyn AnySet, other: &dyn AnySet) -> Option<&'a MigrationId> {
    set.known().iter().map(|known| &known.id).find(|id| {
        !id.is_shared()
            && other
                .known()
                .iter()
                .any(|theirs| theirs.id.version == id.version)
    })
}

/// Sorts each set after those that it needs, and otherwise in the given order. Fails with the remaining keys if there
/// is no such order.
fn in_order(
    mut left: Vec<Arc<dyn AnySet>>,
    needs: &[Need],
) -> Result<Vec<Arc<dyn AnySet>>, Vec<&'static str>> {
    let mut ordered: Vec<Arc<dyn AnySet>> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let ready = left.iter().position(|set| {
            needs
                .iter()
                .filter(|need| need.bind == set.key())
                .all(|need| ordered.iter().any(|before| before.key() == need.needs))
        });
        match ready {
            Some(position) => ordered.push(left.remove(position)),
            None => return Err(left.iter().map(|set| set.key()).collect()),
        }
    }
    Ok(ordered)
}
