//! Migrations, as the application gives them.

use std::sync::Arc;

use diesel::migration::MigrationSource;
use diesel_async::AsyncConnectionCore;

use crate::backend::migrate::Migratable;
use crate::bind::Bind;
use crate::registry::builder::BindsBuilder;

impl BindsBuilder {
    /// Gives the migrations of a bind: those of `embed_migrations!`, most often. They are run by
    /// [`binds.migrations()`](crate::Binds::migrations), and not before.
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

    /// States that the migrations of `B` need a migration of another bind: the bind `Needs`, and the version, which is the
    /// name of its folder, or the part before the first underscore.
    ///
    /// `Needs` is then migrated before `B`; alone, `B` is not migrated before `Needs` is at that version; and `Needs` is
    /// not reverted below it while a migration of `B` is applied.
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
