//! The layer: what holds for all requests that pass it.

use std::fmt;
use std::sync::Arc;

use http::response;
use tower_layer::Layer;

use crate::registry::Binds;
use crate::session::SessionOptions;
use crate::web::service::BindsService;
use crate::web::terms::{Ending, Terms};

/// Gives each request a session of its own: a [scope](Binds::scope) around all that is below the layer.
///
/// No connection is taken for a request that runs no query.
///
/// # How a request ends
///
/// By default, the handler commits: `current()?.commit_all().await?`. What it does not commit is rolled back before the
/// response goes out.
///
/// With [`commit_on_success`](Self::commit_on_success), the layer commits when the handler is done, and its response goes
/// out after that:
///
/// | the handler | the unit | the client gets |
/// |---|---|---|
/// | returns a status below 400 | is committed | the response |
/// | the same, and the commit fails | is rolled back, or in doubt | an error, as [`status_of`](super::status_of) says |
/// | returns 400 or above, or the service an error | is rolled back | the response, or the error |
/// | returns a response that the veto keeps | is rolled back | the response |
/// | panics | is rolled back | what your server makes of it |
/// | is dropped: the client hung up, a timeout above the layer | is rolled back, unless its commit has begun: that goes on | nothing |
///
/// A success never goes out for a unit that was not committed. Commit before that in the handler where its response
/// depends on it: the layer then finds nothing left to do. A failed commit is an event of `tracing`, with all that the
/// databases said; its response says nothing of that.
///
/// # Streaming bodies
///
/// The unit ends before the head of the response goes out, and the body is sent after that: a body that is a stream
/// cannot use the session any more (its queries fail with [`Error::ScopeEnded`](crate::Error::ScopeEnded), or
/// [`NoScope`](crate::Error::NoScope) by `current()`), and when it fails half-way, the unit stays committed. Let such a
/// body have a session of its own, `binds.session()`, which is rolled back when the body is dropped.
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
    terms: Arc<Terms>,
}

impl BindsLayer {
    /// Sessions of these binds. The handler commits.
    #[must_use]
    pub fn new(binds: Binds) -> Self {
        Self {
            terms: Arc::new(Terms {
                binds,
                options: SessionOptions::default(),
                ending: Ending::ByHand,
            }),
        }
    }

    /// Options of each session: a deadline, which counts from the begin of the request, most often.
    #[must_use]
    pub fn options(self, options: SessionOptions) -> Self {
        self.with(|terms| terms.options = options)
    }

    /// Commits when the handler returns a status below 400, before the response goes out. Defaults to off.
    #[must_use]
    pub fn commit_on_success(self) -> Self {
        self.with(|terms| terms.ending = Ending::OnSuccess(None))
    }

    /// The same, unless `veto` says `true` of the head of the response: then the unit is rolled back, and the response goes
    /// out as it is.
    #[must_use]
    pub fn commit_on_success_unless<F>(self, veto: F) -> Self
    where
        F: Fn(&response::Parts) -> bool + Send + Sync + 'static,
    {
        self.with(|terms| terms.ending = Ending::OnSuccess(Some(Arc::new(veto))))
    }

    fn with(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        change(Arc::make_mut(&mut self.terms));
        self
    }
}

impl<S> Layer<S> for BindsLayer {
    type Service = BindsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BindsService::new(inner, Arc::clone(&self.terms))
    }
}

impl fmt::Debug for BindsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.terms.fmt(f)
    }
}
