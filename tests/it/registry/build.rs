//! `build()` finds every mistake before anything runs, and needs no server.

use diesel::ConnectionError;
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_binds::backend::Backend;
use diesel_binds::build::BuildProblem;
use diesel_binds::config::{HolderPreference, TlsProblem, UrlProblem};
use diesel_binds::{
    AsyncSqliteConnection, Bind, BindOptions, Binds, BindsBuilder, BuildError, Error, PoolOptions,
    RunQueryDsl, Source,
};

use crate::registry::binds::{
    Accounts, Archive, Cache, Ledger, NOWHERE_MYSQL, NOWHERE_POSTGRES, Orders, Unregistered,
    account, entry,
};

/// A bind that no derive accepts.
struct Unnameable;

impl Bind for Unnameable {
    const KEY: &'static str = "Not a key!";
    type Connection = AsyncSqliteConnection;
}

struct TooLong;

impl Bind for TooLong {
    const KEY: &'static str = "k23456789-123456789-123456789-123456789-1";
    type Connection = AsyncSqliteConnection;
}

struct Twin;

impl Bind for Twin {
    const KEY: &'static str = "accounts";
    type Connection = AsyncPgConnection;
}

struct Main;

impl Bind for Main {
    const KEY: &'static str = "main";
    type Connection = AsyncSqliteConnection;
}

fn problems(builder: BindsBuilder) -> Vec<BuildProblem> {
    match builder.build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().to_vec(),
    }
}

fn url_problem<B: Bind<Connection: diesel_binds::build::FromUrl> + Default>(
    url: &str,
) -> Option<UrlProblem> {
    let found = problems(Binds::builder().bind(B::default(), Source::url(url)));
    match found.as_slice() {
        [] => None,
        [BuildProblem::Url { bind, problem }] => {
            assert_eq!(*bind, B::KEY);
            Some(problem.clone())
        }
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let builder = Binds::builder()
        .bind(Accounts, Source::url("mysql://app@localhost/app"))
        .bind(Twin, Source::url(NOWHERE_POSTGRES))
        .bind(
            Ledger,
            Source::url("mysql://app@localhost/app?ssl-mode=VERIFY_CA"),
        )
        .bind(Unnameable, Source::url("cache.db"))
        .bind(Orders, Source::shared_with(Unregistered))
        .bind(
            Cache,
            Source::url("cache.db").options(BindOptions::new().holder(HolderPreference::Avoid)),
        )
        .bind(Main, Source::url("main.db").attach_to(Cache));
    let error = builder.build().unwrap_err();
    let expected = [
        BuildProblem::Url {
            bind: "accounts",
            problem: UrlProblem::WrongBackend {
                scheme: "mysql".into(),
                backend: Backend::Postgres,
            },
        },
        BuildProblem::Url {
            bind: "ledger",
            problem: UrlProblem::Tls(TlsProblem::Incomplete {
                parameter: "VERIFY_CA",
                missing: "ssl-ca",
            }),
        },
        BuildProblem::ReservedKey { key: "main" },
        BuildProblem::RepeatedKey { key: "accounts" },
        BuildProblem::InvalidKey {
            key: "Not a key!".into(),
        },
        BuildProblem::UnknownKey {
            bind: "orders",
            with: "unregistered",
        },
        BuildProblem::CannotAvoid { bind: "cache" },
        BuildProblem::NoNamespace,
    ];
    for problem in &expected {
        assert!(error.problems().contains(problem), "{problem:?} in {error}");
        assert!(error.to_string().contains(&problem.to_string()));
    }
    assert_eq!(error.problems().len(), expected.len(), "{error}");
}

#[test]
fn a_registry_without_binds_is_refused() {
    assert_eq!(problems(Binds::builder()), [BuildProblem::Empty]);
}

#[test]
fn a_bind_given_twice_is_a_repeated_key() {
    let builder = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Accounts, Source::url(NOWHERE_POSTGRES));
    assert_eq!(
        problems(builder),
        [BuildProblem::RepeatedKey { key: "accounts" }]
    );
}

