//! Admission of a statement to the unit: the bind is enlisted, and the statement gets the right to use its lease.

use crate::bind::{Access, Bind};
use crate::error::{AbortReason, Error};
use crate::session::claim::Claim;
use crate::session::core::Core;
use crate::session::declared::DeclaredBinds;
use crate::session::enlist::reason_to_abort;

impl Core {
    /// Waits for the bind, enlists it unless it is enlisted, and checks it for one statement.
    ///
    /// A requested statement that could not begin makes the unit abort-only, because the application relies on it.
    ///
    /// # Cancel safety
    ///
    /// The unit becomes abort-only.
    pub(super) async fn claim_bind<B: Bind>(
        &self,
        access: Access,
        declared: &DeclaredBinds,
    ) -> Result<Claim<'_, B::Connection>, Error> {
        let (position, slot) = self.slot::<B>()?;
        let key = slot.entry.key;
        self.check_open()?;
        if access == Access::Write && self.is_read_only(&slot.entry) {
            return Err(Error::ReadOnly { bind: key });
        }
        // Cancellation safety: a statement that is dropped while it waits makes the unit abort-only. So does one whose
        // begin may have reached the server; its lease closes the connection.
        let mut asked = Asked {
            core: self,
            bind: key,
            otherwise: Some(AbortReason::Incomplete),
        };
        let enlisting = async {
            declared.enlist_all(self, key).await?;
            self.lock_enlisted(position, slot).await
        };
        let enlisted = enlisting.await;
        asked.otherwise = enlisted.as_ref().err().and_then(reason_to_abort);
        drop(asked);
        let mut claim = Claim::new(self, slot, enlisted?);
        claim.ready(position, access).await?;
        Ok(claim)
    }
}

/// A requested statement. Dropping it before it has begun makes the unit abort-only.
struct Asked<'s> {
    core: &'s Core,
    bind: &'static str,
    otherwise: Option<AbortReason>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(reason) = self.otherwise {
            self.core.abort_only(self.bind, reason);
        }
    }
}
