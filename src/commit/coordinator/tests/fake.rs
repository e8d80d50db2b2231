//! A participant that acts and replies by a script, over a database that panics on messages that no database may get.

use std::sync::Arc;

use diesel::result::Error as DieselError;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use crate::commit::coordinator::tests::mutant::{self, Mutation};
use crate::commit::{
    Asked, Decision, Fault, Identified, LoneCommitError, Outcome, Participant, Profile, Undone,
};
use crate::gid::{Branch, DatabaseId, Gid};

pub(super) const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The reply to a step, as the script of a test has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptedReply {
    Done,
    /// The server refuses the step, and has done nothing.
    Refused,
    /// The connection is lost, and the server has done nothing.
    LostBefore,
    /// The server has carried out the step, and its reply is lost.
    LostAfter,
    /// The reply is lost, and the server carries the step out before the next message.
    Late,
    /// The reply is lost, and the message arrives after the commit has ended.
    VeryLate,
}

/// A participant, and the results of its steps, in their order.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The statements show that the participant wrote.
    pub(super) writer: bool,
    /// The participant did write.
    pub(super) wrote: bool,
    pub(super) askable: bool,
    pub(super) serializable: bool,
    /// The id of the database is known.
    pub(super) known: bool,
    pub(super) can_prepare: bool,
    pub(super) holder_rank: i8,
    pub(super) needs_decision_row: bool,
    /// The statement that may have ended the transaction before the commit.
    pub(super) foreign_statement: ForeignStatement,
    pub(super) replies: Vec<ScriptedReply>,
    /// The duration of each step, in turns of the runtime.
    pub(super) turns: Vec<usize>,
}

/// The effect of a statement outside of the unit on the transaction, before the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignStatement {
    /// No such statement ran, for certain.
    Nothing,
    /// No such statement ended the transaction, but only the marker confirms that.
    Perhaps,
    /// A statement rolled the transaction back, and the marker with it.
    RolledBack,
    /// A statement committed the transaction.
    Committed,
    /// A statement committed the transaction, and the server does not tell whether the marker is there.
    CommittedUnseen,
}

impl ForeignStatement {
    fn has_ended(self) -> bool {
        !matches!(self, Self::Nothing | Self::Perhaps)
    }

    /// Returns whether the writes of the unit before that statement are kept.
    pub(super) fn keeps(self) -> bool {
        matches!(self, Self::Committed | Self::CommittedUnseen)
    }

    /// Returns the result that a message with the marker shows.
    fn seen(self) -> Undone {
        match self {
            Self::Nothing | Self::Perhaps => Undone::NothingKept,
            Self::RolledBack | Self::Committed => Undone::Ended,
            Self::CommittedUnseen => Undone::Unconfirmed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FakeTransaction {
    Open,
    /// Another statement has ended the transaction.
    Ended,
    Prepared,
    Committed,
    RolledBack,
}

/// The contents of a database, which outlive its connections.
#[derive(Clone, Default)]
pub(super) struct Database(Arc<Mutex<Contents>>);

struct Contents {
    id: DatabaseId,
    state: FakeTransaction,
    prepared_for: Option<Branch>,
    outcome: Option<Outcome>,
    /// The message that the server is carrying out.
    late: Option<Message>,
    very_late: Option<Message>,
}

#[derive(Clone, Debug)]
enum Message {
    Prepare(Branch),
    Decide,
    Commit,
    Finish(Outcome),
}

/// A connection to a database.
pub(super) struct Fake {
    key: &'static str,
    script: Script,
    step: usize,
    database: Database,
    connected: bool,
    /// A prepare was sent.
    may_be_prepared: bool,
    undone: Undone,
    mutation: Option<Mutation>,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            id: DatabaseId::generate(),
            state: FakeTransaction::Open,
            prepared_for: None,
            outcome: None,
            late: None,
            very_late: None,
        }
    }
}

impl Database {
    pub(super) fn id(&self) -> DatabaseId {
        self.lock().id
    }

    pub(super) fn state(&self) -> FakeTransaction {
        self.lock().state
    }

    /// Delivers the messages in flight, and lets the server roll back the transaction of a lost connection.
    pub(super) fn come_to_rest(&self) {
        let mut contents = self.lock();
        contents.arrive();
        if let Some(message) = contents.very_late.take() {
            contents.take(message);
        }
        contents.hang_up();
    }

    pub(super) fn prepared_for(&self) -> Option<Gid> {
        let contents = self.lock();
        let prepared = contents.state == FakeTransaction::Prepared;
        let branch = contents.prepared_for.as_ref().filter(|_| prepared);
        branch.map(|branch| branch.gid.clone())
    }

    /// Returns the number of parts in the name of the branch, if it was prepared.
    pub(super) fn parts(&self) -> Option<u16> {
        let contents = self.lock();
        contents.prepared_for.as_ref().map(|branch| branch.parts)
    }

    /// Waits for a decision in flight, keeps a later one out, and returns the outcome.
    pub(super) fn fence(&self) -> Outcome {
        let mut contents = self.lock();
        contents.arrive();
        *contents.outcome.get_or_insert(Outcome::RolledBack)
    }

