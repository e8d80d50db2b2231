//! Migrations that the application gives to the builder.

use std::sync::Arc;

use diesel::migration::MigrationSource;
use diesel_async::AsyncConnectionCore;

use crate::backend::migrate::Migratable;
use crate::bind::Bind;
use crate::registry::builder::BindsBuilder;

impl BindsBuilder {
    /// Registers the migrations of a bind, usually those of `embed_migrations!`. They run only by
    /// [`binds.migrations()`](crate::Binds::migrations).
    ///
    /// A bind whose file is attached has migrations of its own, which run on that file alone.
    #[cfg_attr(docsrs, doc(cfg(feature = "migrations")))]
    pub fn migrations<B>(
        mut self,
        _: B,
        migrations: impl MigrationSource<<B::Connection as AsyncConnectionCore>::Backend>
        + Send
        + Sync
        + 'static,
    ) -> Self
    where
        B: Bind<Connection: Migratable>,
    {
        self.migrations.add::<B>(Arc::new(migrations));
        self
    }

    /// Declares that the migrations of `B` need a migration of another bind `Needs`. The version is the name of its
    /// folder, or the part before the first underscore.
    ///
    /// `Needs` is then migrated before `B`. If `B` is migrated alone, `Needs` must already be at that version. `Needs`
    /// is not reverted below it while a migration of `B` is applied.
    #[cfg_attr(docsrs, doc(cfg(feature = "migrations")))]
    pub fn migrations_need<B: Bind, Needs: Bind>(
        mut self,
        _: B,
        (_, version): (Needs, &str),
    ) -> Self {
        self.migrations.add_need::<B, Needs>(version);
        self
    }
}
