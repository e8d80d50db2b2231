//! Databases for one test: the application's own, of which nothing is ever kept.

use std::any::TypeId;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use diesel_binds_derive::ErrorDebug;

use crate::bind::Bind;
use crate::commit::{Fault, HookFailure};
use crate::error::BoxError;
use crate::registry::{AnyEnclosure, Binds, Left, NotStarted, Registry, Rules};

/// The databases of an application for one test: nothing of what the test does is ever kept.
///
/// [`binds`](Self::binds) are ordinary [`Binds`]; services, scopes and layers take them as they take the application's
/// own. Each bind has one connection, which the sandbox opens as the application's pool would. On PostgreSQL and MariaDB
/// it is in a transaction that cannot commit, and every unit is a savepoint there: committed, it is seen by the later
/// sessions of the sandbox and by nobody else. On SQLite it is on a private copy of the file.
///
/// `docs/testing.md` says what a sandbox does as the real databases do, and what it cannot do.
///
/// Dropping it closes its connections, which rolls everything back; [`end`](Self::end) also says whether that holds.
#[must_use = "dropped, it takes its binds along"]
pub struct Sandbox {
    binds: Binds,
    rules: Arc<Rules>,
}

/// Says what a [`Sandbox`] is to be. See [`Sandbox::of`].
#[must_use = "nothing is opened before `start()`"]
pub struct SandboxBuilder {
    registry: Arc<Registry>,
    declared: Vec<(TypeId, &'static str)>,
    rules: Rules,
}

/// Why there is no sandbox, or what was wrong with it in the end.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No bind is declared, so that no query could run. Nothing was opened.
    #[error(
        "the sandbox has no binds: add `.bind(..)` of each that the test uses, before `start()`"
    )]
    NoBinds,

    /// The application has not registered the bind. Nothing was opened.
    #[error("the bind `{bind}` is not registered in the application's `Binds`")]
    UnknownBind {
        /// The bind.
        bind: &'static str,
    },

    /// No connection was opened. Nothing was changed.
    #[error("the sandbox got no connection to `{bind}`")]
    Connect {
        /// The bind.
        bind: &'static str,
        /// Why.
        source: Fault,
    },

    /// The connection could not be kept from committing, and was closed. Nothing was changed.
    ///
    /// On PostgreSQL the role needs the right to create temporary tables; on SQLite the file is copied to the folder for
    /// temporary files.
    #[error(
        "the sandbox could not keep `{bind}` from committing (PostgreSQL: the role needs TEMPORARY on the database; \
         SQLite: the file is copied)"
    )]
    Enclose {
        /// The bind.
        bind: &'static str,
        /// Why.
        source: BoxError,
    },

    /// The transaction around all units had ended before the sandbox did. Nothing that its sessions did was kept, but what
    /// they wrote to tables without transactions, which is not told any more; what was run on the raw connection after a
    /// `ROLLBACK` of its own and within a transaction of its own may be.
    #[error(
        "the sandbox had lost its transaction on `{bind}` before its end: by a COMMIT or ROLLBACK of the application, a \
         statement that was dropped half-way, or an error of the server (a deadlock on MariaDB)"
    )]
    Lost {
        /// The bind.
        bind: &'static str,
    },

    /// A session still has the connection of the bind. It is rolled back and closed when that session ends.
    #[error("a session of the sandbox is still open on `{bind}`: end or drop it first")]
    StillOpen {
        /// The bind.
        bind: &'static str,
    },

    /// Something was changed that no roll-back reaches: a table without transactions, most often. **It is still there.**
    #[error("something that the sandbox did on `{bind}` is, or may be, still there")]
    Kept {
        /// The bind.
        bind: &'static str,
        /// What.
        source: Fault,
    },
}

impl Sandbox {
    /// Starts to say what a sandbox of these binds is to be. None of them is declared yet.
    pub fn of(binds: &Binds) -> SandboxBuilder {
        SandboxBuilder {
            registry: Arc::clone(&binds.registry),
            declared: Vec::new(),
            rules: Rules::default(),
        }
    }

    /// The binds, for everything that the application does with its own.
    ///
    /// They end with the sandbox: afterwards, [`Error::Closed`](crate::Error::Closed) or
    /// [`Error::Pool`](crate::Error::Pool). A unit that is open then can only be rolled back: its commit fails with
    /// [`Fault::SandboxEnded`](crate::Fault::SandboxEnded).
    #[must_use]
    pub fn binds(&self) -> &Binds {
        &self.binds
    }

    /// The texts of the queries that the application ran on the connection of this bind since the begin, or since
    /// [`clear_queries`](Self::clear_queries), in order and without their parameters: also those on the raw connection,
    /// and those that failed. Not what this library sends by itself, nor what hooks at the begin of a transaction do.
    /// Binds that share a connection share its queries.
    ///
    /// # Panics
    ///
    /// If the bind is not declared, or if the application puts an instrumentation of its own on the connection: Diesel has
    /// room for one. Put it within [`StatementSpans::over`](crate::StatementSpans::over).
    #[must_use]
    #[track_caller]
    pub fn queries<B: Bind>(&self, _: B) -> Vec<String> {
        let registry = &self.binds.registry;
        let Ok(position) = registry.position::<B>() else {
            panic!("the test did not declare that it uses `{}`", B::KEY);
        };
        let enclosure = registry.entries[position].enclosure();
        let Some(log) = enclosure.and_then(AnyEnclosure::log) else {
            panic!(
                "the application has an instrumentation of its own on `{}`: put it within `StatementSpans::over(..)`",
                B::KEY
            );
        };
        log.read()
    }

