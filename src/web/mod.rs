//! Sessions of web requests: a layer of tower that opens and ends them, and extractors of axum.
//!
//! With the feature `tower`, [`BindsLayer`] gives each request a [scope](crate::Binds::scope): the handler and all that
//! it calls reach its session as [`current`](crate::current). With the feature `axum`, handlers also take the session as
//! an argument, and an [`Error`](crate::Error) is a response.
//!
//! How a request ends is stated by the layer, and what the client then hears by [`status_of`].

// Files, each of which imports only from those before it: `status`, `terms`, `service`, `extract`, `layer`.

#[cfg(feature = "axum")]
mod extract;
mod layer;
mod service;
mod status;
mod terms;

#[cfg(feature = "axum")]
pub use self::extract::SessionRejection;
pub use self::layer::BindsLayer;
pub use self::service::BindsService;
pub use self::status::status_of;
