//! Compares the migrations in the folders of all binds with those that their databases have applied.

use std::iter::once;

use diesel_binds::__private::{History, Owner};
use diesel_binds::build::BuildProblem;
use diesel_binds::check::Finding;
use diesel_binds::config::{ManifestBind, ManifestPlace, TlsProblem, UrlProblem};
use diesel_binds::error::Fault;
use diesel_binds::migrations::{MigrationId, MigrationState};
use futures_util::future::join_all;

use crate::migration::applied::{Applied, applied};
use crate::migration::folder;
use crate::project::{Address, Project};

/// The state of all binds of a project, at one moment.
pub(crate) struct Survey<'p> {
    project: &'p Project,
    pub(crate) looks: Vec<Look<'p>>,
    /// Pairs of binds in one database that the manifest does not declare as shared.
    same: Vec<(String, String)>,
    /// Binds without the tables of the commit protocol.
    bare: Vec<&'static str>,
}

/// The state of one bind.
pub(crate) struct Look<'p> {
    pub(crate) bind: &'p ManifestBind,
    pub(crate) address: Result<Address, String>,
    pub(crate) folder: Result<Vec<MigrationId>, String>,
    pub(crate) applied: Applied,
}

impl<'p> Survey<'p> {
    /// Asks all databases at once. A database that does not answer does not hold up the others.
    pub(crate) async fn take(project: &'p Project) -> Self {
        let binds = project.manifest.binds();
        let problems = project.reachable().problems;
        let looks = binds.iter().map(async |bind| {
            let address = project.address(bind);
            let applied = match &address {
                Ok(_) if needs_tls(&problems, project.manifest.database_of(bind)) => {
                    Applied::NotAsked
                }
                Ok(address) => match applied(bind.backend(), &address.url).await {
                    Applied::Unknown(why) => Applied::Unknown(address.redaction.apply(&why)),
                    other => other,
                },
                Err(problem) => Applied::Unknown(problem.clone()),
            };
            Look {
                bind,
                address,
                folder: folder::read(bind.migrations()),
                applied,
            }
        });
        let mut survey = Self {
            project,
            looks: join_all(looks).await,
            same: Vec::new(),
            bare: Vec::new(),
        };
        survey.same = survey.undeclared();
        survey.ask().await;
        survey
    }

