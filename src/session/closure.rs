//! Traits that name the future of an asynchronous closure, so that a bound can require the future to be `Send`.

/// An asynchronous closure that may run more than once, and whose future a bound can require to be `Send`.
///
/// Implemented for every `async |session| …` that qualifies; do not implement it yourself. In bounds, it is used beside
/// `AsyncFn(&mut Session)`, which cannot require a `Send` future. With `FnMut` in place of `Fn`, it would reject
/// closures that change their captures. A plain bound `Fn(T) -> Fut` could not borrow from its argument. Only
/// [retries](crate::Binds::retrying) need it: other closures run once ([`WorkOnce`]).
pub trait Work<T, R>: AsyncFn(T) -> R + Fn(T) -> <Self as Work<T, R>>::Future {
    /// The future of one run.
    type Future: Future<Output = R>;
}

impl<F, T, R, Fut> Work<T, R> for F
where
    F: AsyncFn(T) -> R + Fn(T) -> Fut,
    Fut: Future<Output = R>,
{
    type Future = Fut;
}

/// An asynchronous closure that runs once and may move its captures. See [`Work`].
pub trait WorkOnce<T, R>:
    AsyncFnOnce(T) -> R + FnOnce(T) -> <Self as WorkOnce<T, R>>::Future
{
    /// The future of the run.
    type Future: Future<Output = R>;
}

impl<F, T, R, Fut> WorkOnce<T, R> for F
where
    F: AsyncFnOnce(T) -> R + FnOnce(T) -> Fut,
    Fut: Future<Output = R>,
{
    type Future = Fut;
}
