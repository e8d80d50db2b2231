//! Noting a bind, or what is wrong with it.

use std::sync::Arc;

use crate::backend::{Backend, Dialect as _};
use crate::bind::Bind;
#[cfg(feature = "sqlite")]
use crate::config::sqlite_name;
use crate::config::{BindOptions, Pooling, Setup, UrlProblem, check_url};
use crate::pool::{FromUrl, Pool};
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{Pending, Place, Who};
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    pub(super) fn add<B: Bind>(
        &mut self,
        pool: Box<dyn Pool<B::Connection>>,
        options: BindOptions,
    ) {
        let backend = B::Connection::BACKEND;
        self.push(
            Who::of::<B>(),
            backend,
            Place::own(B::KEY, pool, options, None),
        );
    }

    pub(super) fn add_url<C: FromUrl>(
        &mut self,
        who: Who,
        url: &str,
        setup: Option<Arc<Setup<C>>>,
        pooling: &Pooling,
        options: BindOptions,
    ) {
        let bind = who.key;
        let problem = match check_url(C::BACKEND, url) {
            Err(UrlProblem::TlsUnsupported | UrlProblem::OwnMemory) if setup.is_some() => None,
            result => result.err(),
        };
        match problem {
            None => {
                let pool = C::pool(url, setup.clone(), pooling);
                let place = Place::own(bind, pool, options, setup);
                self.push(who, C::BACKEND, place);
            }
            Some(problem) => self.broken(who, C::BACKEND, BuildProblem::Url { bind, problem }),
        }
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn add_attached(&mut self, who: Who, to: Who, backend: Backend, path: &str) {
        let bind = who.key;
        if backend != Backend::Sqlite {
            let problem = UrlProblem::WrongBackend {
                scheme: "(file)".into(),
                backend,
            };
            self.broken(who, backend, BuildProblem::Url { bind, problem });
        } else if let Err(problem) = check_url(Backend::Sqlite, path) {
            self.broken(who, backend, BuildProblem::Url { bind, problem });
        } else if matches!(bind, "main" | "temp") {
            self.broken(who, backend, BuildProblem::ReservedKey { key: bind });
        } else {
            let path = Some(sqlite_name(path));
            self.push(who, backend, Place::Shared { with: to, path });
        }
    }

    pub(super) fn broken(&mut self, who: Who, backend: Backend, problem: BuildProblem) {
        self.problems.push(problem);
        self.push(who, backend, Place::Broken);
    }

    pub(super) fn push(&mut self, who: Who, backend: Backend, place: Place) {
        self.binds.push(Pending {
            who,
            backend,
            place,
        });
    }
}
