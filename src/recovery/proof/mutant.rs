//! Broken systems: each is wrong in one way.

/// The defect of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mutation {
    /// The outcome is read without a fence.
    NoFence,
    /// The fence overwrites the row that it finds.
    FenceOverwrites,
    /// The outcome is read from a snapshot that is older than the fence.
    OldSnapshot,
    /// A decision ignores the row of a fence.
    DecisionIgnoresFence,
    /// A crash of the holder forgets a confirmed decision.
    DecisionNotDurable,
    /// The row is committed apart from the work of the holder.
    DecisionApart,
    /// A decision without a reply is taken for one that was not made.
    LostDecisionIsAbort,
    /// A decision without a reply is taken for one that was made.
    LostDecisionIsCommit,
    /// Recovery takes a holder that it cannot ask for one that did not decide.
    UnreachedHolderIsAbort,
    /// Recovery takes a holder that it cannot ask for one that decided.
    UnreachedHolderIsCommit,
    /// A prepare is sent without using up the marker.
    NoMarkerAtPrepare,
    /// A decision is sent without using up the marker.
    NoMarkerAtDecision,
    /// The id of the holder is not compared.
    HolderIdIgnored,
    /// Recovery asks an older copy of the holder, which has the same id.
    HolderLineageIgnored,
    /// All binds of the process are asked instead of the holder.
    AsksEveryBind,
    /// The branches of other applications are taken for ours.
    ForeignNamespace,
    /// MariaDB's "unknown xid" is taken for a branch that is finished.
    UnknownXidIsDone,
    /// A branch of MariaDB is finished while its connection is going away.
    NoWaitAfterKill,
    /// A prepare without a reply that is not listed is taken for one that did not happen.
    LatePrepareForgotten,
    /// A reader is not asked whether it wrote.
    ReaderNotAsked,
    /// A serializable reader ends after the decision.
    SerializableReaderLate,
    /// The end of a reader without a reply is taken for a success.
    LostReaderIsFine,
    /// A lone commit without a reply is taken for one that did not happen.
    LostCommitIsAbort,
    /// A lone commit without a reply is taken for a success.
    LostCommitIsCommit,
    /// The row of a prepared branch is deleted.
    EarlyBranchRow,
    /// The decision row is deleted while a branch is listed.
    EarlyDecisionRow,
    /// The decision row is deleted while a participant cannot be reached.
    UnreachedIsGone,
    /// The decision row is deleted while another database answers in the place of a participant.
    ReplacedIsGone,
    /// The participants are listed before the record is read.
    LooksBeforeRecord,
    /// The row of a fence is deleted like that of a decision.
    AbortRowDeleted,
    /// The fate of a lone commit is accepted from any server.
    FateOfAnother,
    /// The coordinator finishes a branch in any database that its address leads to.
    FinishNotComparedBefore,
    /// Recovery finishes a branch in another database than the one that listed it.
    ListNotCompared,
    /// A branch is taken for finished in a database that was not compared afterwards.
    FinishNotComparedAfter,
    /// The database of a participant is not compared before its list is read.
    LookNotComparedBefore,
    /// The database of a participant is not compared after its list was read.
    LookNotComparedAfter,
    /// Databases are compared by their ids alone.
    LineageIgnored,
    /// A transaction that was gone is taken for one that was rolled back.
    EndedIsNothing,
    /// A roll-back without confirmation is accepted.
    UnconfirmedIsNothing,
    /// Only the first database is asked whether it keeps nothing.
    OnlyFirstAsked,
    /// An error about an ended transaction names no pending members.
    EndedForgetsPending,
    /// The fence ignores the horizon.
    HorizonIgnored,
    /// The row is deleted before the horizon moves.
    HorizonAfterDeletion,
    /// An operator finishes a forgotten unit without a fence.
    ForceLeavesNoRow,
    /// An operator finishes a forgotten unit although its holder has decided meanwhile.
    ForceIgnoresDecision,
    /// A question that finds the row of an operator returns "rolled back".
    ForcedIsAbort,
    /// A question that finds the row of an operator returns "committed".
    ForcedIsCommit,
    /// An operator forces the branches that are listed, and ignores the number of parts in them.
    PartsNotCounted,
    /// The number of parts in a branch leaves out the members that are asked beside its prepare.
    LateWritersNotCounted,
    /// An operator ignores the record of another one.
    RecordIgnored,
    /// An operator commits a unit whose holder answers and has forgotten it.
    CommitForcedBesideHolder,
    /// An operator forces a decision with an older snapshot without waiting for it.
    ForceDoesNotWait,
    /// An operator records the outcome in any database that an address leads to.
    RecordNotComparedBefore,
    /// An operator does not compare the database again after recording.
    RecordNotComparedAfter,
}

impl Mutation {
    /// Returns whether the mutation is only found in topologies with operators.
    pub(super) fn is_of_operators(self) -> bool {
        self as u8 > Self::HorizonAfterDeletion as u8
    }
}

/// Returns all defects.
pub(super) fn all() -> Vec<Mutation> {
    use Mutation::*;
    vec![
        NoFence,
        FenceOverwrites,
        OldSnapshot,
        DecisionIgnoresFence,
        DecisionNotDurable,
        DecisionApart,
        LostDecisionIsAbort,
        LostDecisionIsCommit,
        UnreachedHolderIsAbort,
        UnreachedHolderIsCommit,
        NoMarkerAtPrepare,
        NoMarkerAtDecision,
        HolderIdIgnored,
        HolderLineageIgnored,
        AsksEveryBind,
        ForeignNamespace,
        UnknownXidIsDone,
        NoWaitAfterKill,
        LatePrepareForgotten,
        ReaderNotAsked,
        SerializableReaderLate,
        LostReaderIsFine,
        LostCommitIsAbort,
        LostCommitIsCommit,
        EarlyBranchRow,
        EarlyDecisionRow,
        UnreachedIsGone,
        ReplacedIsGone,
        LooksBeforeRecord,
        AbortRowDeleted,
        FateOfAnother,
        FinishNotComparedBefore,
        ListNotCompared,
        FinishNotComparedAfter,
        LookNotComparedBefore,
        LookNotComparedAfter,
        LineageIgnored,
        EndedIsNothing,
        UnconfirmedIsNothing,
        OnlyFirstAsked,
        EndedForgetsPending,
        HorizonIgnored,
        HorizonAfterDeletion,
        ForceLeavesNoRow,
        ForceIgnoresDecision,
        ForcedIsAbort,
        ForcedIsCommit,
        PartsNotCounted,
        LateWritersNotCounted,
        RecordIgnored,
        CommitForcedBesideHolder,
        ForceDoesNotWait,
        RecordNotComparedBefore,
        RecordNotComparedAfter,
    ]
}
