//! The migration that creates the tables of the commit protocol, for each kind of server.

use crate::backend::Backend;

/// The Diesel migration that creates the tables of the commit protocol in a database. See
/// [`Backend::protocol_migration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProtocolMigration {
    /// The name of the migration's folder, which is the same for every kind of server.
    pub name: &'static str,
    /// The statements of its `up.sql`.
    pub up: &'static str,
    /// The statements of its `down.sql`.
    pub down: &'static str,
}

impl Backend {
    /// Returns the migration that creates the tables of the commit protocol on this kind of server.
    ///
    /// [`Binds::install`](crate::Binds::install) creates the same tables without a migration. `diesel-binds init`
    /// writes this migration into the folder of each bind.
    #[must_use]
    pub const fn protocol_migration(self) -> ProtocolMigration {
        macro_rules! migration {
            ($server:literal) => {
                ProtocolMigration {
                    name: ProtocolMigration::NAME,
                    up: include_str!(concat!(
                        "../../migrations/",
                        $server,
                        "/2026-01-01-000000_diesel_binds/up.sql"
                    )),
                    down: include_str!(concat!(
                        "../../migrations/",
                        $server,
                        "/2026-01-01-000000_diesel_binds/down.sql"
                    )),
                }
            };
        }
        match self {
            Self::Postgres => migration!("postgres"),
            Self::Mysql => migration!("mysql"),
            Self::Sqlite => migration!("sqlite"),
        }
    }
}

impl ProtocolMigration {
    /// The name of the migration's folder in every project.
    pub(crate) const NAME: &'static str = "2026-01-01-000000_diesel_binds";
}
