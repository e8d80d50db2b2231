//! The end of a unit that is in the transactions of others: its savepoints are released, and nothing is committed.

use crate::commit::coordinator::Orders;
use crate::commit::outcome::{CommitError, Committed, Partial};
use crate::commit::participant::Participant;

/// Releases the savepoint of each participant, or goes back to all of them.
///
/// First each is asked whether it could. What fails afterwards has lost its connection, and with it the transaction
/// around the unit.
pub(crate) async fn release(
    orders: Orders,
    mut participants: Vec<Box<dyn Participant>>,
) -> Result<Committed, CommitError> {
    let mut partial = Partial::default();
    for participant in &mut participants {
        if let Err(fault) = participant.releasable().await {
            partial.fault = Some((participant.profile().key, fault));
            break;
        }
    }
    for participant in &mut participants {
        let key = participant.profile().key;
        if partial.fault.is_some() {
            participant.roll_back().await;
            partial.rolled_back.push(key);
            continue;
        }
        match participant.release().await {
            Ok(()) => partial.committed.push(key),
            Err(fault) => {
                participant.roll_back().await;
                partial.rolled_back.push(key);
                partial.fault = Some((key, fault));
            }
        }
    }
    partial.conclude(orders.unit, true)
}
