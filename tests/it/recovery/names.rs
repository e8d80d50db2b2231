//! Branches with foreign names: any client that may prepare a transaction on the server chooses its name.

use std::time::Duration;

use kit::admin::Admin;
use kit::application::{Application, Left};

#[tokio::test]
async fn the_name_of_a_strangers_branch_is_never_part_of_a_statement() {
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let unit = gid.unit().to_string();
    let mut strangers = Vec::new();
    for bqual in [
        "it's",
        "'#",
        "' UNION SELECT 1,2,3,4 #",
        "\\",
        "my-a'; DROP TABLE notes #",
    ] {
        for namespace in [&*application.namespace, "other"] {
            let hexadecimal: String = bqual.bytes().map(|byte| format!("{byte:02x}")).collect();
            let xid = format!("'{namespace}:{unit}',0x{hexadecimal},1145188401");
            let mut stranger = Admin::connect(application.mariadb().url()).await;
            let prepare = format!(
                "XA START {xid}; INSERT INTO notes (text) VALUES ('of stranger {}'); XA END {xid}; XA PREPARE {xid}",
                strangers.len()
            );
            stranger.run(&prepare).await.unwrap();
            strangers.push((stranger, xid));
        }
    }
    let process = application.process().await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    for (stranger, xid) in &mut strangers {
        stranger.run(&format!("XA ROLLBACK {xid}")).await.unwrap();
    }
    assert!(pass.is_complete(), "{pass}");
    assert!(!application.is_prepared(&gid).await);
    assert!(application.is_kept(&gid).await);
}

#[tokio::test]
async fn a_branch_of_almost_our_name_is_not_called_finished() {
    let application = Application::new().await;
    let process = application.process().await;
    let unit = process.session().unit().to_string();
    let holder = application.id(application.file()).await;
    let hyphenated = |id: &str| {
        let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
        parts.join("-")
    };
    let of = |unit: &str, holder: &str, parts: &str| {
        format!(
            "db1:{}:{unit}:lite:{holder}:pg-a:{parts}",
            application.namespace
        )
    };
    let names = [
        of(&hyphenated(&unit), &holder, "2"),
        of(&unit, &hyphenated(&holder), "2"),
        of(&unit.to_uppercase(), &holder, "2"),
        of(&unit, &holder, "02"),
        of(&unit, &holder, "+2"),
        of(&unit, &holder, "0"),
    ];
    let mut stranger = Admin::connect(application.postgres().url()).await;
    for (number, name) in names.iter().enumerate() {
        let prepare = format!(
            "BEGIN; INSERT INTO notes (text) VALUES ('of stranger {number}'); PREPARE TRANSACTION '{name}'"
        );
        stranger.run(&prepare).await.unwrap();
    }
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    for name in &names {
        stranger
            .run(&format!("ROLLBACK PREPARED '{name}'"))
            .await
            .unwrap();
    }
    assert!(!pass.to_string().contains("finished"), "{pass}");
}