    pub(crate) fn look(&self, key: &str) -> Option<&Look<'p>> {
        self.looks.iter().find(|look| look.bind.key() == key)
    }

    /// Returns the reasons why nothing may be done with the migrations of a bind.
    pub(crate) fn troubles(&self, look: &Look<'_>) -> Vec<String> {
        let mut troubles = Vec::new();
        let key = look.bind.key();
        troubles.extend(look.address.as_ref().err().cloned());
        troubles.extend(look.folder.as_ref().err().cloned());
        for (one, two) in &self.same {
            if one == key || two == key {
                troubles.push(format!(
                    "`{one}` and `{two}` lead to the same database: correct one of the URLs, or declare it in \
                     diesel-binds.toml with `shared_with`"
                ));
            }
        }
        troubles.extend(self.collisions(look));
        troubles.extend(self.of_others(look));
        troubles.extend(self.noted_of_others(look));
        troubles
    }

    /// Returns the state of the migrations of a bind, or `None` if it is unknown.
    pub(crate) fn state(&self, look: &Look<'_>) -> Option<MigrationState> {
        let own = look.owner()?;
        let nothing = History::default();
        let history = match &look.applied {
            Applied::Recorded(history) => history,
            Applied::NoFile => &nothing,
            Applied::NotAsked | Applied::Unknown(_) => return None,
        };
        let others = self
            .together(look)
            .filter(|other| other.bind.key() != own.key);
        // The first one also gets the versions of which the owner is unknown.
        let mates: Vec<Owner<'_>> = once(own.clone())
            .chain(others.filter_map(Look::owner))
            .collect();
        let mut state = MigrationState::of(&own, &mates, history);
        // Diesel tells migrations apart by their versions alone, and the commands run Diesel.
        state
            .applied
            .extend(state.collisions.iter().map(|(id, _)| id.clone()));
        state.applied.sort();
        state
            .unknown
            .extend(state.foreign.iter().map(|(version, _)| version.clone()));
        state.unknown.sort();
        Some(state)
    }

    /// Returns the binds that share the database of this one, with itself.
    pub(crate) fn together<'s>(
        &'s self,
        look: &'s Look<'_>,
    ) -> impl Iterator<Item = &'s Look<'p>> + 's {
        let database = self.project.manifest.database_of(look.bind).key();
        self.looks
            .iter()
            .filter(move |other| self.project.manifest.database_of(other.bind).key() == database)
    }

    /// Finds versions that another bind in the same database also has. Diesel records versions only, and takes one
    /// migration for the other.
    fn collisions(&self, look: &Look<'_>) -> Vec<String> {
        let Ok(folder) = &look.folder else {
            return Vec::new();
        };
        let mut collisions = Vec::new();
        for other in self.together(look) {
            if other.bind.key() == look.bind.key() {
                continue;
            }
            for theirs in other.folder.iter().flatten() {
                if let Some(ours) = folder.iter().find(|ours| ours.version == theirs.version) {
                    collisions.push(format!(
                        "{ours} of `{}` and {theirs} of `{}` have the same version, and their database is the same: \
                         once one is applied, Diesel takes the other for applied too; give one of them another version",
                        look.bind.key(),
                        other.bind.key()
                    ));
                }
            }
        }
        collisions
    }

    /// Finds versions in the database of a bind that are in the folder of another bind, and in none of its own. The
    /// database then belongs to that bind, or was once taken for its database.
    fn of_others(&self, look: &Look<'_>) -> Vec<String> {
        let Some(state) = self.state(look) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for other in &self.looks {
            let theirs: Vec<_> = other
                .folder
                .iter()
                .flatten()
                .filter(|id| state.unknown.contains(&id.version))
                .map(|id| id.name.as_str())
                .collect();
            if !theirs.is_empty() {
                let database = self.project.manifest.database_of(look.bind);
                found.push(format!(
                    "the database that `{}` leads to has migrations of `{}`, not of `{}` ({}): it is another bind's, or \
                     they were applied to the wrong one, and plain `diesel` reverts them there; if their tables are \
                     gone, delete the versions from its `__diesel_schema_migrations`",
                    database.variable().unwrap_or_default(),
                    other.bind.key(),
                    look.bind.key(),
                    theirs.join(", ")
                ));
            }
        }
        found
    }

    /// Finds versions that the program recorded for a bind that is not in this database. This also distinguishes
    /// databases whose migrations have the same versions.
    fn noted_of_others(&self, look: &Look<'_>) -> Option<String> {
        let Applied::Recorded(recorded) = &look.applied else {
            return None;
        };
        let noted = recorded.applied.iter().find_map(|version| {
            let bind = recorded.binds.get(version)?;
            let here = self.together(look).any(|here| here.bind.key() == bind);
            (!here).then_some((version, bind))
        });
        let (version, bind) = noted?;
        let database = self.project.manifest.database_of(look.bind);
        Some(format!(
            "in the database that `{}` leads to, {version} was applied for `{bind}`, not for `{}`: it is another \
             bind's; if `{bind}` is the new name of `{}`, write the new name into its table \
             `diesel_binds_migrations`",
            database.variable().unwrap_or_default(),
            look.bind.key(),
            look.bind.key(),
        ))
    }

    /// Returns whether a bind has lost the tables of the commit protocol: Diesel has their migration recorded as
    /// applied, and does not apply it again.
    pub(crate) fn has_lost_its_tables(&self, look: &Look<'_>) -> bool {
        let (Applied::Recorded(recorded), Ok(folder)) = (&look.applied, &look.folder) else {
            return false;
        };
        self.bare.contains(&look.bind.key())
            && folder::protocol(folder).is_some_and(|id| recorded.applied.contains(&id.version))
    }

    /// Returns pairs of binds with one URL that the manifest does not declare as shared.
    fn undeclared(&self) -> Vec<(String, String)> {
        let own: Vec<_> = self
            .looks
            .iter()
            .filter(|look| !matches!(look.bind.place(), ManifestPlace::SharedWith(_)))
            .collect();
        let mut same = Vec::new();
        for (i, one) in own.iter().enumerate() {
            for two in &own[i + 1..] {
                if let (Ok(a), Ok(b)) = (&one.address, &two.address)
                    && a.url == b.url
                {
                    same.push((one.bind.key().to_owned(), two.bind.key().to_owned()));
                }
            }
        }
        same
    }

    /// Asks the databases that answer for facts that neither the manifest nor the URLs have. Two URLs may lead to one
    /// database, and tables may have been dropped.
    async fn ask(&mut self) {
        let answers = |bind: &ManifestBind| {
            let look = self.look(bind.key());
            *bind.place() == ManifestPlace::Own
                && look.is_some_and(|look| matches!(look.applied, Applied::Recorded(_)))
        };
        if let Some(binds) = self.project.reachable_of(answers).binds {
            for report in binds.check().await.binds {
                for finding in &report.findings {
                    match finding {
                        Finding::SameDatabase { with } => {
                            let pair = ((*with).to_owned(), report.bind.to_owned());
                            if !self.same.contains(&pair) {
                                self.same.push(pair);
                            }
                        }
                        Finding::Tables(Fault::NotInstalled(_)) => self.bare.push(report.bind),
                        _ => {}
                    }
                }
            }
            binds.close().await;
        }
    }
}

impl Look<'_> {
    fn owner(&self) -> Option<Owner<'_>> {
        Some(Owner {
            key: self.bind.key(),
            known: self.folder.as_ref().ok()?.iter().collect(),
        })
    }
}

fn needs_tls(problems: &[BuildProblem], bind: &ManifestBind) -> bool {
    problems.iter().any(|problem| {
        matches!(problem, BuildProblem::Url { bind: key, problem: UrlProblem::Tls(TlsProblem::NotBuilt { .. }) } if *key == bind.key())
    })
}
