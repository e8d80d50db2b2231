//! A bind that was given to the builder, before its source is looked up.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use crate::backend::{Backend, Connection};
use crate::bind::Bind;
use crate::config::{BindOptions, Place, Setup};
use crate::pool::Pool;
use crate::registry::entry::EntryArguments;
use crate::registry::problem::BuildProblem;
use crate::registry::{AnyEntry, Entry};
use crate::tls::TlsSetting;

/// An argument of the builder, in the order of the calls.
pub(super) enum BuilderArgument {
    Bind(Pending),
    /// A bind of the manifest, by its key.
    #[cfg(feature = "manifest")]
    Named(String),
    /// All binds of the manifest.
    #[cfg(feature = "manifest")]
    AllNamed,
}

impl fmt::Debug for BuilderArgument {
    /// Writes the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(bind) => f.write_str(bind.id.key),
            #[cfg(feature = "manifest")]
            Self::Named(key) => f.write_str(key),
            #[cfg(feature = "manifest")]
            Self::AllNamed => f.write_str("all of the manifest"),
        }
    }
}

/// A bind that was given to the builder.
pub(super) struct Pending {
    pub(super) id: BindId,
    pub(super) backend: Backend,
    pub(super) placement: Placement,
}

/// The identity of a bind.
#[derive(Clone, Copy)]
pub(super) struct BindId {
    pub(super) key: &'static str,
    /// The type of the bind. A bind that is registered by its key alone has none, and no session can use it.
    pub(super) type_id: Option<TypeId>,
}

pub(super) enum Placement {
    /// A pool of its own.
    Own {
        options: BindOptions,
        make: Box<dyn FnOnce(EntryArguments) -> Arc<dyn AnyEntry> + Send>,
    },
    /// The connection of another bind.
    Shared {
        with: BindId,
        /// The file to attach, if the bind is not in the other's database.
        path: Option<String>,
    },
    /// A URL that is not looked up yet.
    Unresolved(UnresolvedUrl),
    /// A placement with a mistake that is already reported.
    Broken,
}

/// A bind whose URL is looked up when the registry is built.
pub(super) struct UnresolvedUrl {
    pub(super) source: UrlSource,
    /// The bind to whose connection the file is attached, instead of a pool of its own.
    pub(super) attach_to: Option<BindId>,
    /// `true` if the application opens the connections itself. Then a URL that only our own opening cannot handle is
    /// accepted.
    pub(super) has_setup: bool,
    /// The function that makes the pool.
    pub(super) open: Box<dyn FnOnce(Place) -> Placement + Send>,
}

/// The source of a URL.
pub(super) enum UrlSource {
    Url(String),
    /// The variable that the manifest names, or that follows from the key.
    Env,
    Variable(String),
}

/// A file that is attached to the connection of another bind.
pub(super) struct Attachment {
    pub(super) to: BindId,
    pub(super) id: BindId,
    pub(super) path: String,
}

impl BindId {
    pub(super) fn of<B: Bind>() -> Self {
        Self {
            key: B::KEY,
            type_id: Some(TypeId::of::<B>()),
        }
    }

    /// Returns whether both are one bind. Compares the types if both have one, because two binds may have the same key
    /// by mistake.
    pub(super) fn is(self, other: Self) -> bool {
        match (self.type_id, other.type_id) {
            (Some(one), Some(two)) => one == two,
            _ => self.key == other.key,
        }
    }
}

impl Placement {
    /// Returns the placement, or a broken one after a mistake, which is added to `problems`.
    pub(super) fn or_broken(
        placed: Result<Self, BuildProblem>,
        problems: &mut Vec<BuildProblem>,
    ) -> Self {
        placed.unwrap_or_else(|problem| {
            problems.push(problem);
            Self::Broken
        })
    }

    /// Returns the bind that owns the connection.
    pub(super) fn owner(&self, bind: BindId) -> BindId {
        match self {
            Self::Shared { with, .. } => *with,
            Self::Own { .. } | Self::Unresolved(_) | Self::Broken => bind,
        }
    }

    /// Returns the placement of a bind with a pool of its own.
    pub(super) fn own<C: Connection>(
        key: &'static str,
        pool: Box<dyn Pool<C>>,
        options: BindOptions,
        setup: Option<Arc<Setup<C>>>,
        tls: Option<TlsSetting>,
    ) -> Self {
        Self::Own {
            options,
            make: Box::new(move |arguments| Arc::new(Entry::new(key, pool, setup, tls, arguments))),
        }
    }
}
