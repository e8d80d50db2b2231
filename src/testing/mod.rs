//! Tools for the tests of an application: databases that keep nothing, and injected faults.
//!
//! A [`Sandbox`] fits most tests: it has the application's own binds, and nothing that the test does is ever kept.
//! `docs/testing.md` shows it.
//!
//! Faults cover the rest: every step of a commit can fail, in every way.
//!
//! A [`FaultPlan`] defines the fault at each [`Point`] of a commit, for one session
//! ([`SessionOptions::faults`](crate::SessionOptions::faults)) or for all sessions of a registry ([`Binds::inject`]).
//! [`dying_at_every_step`] makes the plans itself: it runs a unit once for each point and fault, recovers, and lets
//! your test check the data.
//!
//! Only with the feature `testing`, which belongs in `[dev-dependencies]`: without it, none of this is compiled.
//!
//! # Example
//!
//! The unit creates a user in one SQLite file, and a note in another one, wherever it crashes. With several binds, on
//! PostgreSQL and MariaDB for instance, the test is the same, but has more points.
//!
//! ```
//! # #[cfg(not(all(feature = "sqlite", feature = "deadpool")))]
//! # fn main() {}
//! # #[cfg(all(feature = "sqlite", feature = "deadpool"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use diesel::prelude::*;
//! # use diesel_binds::{AsyncSqliteConnection, Bind, Binds, RunQueryDsl, bind_tables};
//! # use diesel_binds::{Commit, Error, Session};
//! use diesel_binds::{testing::dying_at_every_step, Source};
//!
//! # diesel::table! { users (id) { id -> Integer, name -> Text, } }
//! # diesel::table! { notes (id) { id -> Integer, text -> Text, } }
//! # #[derive(Bind)]
//! # #[bind(key = "accounts", connection = AsyncSqliteConnection)]
//! # pub struct Accounts;
//! # #[derive(Bind)]
//! # #[bind(key = "ledger", connection = AsyncSqliteConnection)]
//! # pub struct Ledger;
//! # bind_tables!(Accounts => users);
//! # bind_tables!(Ledger => notes);
//! # let folder = tempfile::tempdir()?;
//! # let file = |name: &str| folder.path().join(name).display().to_string();
//! # let binds = Binds::builder()
//! #     .bind(Accounts, Source::url(file("accounts.db")))
//! #     .bind(Ledger, Source::url(file("ledger.db")).attach_to(Accounts))
//! #     .build()?;
//! # let mut setup = binds.session();
//! # for sql in ["CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
//! #     "CREATE TABLE ledger.notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"] {
//! #     diesel::sql_query(sql).execute(&setup.on(Accounts)).await?;
//! # }
//! # setup.commit_all().await?;
//! // The unit, as the application has it.
//! async fn sign_up(session: &mut Session) -> Result<Commit, Error> {
//!     diesel::insert_into(users::table).values(users::name.eq("Ada")).execute(session).await?;
//!     diesel::insert_into(notes::table).values(notes::text.eq("new: Ada")).execute(session).await?;
//!     Ok(session.commit_all().await?)
//! }
//!
//! let cases = dying_at_every_step(&binds, sign_up, async |case, result| {
//!     let mut session = binds.session();
//!     let users = diesel::delete(users::table).execute(&session).await.unwrap();
//!     let notes = diesel::delete(notes::table).execute(&session).await.unwrap();
//!     session.commit_all().await.unwrap();
//!
//!     assert_eq!(users, notes, "torn by {case}");
//!     match result {
//!         Some(Ok(_)) => assert_eq!(users, 1, "committed, and not there: {case}"),
//!         Some(Err(Error::Commit(error))) if error.is_rolled_back() => {
//!             assert_eq!(users, 0, "rolled back, and there: {case}");
//!         }
//!         // In doubt, or the caller is gone: kept or not, both are correct.
//!         Some(Err(_)) | None => {}
//!     }
//! })
//! .await;
//! assert!(cases.iter().any(|case| case.to_string() == "crash at commit:accounts:before"));
//! # binds.close().await;
//! # Ok(())
//! # }
//! ```

// Files, each of which imports only from those before it: `dying`, `sandbox`.

mod dying;
mod sandbox;

use crate::registry::Binds;

pub use self::dying::{Case, dying_at_every_step};
pub use self::sandbox::{Sandbox, SandboxBuilder};
pub use crate::commit::{Effect, FaultPlan, Hook, InvalidPoint, Moment, Point, SandboxError, Step};

impl Binds {
    /// Makes the commits of all sessions of this registry fail as planned, until another plan replaces this one. A plan
    /// of the session itself takes precedence. A sandbox has no commit to fail, and refuses to end a unit with a plan.
    pub fn inject(&self, plan: &FaultPlan) {
        self.registry.set_faults(Some(plan.clone()));
    }

    /// Shifts the clock of the host for this registry by so many seconds: ahead, or behind if negative. Calls add up.
    /// For a test of units that are stamped on such a host, or that stay open for days.
    pub fn shift_clock(&self, seconds: i64) {
        self.registry.clock.shift_host(seconds * 1000);
    }
}