#[test]
fn a_key_is_at_most_as_long_as_a_global_id_can_hold() {
    assert_eq!(TooLong::KEY.len(), 41);
    assert_eq!(
        problems(Binds::builder().bind(TooLong, Source::url("long.db"))),
        [BuildProblem::InvalidKey {
            key: TooLong::KEY.into()
        }]
    );
}

#[test]
fn a_connection_is_shared_only_with_a_bind_that_has_a_pool() {
    let chained = Binds::builder()
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Orders, Source::shared_with(Accounts))
        .bind(Unregistered, Source::shared_with(Orders));
    assert_eq!(
        problems(chained),
        [BuildProblem::UnknownKey {
            bind: "unregistered",
            with: "orders"
        }]
    );
    let itself = Binds::builder().bind(Orders, Source::shared_with(Orders));
    assert_eq!(
        problems(itself),
        [BuildProblem::UnknownKey {
            bind: "orders",
            with: "orders"
        }]
    );
}

#[test]
fn only_files_are_attached_and_only_under_names_of_their_own() {
    let builder = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Orders, Source::url("orders.db").attach_to(Accounts));
    assert!(matches!(
        problems(builder).as_slice(),
        [BuildProblem::Url {
            bind: "orders",
            problem: UrlProblem::WrongBackend { .. }
        }]
    ));
    let builder = Binds::builder()
        .bind(Cache, Source::url("cache.db"))
        .bind(Archive, Source::url("").attach_to(Cache));
    assert!(matches!(
        problems(builder).as_slice(),
        [BuildProblem::Url {
            bind: "archive",
            problem: UrlProblem::Invalid { .. }
        }]
    ));
}

#[test]
fn a_url_must_be_of_its_backend() {
    for url in ["mysql://app@localhost/app", "sqlite://app.db", "http://x"] {
        assert!(
            matches!(
                url_problem::<Accounts>(url),
                Some(UrlProblem::WrongBackend { .. })
            ),
            "{url}"
        );
    }
    for url in ["postgres://app@localhost/app", "app.db", "host=db user=app"] {
        assert!(
            matches!(
                url_problem::<Ledger>(url),
                Some(UrlProblem::WrongBackend { .. })
            ),
            "{url}"
        );
    }
    assert!(matches!(
        url_problem::<Cache>("postgres://app@localhost/app"),
        Some(UrlProblem::WrongBackend { .. })
    ));
}

#[test]
fn a_url_that_cannot_be_read_is_refused() {
    for url in [
        "postgres://app@localhost:port/app",
        "postgres://",
        "dbname=app",
        "rubbish",
        "",
    ] {
        assert!(
            matches!(
                url_problem::<Accounts>(url),
                Some(UrlProblem::Invalid { .. })
            ),
            "{url}"
        );
    }
    for url in [
        "mysql://app@localhost:port/app",
        "mysql://app@localhost",
        "mysql://app@localhost/",
        "mysql://app@localhost/app?nonsense=1",
    ] {
        assert!(
            matches!(url_problem::<Ledger>(url), Some(UrlProblem::Invalid { .. })),
            "{url}"
        );
    }
    assert!(matches!(
        url_problem::<Cache>(""),
        Some(UrlProblem::Invalid { .. })
    ));
}

#[test]
fn urls_in_every_usual_form_are_accepted() {
    for url in [
        NOWHERE_POSTGRES,
        "postgresql://app:p%40ss@db.example:5433/app?sslmode=prefer",
        "postgres://app@localhost/app?sslmode=disable&connect_timeout=3",
        "host=db.example user=app password=a://b dbname=app",
        "host=/var/run/postgresql dbname=app",
    ] {
        assert_eq!(url_problem::<Accounts>(url), None, "{url}");
    }
    for url in [NOWHERE_MYSQL, "mysql://app:p%40ss@db.example/app"] {
        assert_eq!(url_problem::<Ledger>(url), None, "{url}");
    }
    for url in [
        "app.db",
        "/srv/app.db",
        "sqlite://app.db",
        "sqlite://app.db?mode=rwc",
        "file:app.db",
        "file:///srv/app.db",
        "file::memory:?cache=shared",
        "file:app?mode=memory&cache=shared",
    ] {
        assert_eq!(url_problem::<Cache>(url), None, "{url}");
    }
}

