//! A bind as it was given to the builder.

use std::any::{Any, TypeId};
use std::sync::Arc;

use crate::backend::{Backend, Connection};
use crate::bind::Bind;
use crate::config::{BindOptions, Setup, Timeouts};
use crate::gid::UnitClock;
use crate::pool::Pool;
use crate::registry::entry::AfterBegin;
use crate::registry::{AnyEntry, Entry};

/// A bind as it was given.
pub(super) struct Pending {
    pub(super) who: Who,
    pub(super) backend: Backend,
    pub(super) place: Place,
}

/// Which bind it is.
#[derive(Clone, Copy)]
pub(super) struct Who {
    pub(super) key: &'static str,
    /// Its type, where it has one: a bind that is registered by its key alone has none, and no session.
    pub(super) id: Option<TypeId>,
}

pub(super) enum Place {
    /// A pool of its own.
    Own {
        options: BindOptions,
        make: Box<dyn FnOnce(Common) -> Arc<dyn AnyEntry> + Send>,
    },
    /// The connection of another bind.
    Shared {
        with: Who,
        /// The file to attach, where it is not in the other's database.
        path: Option<String>,
    },
    /// Something is wrong with it, and already noted.
    Broken,
}

/// A file that is attached to the connection of another bind.
pub(super) struct Attachment {
    pub(super) to: Who,
    pub(super) who: Who,
    pub(super) path: String,
}

/// What every entry gets.
pub(super) struct Common {
    pub(super) options: BindOptions,
    /// Hooks, each of the connection type of the entry.
    pub(super) after_begin: Vec<Box<dyn Any + Send>>,
    pub(super) namespace: Arc<str>,
    pub(super) alone: bool,
    pub(super) timeouts: Timeouts,
    pub(super) clock: Arc<UnitClock>,
}

impl Who {
    pub(super) fn of<B: Bind>() -> Self {
        Self {
            key: B::KEY,
            id: Some(TypeId::of::<B>()),
        }
    }

    /// Whether both are one bind: by the type where both have one, because a key may be registered by mistake for two.
    pub(super) fn is(self, other: Self) -> bool {
        match (self.id, other.id) {
            (Some(one), Some(two)) => one == two,
            _ => self.key == other.key,
        }
    }
}

impl Place {
    /// Whose connection the bind has.
    pub(super) fn owner(&self, bind: Who) -> Who {
        match self {
            Self::Shared { with, .. } => *with,
            Self::Own { .. } | Self::Broken => bind,
        }
    }

    /// A pool of its own.
    pub(super) fn own<C: Connection>(
        key: &'static str,
        pool: Box<dyn Pool<C>>,
        options: BindOptions,
        setup: Option<Arc<Setup<C>>>,
    ) -> Self {
        let make = move |common: Common| -> Arc<dyn AnyEntry> {
            let after_begin = common.after_begin.into_iter().map(|hook| {
                *hook
                    .downcast::<AfterBegin<C>>()
                    .expect("a hook is given for a bind, which has one connection type")
            });
            let entry = Entry::new(
                key,
                pool,
                common.options,
                after_begin.collect(),
                common.namespace,
                common.alone,
                common.timeouts,
            );
            Arc::new(entry.opened_by(setup).stamped_by(common.clock))
        };
        Self::Own {
            options,
            make: Box::new(make),
        }
    }
}