    pub(super) fn finish(&self, outcome: Outcome) {
        self.lock().take(Message::Finish(outcome));
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock()
    }
}

impl Contents {
    fn arrive(&mut self) {
        if let Some(message) = self.late.take() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match (message, self.state) {
            (Message::Prepare(branch), FakeTransaction::Open) => {
                self.state = FakeTransaction::Prepared;
                self.prepared_for = Some(branch);
            }
            (Message::Decide, FakeTransaction::Open) => {
                // The unique key of the decision row allows one outcome.
                self.state = match self.outcome {
                    None => FakeTransaction::Committed,
                    Some(_) => FakeTransaction::RolledBack,
                };
                self.outcome.get_or_insert(Outcome::Committed);
            }
            (Message::Commit, FakeTransaction::Open) => self.state = FakeTransaction::Committed,
            (Message::Finish(Outcome::Committed), FakeTransaction::Prepared) => {
                self.state = FakeTransaction::Committed
            }
            (
                Message::Finish(Outcome::RolledBack),
                FakeTransaction::Prepared | FakeTransaction::Open,
            ) => {
                self.state = FakeTransaction::RolledBack;
            }
            // An earlier message has finished the branch.
            (Message::Finish(Outcome::Committed), FakeTransaction::Committed)
            | (Message::Finish(Outcome::RolledBack), FakeTransaction::RolledBack) => {}
            // The message arrives after the server has ended the transaction, or finds no marker.
            (
                Message::Prepare(_) | Message::Decide | Message::Commit,
                FakeTransaction::RolledBack | FakeTransaction::Ended,
            ) => {}
            (Message::Finish(Outcome::RolledBack), FakeTransaction::Ended) => {}
            (message, state) => panic!("{message:?} for a transaction that is {state:?}"),
        }
    }

    /// Rolls the transaction back if its connection is lost and no message is in flight.
    fn hang_up(&mut self) {
        let nothing_comes = self.late.is_none() && self.very_late.is_none();
        if self.state == FakeTransaction::Open && nothing_comes {
            self.state = FakeTransaction::RolledBack;
        }
    }
}

impl Fake {
    pub(super) fn new(
        key: &'static str,
        script: Script,
        database: Database,
        mutation: Option<Mutation>,
    ) -> Self {
        if script.foreign_statement.has_ended() {
            database.lock().state = FakeTransaction::Ended;
        }
        Self {
            key,
            script,
            step: 0,
            database,
            connected: true,
            may_be_prepared: false,
            undone: Undone::NothingKept,
            mutation,
        }
    }

    /// Notes from a reply whether the marker was there.
    fn met_marker(&mut self) -> Result<(), Fault> {
        self.undone = self.script.foreign_statement.seen();
        match self.script.foreign_statement.has_ended() {
            true => Err(Fault::TransactionEnded(DieselError::NotInTransaction)),
            false => Ok(()),
        }
    }

    /// Drops the connection. If the reply about the marker is missing, the end of the transaction is unconfirmed.
    fn disconnect(&mut self) {
        self.connected = false;
        if self.script.foreign_statement != ForeignStatement::Nothing
            && self.undone == Undone::NothingKept
        {
            self.undone = Undone::Unconfirmed;
        }
    }

    /// Returns the result of the next step, after the turns that the script gives it.
    async fn next(&mut self) -> ScriptedReply {
        let step = self.step;
        self.step += 1;
        for _ in 0..self.script.turns.get(step).copied().unwrap_or_default() {
            tokio::task::yield_now().await;
        }
        self.script
            .replies
            .get(step)
            .copied()
            .unwrap_or(ScriptedReply::Done)
    }

    /// Sends a message, with the next result of the script.
    async fn send(&mut self, message: Message) -> Result<(), Fault> {
        assert!(self.connected, "{message:?} on a lost connection");
        let reply = self.next().await;
        let finishes = matches!(message, Message::Finish(_));
        if matches!(reply, ScriptedReply::Done | ScriptedReply::Refused) && !finishes {
            self.met_marker()?;
        }
        let mut contents = self.database.lock();
        match reply {
            ScriptedReply::Done => {
                let decides = matches!(message, Message::Decide);
                contents.take(message);
                if decides && contents.state != FakeTransaction::Committed {
                    return Err(refused());
                }
                return Ok(());
            }
            ScriptedReply::Refused => return Err(refused()),
            ScriptedReply::LostBefore => {}
            ScriptedReply::LostAfter => contents.take(message),
            ScriptedReply::Late => contents.late = Some(message),
            ScriptedReply::VeryLate => contents.very_late = Some(message),
        }
        contents.hang_up();
        drop(contents);
        self.disconnect();
        Err(lost())
    }

