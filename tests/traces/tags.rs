//! The comment by which a transaction is tagged on the servers.

use diesel::dsl::sql;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl as _;
use diesel_binds::Binds;
use diesel_binds::build::BuildProblem;
use kit::side::{PostgresB, Side};
use kit::world::Sides;

use crate::connections::pool;
use crate::spans::{All, builder, named, record};

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_begins_with_a_comment_if_that_was_asked_for() {
    let databases = All::databases().await;
    for tagged in [false, true] {
        // The text of a batch is traced only with its values.
        let mut builder = builder(&databases).await.trace_parameters();
        if tagged {
            builder = builder.tag_transactions();
        }
        let binds = builder.build().unwrap();
        let mut unit = None;
        let recorded = record(async {
            let mut session = binds.session();
            unit = Some(session.unit());
            All::write(&session, &format!("tagged: {tagged}"))
                .await
                .unwrap();
            session.commit_all().await.unwrap();
        })
        .await;
        for bind in All::keys() {
            let tag = format!(
                "/*application='traces',bind='{bind}',unit='{}'*/ ",
                unit.unwrap()
            );
            let begins = named(&recorded, "statement")
                .into_iter()
                .filter(|recorded| recorded.field("db.query.text").starts_with(&tag))
                .count();
            assert_eq!(begins, usize::from(tagged), "{bind}: {recorded:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_names_the_unit_until_its_transaction_ends() {
    let database = PostgresB::database().await;
    let pool = pool(&database).await;
    let binds = Binds::builder()
        .bind(PostgresB, pool.clone())
        .tag_transactions()
        .build()
        .unwrap();
    for commits in [false, true] {
        let mut session = binds.session();
        let name = "SELECT current_setting('application_name') AS text";
        let name = PostgresB::text(&session, name).await.unwrap();
        assert_eq!(name, format!("{} pg-b", session.unit()));
        if commits {
            session.commit_all().await.unwrap();
        } else {
            session.rollback_all().await.unwrap();
        }
        let mut connection = pool.get().await.unwrap();
        let name = diesel::select(sql::<Text>("current_setting('application_name')"));
        let name: String = name.get_result(&mut connection).await.unwrap();
        assert_eq!(name, "");
    }
}

/// The namespace is put into the comment unchanged.
#[test]
fn nothing_that_would_end_the_comment_can_be_in_it() {
    for namespace in ["shop*/", "shop' */ DROP TABLE notes; /*", "sh op", "Shop"] {
        let builder = Binds::builder().namespace(namespace).tag_transactions();
        let refused = builder.build().unwrap_err();
        let problems = refused.problems();
        let is_named =
            |problem: &BuildProblem| matches!(problem, BuildProblem::InvalidNamespace { .. });
        assert!(problems.iter().any(is_named), "{namespace}: {refused}");
    }
}
