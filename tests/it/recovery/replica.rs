//! A replica is not asked for its branches: a branch that its list lacks may be in doubt on its primary.

use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::{BindOptions, Binds};
use kit::application::{Application, Left, Three};
use kit::servers::Server;
use kit::side::PoolKind;
use kit::standby::Standby;
use kit::world::Sides;

use crate::recovery::forget::{at_once, everything_lies_behind, is_recorded};

/// A hot standby of PostgreSQL lists no branch at all. A process that connects to it would take the branch for
/// finished, and delete the record that the primary needs.
#[tokio::test]
async fn a_record_stays_while_a_participant_is_a_standby() {
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let standby = Standby::of(Server::PostgresA).await;
    standby.catches_up(application.postgres().url()).await;
    let mut urls = application.urls();
    urls[0] = standby.url(&urls[0]);
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(at_once());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let misled = builder.build().unwrap();
    everything_lies_behind(&application).await;

    let pass = misled.recovery().run_older_than(Duration::ZERO).await;
    assert!(
        matches!(&pass.unreachable[..], [("pg-a", Fault::Replica { .. })]),
        "{pass}"
    );
    assert_eq!(pass.recovered.len(), 1, "that on MariaDB: {pass}");
    assert!(is_recorded(&application, &gid).await, "{pass}");
    assert!(application.is_prepared(&gid).await);

    let process = application.process_with(at_once()).await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert!(application.is_kept(&gid).await);
    assert!(!is_recorded(&application, &gid).await, "{pass}");
}