    /// Asks a question, which changes nothing.
    async fn look(&mut self) -> Result<(), Fault> {
        match self.next().await {
            ScriptedReply::Done => Ok(()),
            ScriptedReply::Refused => Err(refused()),
            _ => {
                self.database.lock().hang_up();
                self.disconnect();
                Err(lost())
            }
        }
    }
}

impl Participant for Fake {
    fn profile(&self) -> Profile {
        let Script {
            writer,
            askable,
            known,
            can_prepare,
            holder_rank,
            needs_decision_row,
            ..
        } = self.script;
        Profile {
            key: self.key,
            writer,
            read_only: false,
            askable,
            database: known.then(|| self.database.id()),
            fingerprint: "".into(),
            cannot_prepare: (!can_prepare).then(|| "the script says so".into()),
            holder_rank,
            needs_decision_row,
            within_outer: false,
        }
    }

    fn ask(&mut self) -> BoxFuture<'_, Result<Asked, Fault>> {
        async move {
            self.look().await?;
            Ok(Asked {
                wrote: self.script.wrote,
                serializable: self.script.serializable,
            })
        }
        .boxed()
    }

    fn identify(&mut self) -> BoxFuture<'_, Result<Identified, Fault>> {
        async move {
            self.look().await?;
            self.met_marker()?;
            Ok(Identified {
                database: self.database.id(),
                has_forgotten: false,
            })
        }
        .boxed()
    }

    fn prepare<'a>(&'a mut self, branch: &'a Branch) -> BoxFuture<'a, Result<(), Fault>> {
        assert_eq!(branch.bind, self.key, "each prepares its own branch");
        assert!(self.script.can_prepare && self.script.wrote);
        self.may_be_prepared = true;
        self.send(Message::Prepare(branch.clone())).boxed()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), LoneCommitError>> {
        async move {
            let result = self.send(Message::Commit).await;
            result.map_err(|fault| match fault {
                Fault::Lost(_) => LoneCommitError::Unknown(fault),
                fault => {
                    // A transaction whose commit is refused is rolled back.
                    self.database.lock().hang_up();
                    LoneCommitError::Refused(fault)
                }
            })
        }
        .boxed()
    }

    fn decide<'a>(&'a mut self, decision: &'a Decision) -> BoxFuture<'a, Result<(), Fault>> {
        assert_eq!(decision.gid.holder, self.key, "the holder decides");
        assert_eq!(decision.gid.holder_id, self.database.id());
        let others = decision.participants.iter();
        assert!(others.clone().all(|(key, _)| *key != self.key));
        self.send(Message::Decide).boxed()
    }

    fn roll_back(&mut self) -> BoxFuture<'_, Undone> {
        async move {
            assert!(!self.may_be_prepared, "it may be prepared");
            let reply = self.next().await;
            if self.connected && reply == ScriptedReply::Done {
                // `undone` returns the result later.
                let _ = self.met_marker();
            } else {
                // If the roll-back fails, the connection is closed, which rolls back as well.
                self.disconnect();
            }
            self.database.lock().hang_up();
            self.connected = false;
            self.undone()
        }
        .boxed()
    }

    fn undone(&self) -> Undone {
        mutant::believed(self.mutation, self.key, self.undone)
    }

    fn resolve<'a>(&'a mut self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>> {
        async move {
            assert_eq!(gid.holder, self.key, "the holder is asked");
            match self.next().await {
                ScriptedReply::Done => Ok(self.database.fence()),
                ScriptedReply::LostAfter => {
                    self.database.fence();
                    Err(lost())
                }
                _ => Err(lost()),
            }
        }
        .boxed()
    }

    fn finish<'a>(
        &'a mut self,
        branch: &'a Branch,
        outcome: Outcome,
        database: DatabaseId,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            assert_eq!(branch.bind, self.key, "each finishes its own branch");
            assert_eq!(database, self.database.id(), "and in its own database");
            if let Some(prepared) = &self.database.lock().prepared_for {
                assert_eq!(branch, prepared, "under the name that it was prepared with");
            }
            if self.undone != Undone::NothingKept && self.connected {
                // The server has replied that it prepared nothing.
                assert_eq!(outcome, Outcome::RolledBack);
                self.connected = false;
                return Ok(());
            }
            // On another connection, if the first is lost.
            let uncertain = !self.connected;
            self.connected = true;
            let listed = self.database.state() == FakeTransaction::Prepared;
            if self.database.lock().very_late.is_none() {
                self.send(Message::Finish(outcome)).await?;
            }
            if listed {
                // Only a transaction with the marker was prepared.
                self.undone = Undone::NothingKept;
            }
            // A branch that is not listed now may be listed later.
            if uncertain && outcome == Outcome::RolledBack {
                return Err(Fault::TimedOut);
            }
            Ok(())
        }
        .boxed()
    }

    fn releasable(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        async { unreachable!("no unit of these tests is within an outer transaction") }.boxed()
    }

    fn release(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        async { unreachable!("no unit of these tests is within an outer transaction") }.boxed()
    }

    #[cfg(feature = "testing")]
    fn cut(&mut self) -> BoxFuture<'_, ()> {
        async { unreachable!("no plan is given") }.boxed()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.database.lock().hang_up();
    }
}

fn refused() -> Fault {
    Fault::Refused(DieselError::NotFound)
}

fn lost() -> Fault {
    Fault::Lost(DieselError::NotFound)
}
