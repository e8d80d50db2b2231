//! A name for asynchronous closures that borrow their argument and whose future can be sent.

/// An asynchronous closure that may run more than once, with a future that is `Send`.
///
/// Implemented for every `async |session| …` that qualifies; nobody implements it. It stands beside
/// `AsyncFn(&mut Session)` in bounds, because that one cannot say that its future is `Send`. Over `FnMut` instead of
/// `Fn` it would reject closures that change what they capture, and as a plain `Fn(T) -> Fut` it could not borrow
/// from its argument.
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

/// The same for a closure that runs once, and may move what it captures.
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
