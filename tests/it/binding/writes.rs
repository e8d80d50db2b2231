//! Queries that write.

use diesel::prelude::*;
use diesel_binds::{Error, RunQueryDsl, SaveChangesDsl, Session};

use super::schema::{NewUser, User, archive, other, posts, user, users};
use super::{both, world};

async fn names(session: &Session) -> Vec<String> {
    let names = users::table.select(users::name).order(users::id);
    names.load(session).await.unwrap()
}

#[tokio::test]
async fn a_row_is_inserted_where_its_table_is() {
    let world = both().await;
    let mut session = world.session();
    for values in [NewUser { name: "eve" }, NewUser { name: "fay" }] {
        let inserted = diesel::insert_into(users::table)
            .values(&values)
            .execute(&session)
            .await;
        assert_eq!(inserted.unwrap(), 1);
    }
    user(9, "gus", None)
        .insert_into(users::table)
        .execute(&session)
        .await
        .unwrap();
    assert_eq!(session.commit_all().await.unwrap().binds(), ["main"]);
    diesel::insert_into(other::users::table)
        .values((other::users::name.eq("yan"), other::users::boss_id.eq(1)))
        .execute(&session)
        .await
        .unwrap();
    assert_eq!(session.commit_all().await.unwrap().binds(), ["other"]);

    let session = world.session();
    assert_eq!(
        names(&session).await,
        ["ann", "bob", "cid", "dan", "eve", "fay", "gus"]
    );
    let others: i64 = other::users::table
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(others, 2);
}

#[tokio::test]
async fn rows_are_inserted_from_a_select() {
    let world = world().await;
    let session = world.session();
    let staff = users::table
        .filter(users::boss_id.is_not_null())
        .select((users::id, users::name));
    let inserted = staff
        .insert_into(archive::table)
        .into_columns((archive::id, archive::name))
        .execute(&session)
        .await
        .unwrap();
    assert_eq!(inserted, 3);
    let inserted = diesel::insert_into(archive::table)
        .values(
            users::table
                .filter(users::id.eq(1))
                .select((users::id, users::name)),
        )
        .into_columns((archive::id, archive::name))
        .execute(&session)
        .await
        .unwrap();
    assert_eq!(inserted, 1);
    let archived: i64 = archive::table.count().get_result(&session).await.unwrap();
    assert_eq!(archived, 4);
}

#[tokio::test]
async fn models_and_queries_are_updated() {
    let world = world().await;
    let session = world.session();
    let bob: User = users::table.find(2).first(&session).await.unwrap();
    let by_model = diesel::update(&bob)
        .set(users::name.eq("bea"))
        .execute(&session)
        .await;
    assert_eq!(by_model.unwrap(), 1);
    let by_query = diesel::update(users::table.filter(users::boss_id.eq(1)))
        .set(users::boss_id.eq(None::<i32>))
        .execute(&session)
        .await;
    assert_eq!(by_query.unwrap(), 2);
    let by_changeset = diesel::update(users::table.find(4))
        .set(&user(4, "don", None))
        .execute(&session)
        .await;
    assert_eq!(by_changeset.unwrap(), 1);
    let boxed = diesel::update(users::table)
        .set(users::boss_id.eq(1))
        .into_boxed();
    assert_eq!(
        boxed
            .filter(users::id.gt(3))
            .execute(&session)
            .await
            .unwrap(),
        1
    );
    let rows: Vec<User> = users::table.order(users::id).load(&session).await.unwrap();
    let expected = [
        user(1, "ann", None),
        user(2, "bea", None),
        user(3, "cid", None),
        user(4, "don", 1),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn save_changes_returns_the_row_as_it_is_then() {
    let world = world().await;
    let session = &mut world.session();
    let mut bob: User = users::table.find(2).first(session).await.unwrap();
    bob.name = "bea".into();
    let saved: User = bob.save_changes(session).await.unwrap();
    assert_eq!(saved, user(2, "bea", 1));
    assert_eq!(names(session).await, ["ann", "bea", "cid", "dan"]);
    let nobody = user(99, "who", None);
    let missing = nobody.save_changes::<User>(session).await;
    assert!(matches!(
        missing,
        Err(Error::Query {
            bind: "main",
            source: diesel::result::Error::NotFound
        })
    ));
}

#[tokio::test]
async fn models_and_queries_are_deleted() {
    let world = world().await;
    let session = world.session();
    let dan: User = users::table.find(4).first(&session).await.unwrap();
    assert_eq!(diesel::delete(&dan).execute(&session).await.unwrap(), 1);
    let found = diesel::delete(users::table.find(3)).execute(&session).await;
    assert_eq!(found.unwrap(), 1);
    let boxed = diesel::delete(users::table)
        .into_boxed()
        .filter(users::name.eq("bob"));
    assert_eq!(boxed.execute(&session).await.unwrap(), 1);
    assert_eq!(names(&session).await, ["ann"]);
    let all = diesel::delete(posts::table).execute(&session).await;
    assert_eq!(all.unwrap(), 3);
}

#[tokio::test]
async fn a_failed_write_names_its_bind() {
    let world = world().await;
    let session = world.session();
    let taken = diesel::insert_into(users::table)
        .values(NewUser { name: "ann" })
        .execute(&session)
        .await
        .unwrap_err();
    assert_eq!(taken.bind(), Some("main"));
    assert!(matches!(
        taken.kind(),
        Some(diesel::result::DatabaseErrorKind::UniqueViolation)
    ));
    assert!(taken.diesel().is_some() && !taken.is_rolled_back());
}
