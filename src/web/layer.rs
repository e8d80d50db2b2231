//! The layer: the settings for all requests that pass it.

use std::fmt;
use std::sync::Arc;

use http::response;
use tower_layer::Layer;

use crate::registry::Binds;
use crate::session::SessionOptions;
use crate::web::service::BindsService;
use crate::web::settings::{CommitRule, LayerSettings};

/// A layer that gives each request a session of its own: a [scope](Binds::scope) around everything below the layer.
///
/// No connection is taken for a request that runs no query.
///
/// # How a request ends
///
/// By default, the handler commits: `current()?.commit_all().await?`. Uncommitted work is rolled back before the
/// response goes out.
///
/// With [`commit_on_success`](Self::commit_on_success), the layer commits after the handler has returned, and the
/// response goes out after that:
///
/// | the handler | the unit | the client gets |
/// |---|---|---|
/// | returns a status below 400 | is committed | the response |
/// | returns a status below 400, and the commit fails | is rolled back, or in doubt | an error, by [`status_of`](super::status_of) |
/// | returns 400 or above, or the service an error | is rolled back | the response, or the error |
/// | returns a response that the veto rejects | is rolled back | the response |
/// | panics | is rolled back | the reaction of your server to the panic |
/// | is dropped: the client closed the connection, a timeout above the layer | is rolled back, unless its commit has begun: that continues | nothing |
///
/// A success never goes out for a unit that was not committed. If the response depends on the commit, commit in the
/// handler: the layer then has nothing left to do. A failed commit is logged through `tracing`, with the texts of the
/// databases, which the response does not contain.
///
/// # Streaming bodies
///
/// The unit ends before the head of the response goes out, and the body is sent after that. Therefore, a body that is a
/// stream cannot use the session any more: its queries fail with [`Error::ScopeEnded`](crate::Error::ScopeEnded), or
/// [`NoScope`](crate::Error::NoScope) by `current()`. If the stream fails in between, the unit stays committed. Give
/// such a body a session of its own, `binds.session()`, which is rolled back when the body is dropped.
///
/// # Example
///
/// ```
/// # #[cfg(all(feature = "sqlite", feature = "deadpool"))]
/// # mod example {
/// use diesel_binds::{Binds, Error, current, web::BindsLayer};
/// use http::{Request, Response};
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// async fn handle(_: Request<()>) -> Result<Response<String>, Error> {
///     // queries on `current()?`
///     current()?.commit_all().await?;
///     Ok(Response::new("done".to_owned()))
/// }
///
/// fn service(
///     binds: Binds,
/// ) -> impl Service<Request<()>, Response = Response<String>, Error = Error> {
///     ServiceBuilder::new()
///         .layer(BindsLayer::new(binds))
///         .service(service_fn(handle))
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct BindsLayer {
    settings: Arc<LayerSettings>,
}

impl BindsLayer {
    /// Creates a layer with sessions of these binds. The handler commits.
    #[must_use]
    pub fn new(binds: Binds) -> Self {
        Self {
            settings: Arc::new(LayerSettings {
                binds,
                options: SessionOptions::default(),
                commit_rule: CommitRule::ByHand,
            }),
        }
    }

    /// Sets the options of each session, such as a deadline, which counts from the begin of the request.
    #[must_use]
    pub fn options(self, options: SessionOptions) -> Self {
        self.with(|settings| settings.options = options)
    }

    /// Commits when the handler returns a status below 400, before the response goes out. Defaults to off.
    ///
    /// A response with the header `grpc-status` is a success only if that is 0. So a call of gRPC that failed is rolled
    /// back, as far as the head of the response says so: a streaming call that fails after its head was committed.
    #[must_use]
    pub fn commit_on_success(self) -> Self {
        self.with(|settings| settings.commit_rule = CommitRule::OnSuccess(None))
    }

    /// Commits like [`commit_on_success`](Self::commit_on_success), unless `veto` returns `true` for the head of the
    /// response. In that case, the unit is rolled back, and the response goes out unchanged.
    #[must_use]
    pub fn commit_on_success_unless<F>(self, veto: F) -> Self
    where
        F: Fn(&response::Parts) -> bool + Send + Sync + 'static,
    {
        self.with(|settings| settings.commit_rule = CommitRule::OnSuccess(Some(Arc::new(veto))))
    }

    fn with(mut self, change: impl FnOnce(&mut LayerSettings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for BindsLayer {
    type Service = BindsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BindsService::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for BindsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}
