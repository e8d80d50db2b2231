//! The actions of an operator on a server beside a unit: cancels statements, ends sessions, moves a horizon.

use std::fmt::Write as _;
use std::time::Duration;

use diesel_binds::UnitId;
use kit::admin::Admin;
use tokio_util::sync::CancellationToken;

/// Selects from the sessions of all other clients in the database.
const OTHERS_OF_POSTGRES: &str = "FROM pg_stat_activity WHERE datname = current_database() \
                                  AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
const OTHERS_OF_MYSQL: &str =
    "FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()";

/// MySQL runs a loop only in a procedure. An error of the cursor would not end the inner loop, so the time does.
const CANCEL_OTHERS: &str = "CREATE PROCEDURE IF NOT EXISTS cancel_others(IN lasts BIGINT) BEGIN \
    DECLARE stop DATETIME(6) DEFAULT SYSDATE(6) + INTERVAL lasts MICROSECOND; \
    DECLARE other BIGINT UNSIGNED; \
    DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; \
    WHILE SYSDATE(6) < stop DO BEGIN \
        DECLARE done INTEGER DEFAULT 0; \
        DECLARE others CURSOR FOR SELECT ID \
            FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID(); \
        DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1; \
        OPEN others; \
        FETCH others INTO other; \
        WHILE done = 0 AND SYSDATE(6) < stop DO KILL QUERY other; FETCH others INTO other; END WHILE; \
        CLOSE others; \
    END; END WHILE; END";

/// A connection to one database, as administrator.
pub(crate) struct Operator {
    admin: Admin,
    mysql: bool,
}

impl Operator {
    pub(crate) async fn connect(url: &str) -> Self {
        Self {
            admin: Admin::connect(url).await,
            mysql: url.starts_with("mysql"),
        }
    }

    /// Ends the sessions of all other clients of the database.
    pub(crate) async fn kill_sessions(&mut self) {
        let (select, others) = if self.mysql {
            ("CAST(ID AS CHAR)", OTHERS_OF_MYSQL)
        } else {
            ("pg_terminate_backend(pid)::text", OTHERS_OF_POSTGRES)
        };
        let all = format!("SELECT {select} AS value {others}");
        for id in self.admin.values(&all).await.unwrap() {
            if self.mysql {
                // The session may be gone by now.
                let _ = self.admin.run(&format!("KILL {id}")).await;
            }
        }
    }

    /// Cancels every statement of other clients in the database for this time. The loop runs on the server, because a
    /// statement of a commit is shorter than a round trip.
    pub(crate) async fn cancel_for(&mut self, time: Duration) {
        let time = time.as_micros();
        let cancelling = if self.mysql && !self.is_mariadb().await {
            self.admin.run(CANCEL_OTHERS).await.unwrap();
            format!("CALL cancel_others({time})")
        } else if self.mysql {
            format!(
                "BEGIN NOT ATOMIC DECLARE stop DATETIME(6) DEFAULT SYSDATE(6) + INTERVAL {time} MICROSECOND; \
                 DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; \
                 WHILE SYSDATE(6) < stop DO FOR other IN (SELECT ID {OTHERS_OF_MYSQL}) DO \
                 KILL QUERY other.ID; END FOR; END WHILE; END"
            )
        } else {
            // Within a transaction, the list of sessions would stay as it was first read.
            format!(
                "DO $$ DECLARE stop timestamptz := clock_timestamp() + interval '{time} microseconds'; BEGIN \
                 WHILE clock_timestamp() < stop LOOP PERFORM pg_stat_clear_snapshot(); \
                 PERFORM pg_cancel_backend(pid) {OTHERS_OF_POSTGRES}; END LOOP; END $$"
            )
        };
        self.admin.run(&cancelling).await.unwrap();
    }

    async fn is_mariadb(&mut self) -> bool {
        let versions = self.admin.values("SELECT VERSION() AS value").await;
        versions.unwrap()[0].contains("MariaDB")
    }

    /// Ends all sessions on PostgreSQL that wait for a standby, which makes their commits visible.
    pub(crate) async fn end_waits(mut self, end: CancellationToken) {
        let waiting = "SELECT pg_terminate_backend(pid)::text AS value FROM pg_stat_activity \
                       WHERE wait_event = 'SyncRep' AND datname = current_database()";
        while !end.is_cancelled() {
            self.admin.values(waiting).await.unwrap();
        }
    }
}

/// Moves the horizon of the application to a unit in each of these databases, or deletes it. A locked horizon is not
/// changed.
pub(crate) async fn move_horizons(urls: &[String], namespace: &str, to: Option<UnitId>) {
    for url in urls {
        let mut admin = Admin::connect(url).await;
        if url.starts_with("mysql") {
            let limits = "SET SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1";
            admin.run(limits).await.unwrap();
        }
        let mut move_it =
            format!("DELETE FROM diesel_binds_horizon WHERE namespace = '{namespace}'");
        if let Some(unit) = to {
            let _ = write!(
                move_it,
                "; INSERT INTO diesel_binds_horizon (namespace, unit, moved_at) VALUES ('{namespace}', '{unit}', 0)"
            );
        }
        // Fails on SQLite while the unit has locked the file.
        let _ = admin.run(&move_it).await;
    }
}