/// Diesel does not support `mariadb://`.
#[test]
fn schemes_that_diesel_does_not_know_are_refused() {
    for url in ["mariadb://app@localhost/app", "MYSQL://app@localhost/app"] {
        let problem = url_problem::<Ledger>(url);
        assert!(
            matches!(problem, Some(UrlProblem::WrongBackend { .. })),
            "{url}"
        );
    }
    for url in ["POSTGRES://app@localhost/app", "psql://app@localhost/app"] {
        let problem = url_problem::<Accounts>(url);
        assert!(
            matches!(problem, Some(UrlProblem::WrongBackend { .. })),
            "{url}"
        );
    }
    for url in ["SQLITE://app.db", "sqlite3://app.db"] {
        let problem = url_problem::<Cache>(url);
        assert!(
            matches!(problem, Some(UrlProblem::WrongBackend { .. })),
            "{url}"
        );
    }
}

#[test]
fn a_parameter_of_sqlite_that_makes_units_unsafe_is_refused() {
    for (url, parameter) in [
        ("file:app.db?nolock=1", "nolock=1"),
        ("sqlite://app.db?mode=rwc&nolock=TRUE", "nolock=TRUE"),
        ("file:app.db?n%6Flock=y%65s#part", "nolock=yes"),
        ("file:app.db?nolock=0&nolock=1", "nolock=1"),
        ("file:///srv/app.db?immutable=1", "immutable=1"),
        ("file:app.db?vfs=unix-none", "vfs=unix-none"),
        ("file:app.db?vfs=unix-dotfile", "vfs=unix-dotfile"),
        ("file:app.db?vfs=unix-flock", "vfs=unix-flock"),
        ("file:app.db?vfs=unix-excl", "vfs=unix-excl"),
        ("file:app.db?cache=shared", "cache=shared"),
    ] {
        let builder = Binds::builder().bind(Cache, Source::url(url));
        let attached = Binds::builder()
            .bind(Cache, Source::url("cache.db"))
            .bind(Archive, Source::url(url).attach_to(Cache));
        let own_setup = Binds::builder().bind(
            Cache,
            Source::url(url).setup(|_| {
                Box::pin(async { Err(ConnectionError::BadConnection("not opened".into())) })
            }),
        );
        for (bind, builder) in [
            ("cache", builder),
            ("archive", attached),
            ("cache", own_setup),
        ] {
            let found = problems(builder);
            let [
                BuildProblem::Url {
                    bind: of,
                    problem:
                        UrlProblem::UnsafeParameter {
                            parameter: named, ..
                        },
                },
            ] = &found[..]
            else {
                panic!("{url}: {found:?}")
            };
            assert_eq!((*of, named.as_str()), (bind, parameter), "{url}");
            let text = found[0].to_string();
            assert!(text.contains(bind) && text.contains(parameter), "{text}");
        }
    }
    for url in [
        "nolock=1",
        "app.db?nolock=1",
        "file:app.db?nolock=0&immutable=off",
        "file:app.db?vfs=unix&cache=private&mode=rw",
        "file:app.db#nolock=1",
        "file:app?mode=memory&cache=shared",
        "file:/app?vfs=memdb",
    ] {
        assert_eq!(url_problem::<Cache>(url), None, "{url}");
    }
}

