//! A synchronous standby of PostgreSQL that is away, and the state that it has.
//!
//! The server waits for a standby that does not exist. From then on no commit is confirmed, and a failover would lose
//! the unconfirmed ones.

use std::time::Duration;

use diesel_binds::UnitId;
use kit::admin::Admin;
use tokio::time::sleep;

use crate::unit::CommitReport;

/// The state of a standby when it went away.
#[derive(Debug, Default)]
pub(crate) struct StandbyState {
    /// The units that the server had decided to commit.
    decided: Vec<String>,
    /// The units that the server had prepared.
    prepared: Vec<String>,
    /// The rows.
    rows: Vec<String>,
}

/// Makes the commits of a server wait for a standby that is away. Returns when they do.
pub(crate) async fn leaves(url: &str) -> StandbyState {
    set(url, "diesel_binds_nobody").await;
    let mut admin = Admin::connect(url).await;
    let waiting = "SELECT pid::text AS value FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    // The server applies the setting a moment later.
    'waiting: loop {
        let url = url.to_owned();
        let probe = tokio::spawn(async move {
            let probe = "SELECT pg_logical_emit_message(true, 'probe', '')";
            let _ = Admin::connect(&url).await.run(probe).await;
        });
        while !probe.is_finished() {
            if !admin.values(waiting).await.unwrap().is_empty() {
                break 'waiting;
            }
        }
    }
    let decided = "SELECT unit AS value FROM diesel_binds_decision WHERE outcome = 'commit'";
    let prepared = "SELECT split_part(gid, ':', 3) AS value FROM pg_prepared_xacts \
                    WHERE database = current_database()";
    let rows = "SELECT text AS value FROM notes";
    StandbyState {
        decided: admin.values(decided).await.unwrap(),
        prepared: admin.values(prepared).await.unwrap(),
        rows: admin.values(rows).await.unwrap(),
    }
}

/// Ends the absence of the standby, which then has everything: nothing waits any more.
pub(crate) async fn returns(url: &str) {
    set(url, "").await;
    let mut admin = Admin::connect(url).await;
    let waiting = "SELECT pid::text AS value FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while !admin.values(waiting).await.unwrap().is_empty() {
        sleep(Duration::from_millis(2)).await;
    }
}

async fn set(url: &str, standby: &str) {
    let mut admin = Admin::connect(url).await;
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
    admin.run(&set).await.unwrap();
    admin.run("SELECT pg_reload_conf()").await.unwrap();
}

impl StandbyState {
    /// Returns the problem while the standby of the bind `key` is away: something relies on state that a failover to it
    /// would lose. `others` are the rows of the other writers.
    ///
    /// If waits are `ended`, a branch that was finished on the server comes back prepared after a failover.
    pub(crate) fn judge(
        &self,
        (unit, reported): &(UnitId, CommitReport),
        text: &str,
        others: &[Vec<String>],
        (key, ended): (&str, bool),
    ) -> Option<String> {
        let unit = unit.to_string();
        let has_ended = self.decided.contains(&unit) || self.rows.iter().any(|row| row == text);
        let is_safe = has_ended || self.prepared.contains(&unit);
        if let CommitReport::Committed { pending } = reported {
            let is_pending = pending.iter().any(|named| named == key);
            if !is_safe || !(has_ended || is_pending || ended) {
                return Some(format!(
                    "{reported}, and the standby of {key} does not have it"
                ));
            }
        }
        if is_safe {
            return None;
        }
        let kept = others.iter().any(|rows| rows.iter().any(|row| row == text));
        kept.then(|| {
            format!("others keep it, and the standby of {key} does not have it: {reported}")
        })
    }
}
