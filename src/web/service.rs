//! The service: begins the scope of a request, runs the inner service in it, and ends its unit before the response.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower_service::Service;

use crate::scope::Open;

use crate::web::settings::{CommitRule, LayerSettings};
use crate::web::{grpc, status};

/// A service that gives each request a session. From [`BindsLayer`](super::BindsLayer).
#[derive(Clone, Debug)]
pub struct BindsService<S> {
    inner: S,
    settings: Arc<LayerSettings>,
}

impl<S> BindsService<S> {
    pub(super) fn new(inner: S, settings: Arc<LayerSettings>) -> Self {
        Self { inner, settings }
    }
}

/// A marker in the extensions of a request: the layer commits its session.
#[derive(Clone, Debug)]
pub(super) struct CommitsOnSuccess;

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for BindsService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Future: Send + 'static>,
    S::Error: Send,
    ResBody: From<&'static str> + Send,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<ResBody>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        if matches!(settings.commit_rule, CommitRule::OnSuccess(_)) {
            request.extensions_mut().insert(CommitsOnSuccess);
        }
        let open = Open::new(settings.binds.with(settings.options.clone()));
        // A service may do its work in `call`, or in its future.
        let handling = open.scope().enclose(|| self.inner.call(request));
        let handling = open.scope().within(handling);
        // Cancellation safety: dropping this drops the scope, which rolls back, unless the commit was polled.
        async move {
            let (parts, body) = match handling.await {
                Ok(response) => response.into_parts(),
                Err(error) => {
                    open.end().await;
                    return Err(error);
                }
            };
            let committed = match settings.commit_rule.commits(&parts) {
                true => open.scope().commit_all().await.map(drop),
                false => Ok(()),
            };
            open.end().await;
            Ok(match committed {
                Ok(()) => Response::from_parts(parts, body),
                Err(error) if grpc::is_call(&parts) => grpc::response(&parts, &error),
                Err(error) => status::response(&error),
            })
        }
        .boxed()
    }
}
