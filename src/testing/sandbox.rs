//! Databases for one test: the application's own, which keep nothing.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bind::Bind;
use crate::commit::{HookFailure, SandboxError};
use crate::registry::{AnyEnclosure, Binds, Registry, SandboxRules};

/// The databases of an application for one test, which keep nothing that the test does.
///
/// [`binds`](Self::binds) are ordinary [`Binds`]: services, scopes and layers take them like the application's own.
/// Each bind has one connection, which the sandbox opens like the application's pool. On PostgreSQL and MariaDB it is
/// in a transaction that cannot commit, and every unit is a savepoint there. A committed unit is visible only to later
/// sessions of the sandbox. On SQLite the connection is on a private copy of the file.
///
/// `docs/testing.md` lists the differences between a sandbox and the real databases.
///
/// Dropping it closes its connections, which rolls everything back; [`end`](Self::end) also reports whether that
/// succeeded.
#[must_use = "the binds of the sandbox are closed when it is dropped"]
pub struct Sandbox {
    binds: Binds,
    rules: Arc<SandboxRules>,
}

/// The builder of a [`Sandbox`]. See [`Sandbox::of`].
#[must_use = "nothing is opened before `start()`"]
pub struct SandboxBuilder {
    registry: Arc<Registry>,
    declared: Vec<(TypeId, &'static str)>,
    rules: SandboxRules,
}

impl Sandbox {
    /// Creates the builder of a sandbox of these binds. None of them is declared yet.
    pub fn of(binds: &Binds) -> SandboxBuilder {
        SandboxBuilder {
            registry: Arc::clone(&binds.registry),
            declared: Vec::new(),
            rules: SandboxRules::default(),
        }
    }

    /// Returns the binds, which the application can use like its own.
    ///
    /// They end with the sandbox: afterwards, queries fail with [`Error::Closed`](crate::Error::Closed) or
    /// [`Error::Pool`](crate::Error::Pool). A unit that is still open can only be rolled back: its commit fails with
    /// [`SandboxError::Ended`].
    #[must_use]
    pub fn binds(&self) -> &Binds {
        &self.binds
    }

    /// Returns the queries that the application ran on the connection of this bind, in order and without their
    /// parameters. The list begins with the sandbox, or with the last [`clear_queries`](Self::clear_queries). It
    /// includes failed queries and those on the raw connection. It excludes statements of this library, and of hooks at
    /// the begin of a transaction. Binds that share a connection share its queries.
    ///
    /// # Panics
    ///
    /// If the bind is not declared, or if the application has an instrumentation of its own on the connection, where
    /// Diesel has room for one. Wrap that instrumentation in
    /// [`StatementSpans::over`](crate::trace::StatementSpans::over).
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

    /// Clears the queries of all binds.
    pub fn clear_queries(&self) {
        for log in self.enclosures().filter_map(AnyEnclosure::log) {
            log.clear();
        }
    }

    /// Returns how many hooks after a commit wait to be run ([`capture_hooks`](SandboxBuilder::capture_hooks)).
    #[must_use]
    pub fn captured_hooks(&self) -> usize {
        self.rules.captured.lock().len()
    }

    /// Runs the waiting hooks, in the order of their commits, and those that are captured meanwhile. Returns how many
    /// ran.
    ///
    /// # Errors
    ///
    /// The failures and panics of hooks, after all have run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the hooks that have not run.
    pub async fn run_captured_hooks(&self) -> Result<usize, Vec<HookFailure>> {
        let (mut ran, mut failures) = (0, Vec::new());
        loop {
            let captured = std::mem::take(&mut *self.rules.captured.lock());
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
    /// The first of [`SandboxError::Kept`], [`SandboxError::Lost`] and [`SandboxError::StillOpen`], after all binds
    /// were ended. The test may then have run on other data than it assumes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has the effect of dropping the sandbox.
    pub async fn end(self) -> Result<(), SandboxError> {
        self.binds.registry.close_and_wait().await;
        let mut worst: Option<SandboxError> = None;
        for enclosure in self.enclosures() {
            let Err(found) = enclosure.end().await else {
                continue;
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

    fn enclosures(&self) -> impl Iterator<Item = &dyn AnyEnclosure> {
        let entries = self.binds.registry.entries.iter();
        entries.filter_map(|entry| entry.enclosure())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.rules.ended.store(true, Ordering::SeqCst);
        for enclosure in self.enclosures() {
            enclosure.close();
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
    /// Declares that the test uses this bind. A query on any other bind is an error
    /// ([`SandboxError::Undeclared`]).
    pub fn bind<B: Bind>(mut self, _: B) -> Self {
        self.declared.push((TypeId::of::<B>(), B::KEY));
        self
    }

    /// Keeps the hooks [after](crate::Session::after_commit) a commit for the test, which counts them
    /// ([`captured_hooks`](Sandbox::captured_hooks)) and runs them
    /// ([`run_captured_hooks`](Sandbox::run_captured_hooks)). Defaults to off: they run, as in production.
    pub fn capture_hooks(mut self) -> Self {
        self.rules.captures = true;
        self
    }

    /// Ignores settings of units that a savepoint cannot have: the isolation level, deferrable, the timeouts of
    /// statements and locks ([`SessionOptions`](crate::SessionOptions)). A setting that the backend does not support is
    /// still refused. Defaults to off: all are refused ([`Error::Unsupported`](crate::Error::Unsupported)).
    pub fn ignoring_settings(mut self) -> Self {
        self.rules.ignores_settings = true;
        self
    }

    /// Opens a connection for each bind, and starts the sandbox.
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
        let rules = Arc::new(self.rules);
        let enclosing = self.registry.enclose(&self.declared, Arc::clone(&rules));
        let registry = enclosing.await?;
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
