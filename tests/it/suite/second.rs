//! An optional second bind beside the one that a behaviour tests.

use diesel_binds::{Error, Session};
use kit::side::Side;
use kit::world::Sides;

/// A second bind, so that the first one can prepare; or none.
pub(crate) trait Second: Send + Sync + 'static {
    /// The first bind, with the second one if there is one.
    type With<S: Side>: Sides;

    fn write(session: &Session, text: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// No second bind: the first one never prepares.
#[derive(Debug)]
pub(crate) struct NoSecond;

impl Second for NoSecond {
    type With<S: Side> = (S,);

    async fn write(_: &Session, _: &str) -> Result<(), Error> {
        Ok(())
    }
}

impl<B: Side> Second for B {
    type With<S: Side> = (S, B);

    async fn write(session: &Session, text: &str) -> Result<(), Error> {
        B::write(session, text).await.map(drop)
    }
}
