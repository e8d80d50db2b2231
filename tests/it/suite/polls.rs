//! Drops a future after a number of polls, with real wake-ups between them, as a timeout or a `select!` would.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// More polls than any future of a test takes.
const ENDLESS: usize = 500;

/// The moment at which a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropPoint {
    /// Right after this many polls: the request of the last poll is on its way.
    Asked(usize),
    /// After this many polls, when the future is woken again: the answer is there, and was not read.
    Answered(usize),
}

impl DropPoint {
    /// Returns whether the future is dropped without ever running.
    pub(crate) fn is_before_all(self) -> bool {
        matches!(self, Self::Asked(0) | Self::Answered(0))
    }

    /// Runs the future until the moment comes. Returns `None` if it was dropped.
    pub(crate) async fn cut<F: Future>(self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let (Self::Asked(polls) | Self::Answered(polls)) = self;
        let mut polled = 0;
        poll_fn(|context| {
            if polled == polls {
                return Poll::Ready(None);
            }
            polled += 1;
            match future.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if polled == polls && matches!(self, Self::Asked(_)) => {
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// The result of a run: complete, or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    Whole,
    Cut,
}

impl<T> From<&Option<T>> for Ran {
    fn from(output: &Option<T>) -> Self {
        match output {
            Some(_) => Self::Whole,
            None => Self::Cut,
        }
    }
}

/// Runs a closure for every number of polls, from none to its end, once for each kind of moment.
pub(crate) async fn at_every_poll(mut run: impl AsyncFnMut(DropPoint) -> Ran) {
    for moment in [DropPoint::Asked, DropPoint::Answered] {
        let mut polls = 0;
        while run(moment(polls)).await == Ran::Cut {
            polls += 1;
            assert!(polls < ENDLESS, "the future never completes");
        }
    }
}