#[test]
fn a_pool_of_databases_in_memory_is_refused() {
    for url in [
        ":memory:",
        "sqlite://:memory:",
        "file::memory:",
        "file:app?mode=memory",
        "sqlite://app?mode=memory&cache=private",
    ] {
        assert_eq!(
            url_problem::<Cache>(url),
            Some(UrlProblem::OwnMemory),
            "{url}"
        );
    }
    for url in ["", "file:", "sqlite://", "file:?mode=rwc"] {
        let problem = url_problem::<Cache>(url);
        assert!(matches!(problem, Some(UrlProblem::Invalid { .. })), "{url}");
    }
    // A set-up of the application is responsible for its own connections.
    let own_setup = Binds::builder().bind(
        Cache,
        Source::url(":memory:").setup(|_| {
            Box::pin(async { Err(ConnectionError::BadConnection("not opened".into())) })
        }),
    );
    assert_eq!(problems(own_setup), []);
}

#[test]
fn a_namespace_is_needed_where_several_binds_may_prepare() {
    let missing = [BuildProblem::NoNamespace];
    let several = || {
        Binds::builder()
            .bind(Accounts, Source::url(NOWHERE_POSTGRES))
            .bind(Ledger, Source::url(NOWHERE_MYSQL))
    };
    assert_eq!(problems(several()), missing);
    assert_eq!(problems(several().namespace("app")), []);
    let with_a_file = Binds::builder()
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Cache, Source::url("cache.db"));
    assert_eq!(problems(with_a_file), missing);
    for wrong in ["", "App", "a b", "a:b", &"n".repeat(32)] {
        assert_eq!(
            problems(several().namespace(wrong)),
            [BuildProblem::InvalidNamespace {
                namespace: wrong.into()
            }]
        );
    }
}

#[test]
fn no_namespace_is_needed_where_nothing_is_ever_prepared() {
    let one = Binds::builder().bind(Accounts, Source::url(NOWHERE_POSTGRES));
    assert_eq!(problems(one), []);
    let one_connection = Binds::builder()
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Orders, Source::shared_with(Accounts));
    assert_eq!(problems(one_connection), []);
    let files = Binds::builder()
        .bind(Cache, Source::url("cache.db"))
        .bind(Archive, Source::url("archive.db"));
    assert_eq!(problems(files), []);
    let never = || BindOptions::new().never_prepare();
    let without_worker = Binds::builder()
        .bind(Accounts, Source::url(NOWHERE_POSTGRES).options(never()))
        .bind(Orders, Source::url(NOWHERE_POSTGRES).options(never()));
    assert_eq!(problems(without_worker), []);
}

#[test]
fn a_method_of_a_source_that_has_no_effect_is_refused() {
    let pool = || {
        Pool::builder(AsyncDieselConnectionManager::<AsyncPgConnection>::new(
            NOWHERE_POSTGRES,
        ))
        .build()
        .unwrap()
    };
    fn setup(
        _: &str,
    ) -> futures_util::future::BoxFuture<'_, diesel::ConnectionResult<AsyncPgConnection>> {
        Box::pin(async { Err(ConnectionError::BadConnection("not opened".into())) })
    }
    let with = |source: Source<AsyncPgConnection>| {
        problems(
            Binds::builder()
                .namespace("app")
                .bind(Accounts, Source::url(NOWHERE_POSTGRES))
                .bind(Orders, source),
        )
    };
    let refused = |option| {
        [BuildProblem::WithoutEffect {
            bind: "orders",
            option,
        }]
    };
    assert_eq!(
        with(Source::pool(pool()).pool_options(PoolOptions::new())),
        refused("pool_options")
    );
    assert_eq!(with(Source::pool(pool()).setup(setup)), refused("setup"));
    assert_eq!(
        with(Source::pool(pool()).attach_to(Accounts)),
        refused("attach_to")
    );
    let shared = || Source::shared_with(Accounts);
    assert_eq!(
        with(shared().pool_options(PoolOptions::new())),
        refused("pool_options")
    );
    assert_eq!(with(shared().setup(setup)), refused("setup"));
    assert_eq!(
        with(shared().options(BindOptions::new())),
        refused("options")
    );
    assert_eq!(with(shared().attach_to(Accounts)), refused("attach_to"));
    let attached = || Source::<AsyncPgConnection>::url("a.db").attach_to(Accounts);
    assert_eq!(
        with(attached().pool_options(PoolOptions::new())),
        refused("pool_options")
    );
    assert_eq!(with(attached().setup(setup)), refused("setup"));
    assert_eq!(
        with(attached().options(BindOptions::new())),
        refused("options")
    );
    assert_eq!(with(shared()), []);
}