    /// Forgets the queries of all binds, to count from here.
    pub fn clear_queries(&self) {
        for log in self
            .enclosures()
            .filter_map(|(_, enclosure)| enclosure.log())
        {
            log.clear();
        }
    }

    /// How many hooks after a commit wait to be run ([`capture_hooks`](SandboxBuilder::capture_hooks)).
    #[must_use]
    pub fn captured_hooks(&self) -> usize {
        let captured = self.rules.captured.lock();
        captured.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Runs the hooks that wait, in the order of their commits, also those that they leave waiting themselves. Returns how
    /// many ran.
    ///
    /// # Errors
    ///
    /// Those that failed or panicked, after all have run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the hooks that have not run.
    pub async fn run_captured_hooks(&self) -> Result<usize, Vec<HookFailure>> {
        let (mut ran, mut failures) = (0, Vec::new());
        loop {
            let captured = {
                let mut captured = self
                    .rules
                    .captured
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *captured)
            };
            if captured.is_empty() {
                break;
            }
            for hook in captured {
                ran += 1;
                failures.extend(hook().await.err());
            }
        }
        match failures.is_empty() {
            true => Ok(ran),
            false => Err(failures),
        }
    }

    /// Rolls everything back and closes the connections, after the commits and roll-backs that still run.
    ///
    /// # Errors
    ///
    /// The first of [`SandboxError::Kept`], [`SandboxError::Lost`] and [`SandboxError::StillOpen`], after all binds were
    /// looked at: what it names is not as the test may believe.
    ///
    /// # Cancel safety
    ///
    /// As dropping the sandbox.
    pub async fn end(self) -> Result<(), SandboxError> {
        self.binds.registry.settle().await;
        let mut worst: Option<SandboxError> = None;
        for (bind, enclosure) in self.enclosures() {
            let found = match enclosure.leave().await {
                Ok(()) => continue,
                Err(Left::Fault(source)) => SandboxError::Kept { bind, source },
                Err(Left::Lost) => SandboxError::Lost { bind },
                Err(Left::Open) => SandboxError::StillOpen { bind },
            };
            let is_kept = |error: &SandboxError| matches!(error, SandboxError::Kept { .. });
            if worst
                .as_ref()
                .is_none_or(|worst| is_kept(&found) && !is_kept(worst))
            {
                worst = Some(found);
            }
        }
        worst.map_or(Ok(()), Err)
    }

    fn enclosures(&self) -> impl Iterator<Item = (&'static str, &dyn AnyEnclosure)> {
        let entries = self.binds.registry.entries.iter();
        entries.filter_map(|entry| Some((entry.key(), entry.enclosure()?)))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.rules.ended.store(true, Ordering::SeqCst);
        for (_, enclosure) in self.enclosures() {
            enclosure.end();
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("binds", &self.binds)
            .finish_non_exhaustive()
    }
}

impl SandboxBuilder {
    /// Declares that the test uses this bind. A query on any other is an error
    /// ([`Error::NotInSandbox`](crate::Error::NotInSandbox)).
    pub fn bind<B: Bind>(mut self, _: B) -> Self {
        self.declared.push((TypeId::of::<B>(), B::KEY));
        self
    }

    /// Keeps the hooks [after](crate::Session::after_commit) a commit for the test: it counts them
    /// ([`captured_hooks`](Sandbox::captured_hooks)) and runs them ([`run_captured_hooks`](Sandbox::run_captured_hooks)).
    /// Defaults to off: they run, as in production.
    pub fn capture_hooks(mut self) -> Self {
        self.rules.captures = true;
        self
    }

    /// Lets units say what a savepoint cannot have, as if nothing had been said: isolation, deferrable, the timeouts of
    /// statements and locks ([`SessionOptions`](crate::SessionOptions)). What no bind of that kind can do is refused even
    /// so. Defaults to off: refused ([`Error::Unsupported`](crate::Error::Unsupported)).
    pub fn ignoring_settings(mut self) -> Self {
        self.rules.ignores_settings = true;
        self
    }

    /// Opens a connection for each bind, and begins.
    ///
    /// # Errors
    ///
    /// [`SandboxError::NoBinds`], [`SandboxError::UnknownBind`], [`SandboxError::Connect`], [`SandboxError::Enclose`]:
    /// there is no sandbox, and nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connections.
    pub async fn start(self) -> Result<Sandbox, SandboxError> {
        if self.declared.is_empty() {
            return Err(SandboxError::NoBinds);
        }
        let enclosing = self.registry.enclose(&self.declared, self.rules);
        let registry = enclosing.await.map_err(|(bind, why)| match why {
            None => SandboxError::UnknownBind { bind },
            Some(NotStarted::Connect(source)) => SandboxError::Connect { bind, source },
            Some(NotStarted::Enclose(source)) => SandboxError::Enclose { bind, source },
        })?;
        let rules = registry.sandbox().map(Arc::clone).unwrap_or_default();
        Ok(Sandbox {
            binds: Binds {
                registry: Arc::new(registry),
            },
            rules,
        })
    }
}

impl fmt::Debug for SandboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let declared: Vec<_> = self.declared.iter().map(|(_, key)| key).collect();
        f.debug_struct("SandboxBuilder")
            .field("binds", &declared)
            .finish_non_exhaustive()
    }
}
