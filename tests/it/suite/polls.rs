//! Drops a future after so many polls, with real wake-ups between them, as a timeout or a `select!` would.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// More polls than any future of a test takes.
const ENDLESS: usize = 500;

/// When a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Right after so many polls: what the last one asked for is on its way.
    Asked(usize),
    /// After so many polls, when it is woken for another: the answer is there, and nobody has read it.
    Answered(usize),
}

impl Moment {
    /// Whether the future is dropped without ever running.
    pub(crate) fn is_before_all(self) -> bool {
        matches!(self, Self::Asked(0) | Self::Answered(0))
    }

    /// Runs the future until the moment comes. `None` if it was dropped.
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

/// Whether a run came to its end, or was cut.
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

/// Runs it for every number of polls, from none until it comes to its end, once for each kind of moment.
pub(crate) async fn at_every_poll(mut run: impl AsyncFnMut(Moment) -> Ran) {
    for moment in [Moment::Asked, Moment::Answered] {
        let mut polls = 0;
        while run(moment(polls)).await == Ran::Cut {
            polls += 1;
            assert!(polls < ENDLESS, "the future never completes");
        }
    }
}
