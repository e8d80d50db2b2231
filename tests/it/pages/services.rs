//! The code of `docs/services.md`.

mod shared {
    use diesel_binds::{AsyncSqliteConnection, Bind, bind_tables};

    #[derive(Bind)]
    #[bind(key = "ledger", connection = AsyncSqliteConnection)]
    pub struct Ledger;

    diesel::table! { entries (id) { id -> Integer, amount -> BigInt, } }
    bind_tables!(Ledger => entries);
}

mod scopes {
    use super::shared::{Ledger, entries};

    use diesel::prelude::*;
    use diesel_binds::{Binds, Commit, Error, RunQueryDsl, current};

    async fn note(amount: i64) -> Result<(), Error> {
        diesel::insert_into(entries::table)
            .values(entries::amount.eq(amount))
            .execute(&current()?)
            .await?;
        Ok(())
    }

    async fn job(binds: &Binds) -> Result<Commit, Error> {
        binds
            .scope(async {
                note(30).await?;
                note(-30).await?;
                current()?.commit_all().await
            })
            .await
    }

    #[tokio::test]
    async fn a_scope_commits_what_its_functions_did() {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("ledger.db");
        let binds = Binds::builder().bind(Ledger, diesel_binds::Source::url(url.to_str().unwrap()));
        let binds = binds.build().unwrap();
        let mut session = binds.session();
        let table = "CREATE TABLE entries (id INTEGER PRIMARY KEY, amount BIGINT NOT NULL)";
        diesel::sql_query(table)
            .execute(&session.on(Ledger))
            .await
            .unwrap();
        session.commit_all().await.unwrap();
        let _ = job(&binds).await.unwrap();
        let count: i64 = entries::table.count().get_result(&session).await.unwrap();
        assert_eq!(count, 2);
    }
}

mod layer {
    use diesel_binds::{Binds, Error, current, web::BindsLayer};
    use http::{Request, Response};
    use tower::{Service, ServiceBuilder, service_fn};

    async fn handle(_: Request<String>) -> Result<Response<String>, Error> {
        // Queries on `&current()?`, here and in all that is called from here.
        current()?.commit_all().await?;
        Ok(Response::new("done".to_owned()))
    }

    fn service(
        binds: Binds,
    ) -> impl Service<Request<String>, Response = Response<String>, Error = Error> {
        ServiceBuilder::new()
            .layer(BindsLayer::new(binds))
            .service(service_fn(handle))
    }
}

mod extractors {
    use super::shared::entries;

    use axum::{Router, extract::State, routing};
    use diesel::prelude::*;
    use diesel_binds::{Binds, Error, RunQueryDsl, Scope, Session, web::BindsLayer};

    /// A session of its own, as an explicit value: it needs no layer, and is rolled back unless it is committed.
    async fn explicit(mut session: Session) -> Result<(), Error> {
        diesel::delete(entries::table).execute(&session).await?;
        session.commit_all().await?;
        Ok(())
    }

    /// The session of the layer, which commits it: the same as `current()?`.
    async fn scoped(scope: Scope) -> Result<String, Error> {
        let rows: i64 = entries::table.count().get_result(&scope).await?;
        Ok(rows.to_string())
    }

    /// All binds, for any number of units.
    async fn stated(State(binds): State<Binds>) -> Result<(), Error> {
        binds
            .transaction(async |session| {
                diesel::delete(entries::table).execute(session).await?;
                Ok(())
            })
            .await
    }

    fn router(binds: Binds) -> Router {
        let on_success = BindsLayer::new(binds.clone()).commit_on_success();
        Router::new()
            .route("/explicit", routing::post(explicit))
            .route("/scoped", routing::get(scoped).layer(on_success))
            .route("/stated", routing::post(stated))
            .with_state(binds) // or a state of your own, with `FromRef` for `Binds`
    }
}
