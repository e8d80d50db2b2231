//! The servers of the service, and what an operator or an accident does to them.

use kit::admin::Admin;
use kit::certificates::Shown;
use kit::database::Database;
use kit::prepared;
use kit::secure_mariadb::SecureMariadb;
use kit::secure_postgres::SecurePostgres;

use crate::bank;

/// The role of the service on both servers, which is not the administrator.
const ROLE: &str = "day";

/// Both servers and the file.
pub(crate) struct Servers {
    postgres: SecurePostgres,
    mariadb: SecureMariadb,
    file: Database,
}

impl Servers {
    /// Starts the servers, and creates the accounts.
    pub(crate) async fn start() -> Self {
        let (postgres, mariadb) = tokio::join!(SecurePostgres::start(), SecureMariadb::start());
        let servers = Self {
            postgres,
            mariadb,
            file: Database::sqlite(),
        };
        let statements = [
            vec![
                format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}-secret'"),
                format!("ALTER DATABASE shop OWNER TO {ROLE}"),
            ],
            vec![
                format!("CREATE USER {ROLE}@'%' IDENTIFIED BY '{ROLE}-secret'"),
                format!("GRANT ALL ON shop.* TO {ROLE}@'%'"),
            ],
        ];
        for (bank, statements) in statements.iter().enumerate() {
            let mut admin = servers.admin(bank).await;
            for statement in statements {
                admin.run(statement).await.expect("an administrator may");
            }
        }
        let binds = bank::binds(&servers.urls());
        binds.install().await.expect("the tables of the protocol");
        servers.create().await;
        binds.close().await;
        servers
    }

    /// Creates the accounts.
    async fn create(&self) {
        for (bank, kind) in ["postgres", "mysql", "sqlite"].into_iter().enumerate() {
            let mut admin = self.admin(bank).await;
            let created = admin.run(&bank::schema(kind)).await;
            created.expect("an administrator creates tables");
        }
        let mut postgres = self.admin(0).await;
        for table in ["accounts", "legs"] {
            let owner = format!("ALTER TABLE {table} OWNER TO {ROLE}");
            postgres.run(&owner).await.expect("an administrator may");
        }
    }

    /// Returns the URLs of the service, in the order of `bank::KEYS`.
    pub(crate) fn urls(&self) -> Vec<String> {
        let account = |url: String| url.replace("app:app-secret", &format!("{ROLE}:{ROLE}-secret"));
        let root = self.mariadb.certificates.certificate("root");
        let verified = format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={}", root.display());
        vec![
            account(self.postgres.url("shop", &self.postgres.verified())),
            account(self.mariadb.url("shop", &verified)),
            self.file.url().to_owned(),
        ]
    }

    /// Connects as the administrator of a bank.
    pub(crate) async fn admin(&self, bank: usize) -> Admin {
        match bank {
            0 => self.postgres.admin("shop").await,
            1 => self.mariadb.admin("shop").await,
            _ => Admin::connect(self.file.url()).await,
        }
    }

    pub(crate) async fn stop(&mut self, bank: usize) {
        match bank {
            0 => self.postgres.stop().await,
            _ => self.mariadb.stop().await,
        }
    }

    pub(crate) async fn kill(&mut self, bank: usize) {
        match bank {
            0 => self.postgres.kill().await,
            _ => self.mariadb.kill().await,
        }
    }

    pub(crate) async fn run(&mut self, bank: usize) {
        match bank {
            0 => self.postgres.run().await,
            _ => self.mariadb.run().await,
        }
    }

    pub(crate) async fn show(&self, bank: usize, shown: Shown) {
        match bank {
            0 => self.postgres.shows(shown).await,
            _ => self.mariadb.shows(shown).await,
        }
    }

    /// Makes the server refuse writes of the service, or take them again.
    pub(crate) async fn read_only(&self, bank: usize, is_read_only: bool) {
        let value = if is_read_only { "ON" } else { "OFF" };
        let statements = match bank {
            0 => vec![
                format!("ALTER SYSTEM SET default_transaction_read_only = {value}"),
                "SELECT pg_reload_conf()".to_owned(),
            ],
            _ => vec![format!("SET GLOBAL read_only = {value}")],
        };
        let mut admin = self.admin(bank).await;
        for statement in statements {
            admin.run(&statement).await.expect("an administrator may");
        }
    }

    /// Returns the numbers of the connections of the service.
    pub(crate) async fn connections(&self, bank: usize) -> Vec<i64> {
        let query = match bank {
            0 => {
                format!("SELECT pid::text AS value FROM pg_stat_activity WHERE usename = '{ROLE}'")
            }
            1 => format!(
                "SELECT CAST(ID AS CHAR) AS value FROM information_schema.processlist WHERE USER = '{ROLE}'"
            ),
            _ => return Vec::new(),
        };
        let listed = self.admin(bank).await.values(&query).await;
        let listed = listed.expect("an administrator sees all sessions");
        let numbers = listed.iter().map(|id| id.parse().expect("a number"));
        numbers.collect()
    }

    /// Returns the states of the connections of the service that have an open transaction.
    pub(crate) async fn open(&self, bank: usize) -> Vec<String> {
        let query = match bank {
            0 => format!(
                "SELECT concat_ws(' ', pid, state, query) AS value FROM pg_stat_activity \
                 WHERE usename = '{ROLE}' AND xact_start IS NOT NULL"
            ),
            1 => format!(
                "SELECT CONCAT_WS(' ', p.ID, trx_state, trx_query) AS value \
                 FROM information_schema.innodb_trx \
                 JOIN information_schema.processlist p ON p.ID = trx_mysql_thread_id \
                 WHERE p.USER = '{ROLE}'"
            ),
            _ => return Vec::new(),
        };
        let listed = self.admin(bank).await.values(&query).await;
        listed.expect("an administrator sees all transactions")
    }

    /// Ends all sessions of the service.
    pub(crate) async fn end_sessions(&self, bank: usize) {
        let ids = self.connections(bank).await;
        let mut admin = self.admin(bank).await;
        for id in ids {
            let end = match bank {
                0 => format!("SELECT pg_terminate_backend({id})"),
                _ => format!("KILL {id}"),
            };
            // It may have ended since then.
            let _ = admin.run(&end).await;
        }
    }

    /// Returns the prepared branches of a bank.
    pub(crate) async fn prepared(&self, bank: usize) -> Vec<String> {
        match bank {
            0 => {
                let query = "SELECT gid AS value FROM pg_prepared_xacts";
                let listed = self.admin(bank).await.values(query).await;
                listed.expect("an administrator sees all branches")
            }
            1 => prepared::all_listed(&self.mariadb.socket("shop")).await,
            _ => Vec::new(),
        }
    }
}
