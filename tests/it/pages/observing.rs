//! The code of `docs/observability.md`.

mod subscriber {
    use diesel_binds::{AsyncSqliteConnection, Bind, Binds, BuildError, Source};
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    #[derive(Bind)]
    #[bind(key = "accounts", connection = AsyncSqliteConnection)]
    pub struct Accounts;

    /// Prints the name of each span that ends.
    struct Print;

    impl<S> tracing_subscriber::Layer<S> for Print
    where
        S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    {
        fn on_close(&self, id: tracing::Id, context: tracing_subscriber::layer::Context<'_, S>) {
            let span = context.span(&id).expect("it is only just closed");
            println!("{} {}", span.metadata().target(), span.name());
        }
    }

    fn observed() -> Result<Binds, BuildError> {
        let wanted = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("diesel_binds", LevelFilter::DEBUG);
        let subscriber = tracing_subscriber::registry().with(Print.with_filter(wanted));
        tracing::subscriber::set_global_default(subscriber).expect("there is no other subscriber");
        Binds::builder()
            .bind(Accounts, Source::url("accounts.db"))
            .trace_parameters() // for development: see above
            .build()
    }
}

mod instrumented {
    fn set() {
        use diesel::connection::{
            Instrumentation, InstrumentationEvent, set_default_instrumentation,
        };
        use diesel_binds::trace::StatementSpans;

        fn instrumentation() -> Option<Box<dyn Instrumentation>> {
            let own = |_event: InstrumentationEvent<'_>| { /* your instrumentation */ };
            Some(Box::new(StatementSpans::over(own)))
        }

        set_default_instrumentation(instrumentation).expect("no panic while setting it");
    }
}
