//! Sessions of web requests: a layer of tower that opens and ends them, and extractors of axum.
//!
//! With the feature `tower`, [`BindsLayer`] gives each request a [scope](crate::Binds::scope): the handler and the
//! functions that it calls reach its session by [`current`](crate::current). With the feature `axum`, handlers also
//! take the session as an argument, and an [`Error`](crate::Error) is a response.
//!
//! The layer defines how a request ends, and [`status_of`] the status for each error.

// Files, each of which imports only from those before it: `status`, `grpc`, `settings`, `service`, `extract`, `layer`.

#[cfg(feature = "axum")]
mod extract;
mod grpc;
mod layer;
mod service;
mod settings;
mod status;

#[cfg(feature = "axum")]
pub use self::extract::SessionRejection;
pub use self::layer::BindsLayer;
pub use self::service::BindsService;
pub use self::status::status_of;