#[test]
fn a_bind_that_cannot_prepare_cannot_avoid_to_hold_the_decision() {
    let avoiding = BindOptions::new()
        .never_prepare()
        .holder(HolderPreference::Avoid);
    let builder = Binds::builder().bind(
        Accounts,
        Source::url(NOWHERE_POSTGRES).options(avoiding.clone()),
    );
    assert_eq!(
        problems(builder),
        [BuildProblem::CannotAvoid { bind: "accounts" }]
    );
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(NOWHERE_POSTGRES);
    let pool = diesel_async::pooled_connection::deadpool::Pool::builder(manager)
        .build()
        .unwrap();
    assert_eq!(
        problems(Binds::builder().bind(Accounts, Source::pool(pool).options(avoiding))),
        [BuildProblem::CannotAvoid { bind: "accounts" }]
    );
}

async fn first_query_without_a_server(binds: Result<Binds, BuildError>) {
    let binds = binds.expect("no server is needed");
    let session = binds.session();
    let text: Result<Vec<String>, Error> =
        account::table.select(account::text).load(&session).await;
    let error = text.unwrap_err();
    assert!(matches!(
        error,
        Error::Pool {
            bind: "accounts",
            ..
        }
    ));
    // A unit that lacks a statement accepts no other.
    let session = binds.session();
    let text: Result<Vec<String>, Error> = entry::table.select(entry::text).load(&session).await;
    assert_eq!(text.unwrap_err().bind(), Some("ledger"));
}

#[tokio::test]
async fn the_first_query_says_which_pool_has_no_server() {
    let binds = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Ledger, Source::url(NOWHERE_MYSQL))
        .build();
    first_query_without_a_server(binds).await;
}

#[tokio::test]
async fn the_first_query_says_which_pool_of_bb8_has_no_server() {
    let soon = std::time::Duration::from_millis(200);
    let accounts = bb8::Pool::builder()
        .connection_timeout(soon)
        .build_unchecked(AsyncDieselConnectionManager::new(NOWHERE_POSTGRES));
    let ledger = bb8::Pool::builder()
        .connection_timeout(soon)
        .build_unchecked(AsyncDieselConnectionManager::new(NOWHERE_MYSQL));
    let binds = Binds::builder()
        .namespace("app")
        .bind(Accounts, accounts)
        .bind(Ledger, ledger)
        .build();
    first_query_without_a_server(binds).await;
}

#[tokio::test]
async fn a_bind_that_is_not_registered_is_named() {
    let binds = Binds::builder()
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .build()
        .unwrap();
    let session = binds.session();
    let result: Result<Vec<String>, Error> = entry::table.select(entry::text).load(&session).await;
    assert!(matches!(result, Err(Error::UnknownBind { bind: "ledger" })));
    let mut session = session;
    assert!(matches!(
        session.commit_only(Ledger).await,
        Err(Error::UnknownBind { bind: "ledger" })
    ));
}

#[test]
fn the_debug_form_names_the_binds() {
    let binds = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Cache, Source::url("cache.db"))
        .build()
        .unwrap();
    let shown = format!("{binds:?}");
    assert!(shown.contains("accounts") && shown.contains("cache"));
}

/// Servers take a limit of zero for no limit at all.
#[test]
fn a_limit_of_zero_is_refused() {
    let builder = || Binds::builder().bind(Accounts, Source::url(NOWHERE_POSTGRES));
    let zero = std::time::Duration::ZERO;
    assert_eq!(
        problems(builder().lock_timeout(zero).idle_timeout(zero)),
        ["lock_timeout", "idle_timeout"].map(|option| BuildProblem::NoLimit { option })
    );
}
