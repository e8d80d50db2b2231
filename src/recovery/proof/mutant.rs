//! Systems that are wrong in one way each.

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mutation {
    /// The outcome is read without keeping a late decision out.
    NoFence,
    /// The fence overwrites the row that it finds.
    FenceOverwrites,
    /// The outcome is read as it was before the fence waited.
    OldSnapshot,
    /// A decision does not mind the row of a fence.
    DecisionIgnoresFence,
    /// A crash of the holder forgets a confirmed decision.
    DecisionNotDurable,
    /// The row is committed apart from the work of the holder.
    DecisionApart,
    /// The coordinator takes a decision without a reply for none.
    LostDecisionIsAbort,
    /// The coordinator takes a decision without a reply for one.
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
    /// All databases that the process knows are asked in the place of the holder.
    AsksEveryBind,
    /// The branches of other applications are taken for ours.
    ForeignNamespace,
    /// MariaDB's "unknown xid" is taken for a branch that is finished.
    UnknownXidIsDone,
    /// A branch of MariaDB is finished while its connection is going away.
    NoWaitAfterKill,
    /// A prepare without a reply is taken for none when it is not listed.
    LatePrepareForgotten,
    /// A reader is not asked whether it wrote.
    ReaderNotAsked,
    /// A serializable reader ends after the decision.
    SerializableReaderLate,
    /// The lost end of a reader is taken for a good one.
    LostReaderIsFine,
    /// A lone commit without a reply is taken for none.
    LostCommitIsAbort,
    /// A lone commit without a reply is taken for one.
    LostCommitIsCommit,
    /// The row of a prepared branch is deleted.
    EarlyBranchRow,
    /// The decision row is deleted while a branch is listed.
    EarlyDecisionRow,
    /// The decision row is deleted while a participant is not reached.
    UnreachedIsGone,
    /// The decision row is deleted while another database answers in the place of a participant.
    ReplacedIsGone,
    /// The participants are looked at before the record is read.
    LooksBeforeRecord,
    /// The row of a fence is deleted as that of a decision.
    AbortRowDeleted,
    /// The fate of a lone commit is believed, whichever server tells it.
    FateOfAnother,
    /// The coordinator finishes a branch wherever its address leads.
    FinishNotComparedBefore,
    /// Recovery finishes a branch in another database than the one that listed it.
    ListNotCompared,
    /// A branch is taken for finished in a database that was not compared afterwards.
    FinishNotComparedAfter,
    /// A look at a participant does not say whose it is.
    LookNotComparedBefore,
    /// What a look at a participant shows is believed whoever has shown it in the end.
    LookNotComparedAfter,
    /// Databases are compared by their ids alone.
    LineageIgnored,
    /// A transaction that was gone is taken for one that was rolled back.
    EndedIsNothing,
    /// A roll-back that nothing confirms is believed.
    UnconfirmedIsNothing,
    /// Only one database is asked whether it keeps nothing.
    OnlyFirstAsked,
    /// Who is told that a transaction was ended is not told who is behind.
    EndedForgetsPending,
    /// The fence does not look at the horizon.
    HorizonIgnored,
    /// The row is deleted before the horizon moves.
    HorizonAfterDeletion,
    /// An operator finishes a forgotten unit without keeping a late decision out.
    ForceLeavesNoRow,
    /// An operator finishes a forgotten unit whatever its holder has decided meanwhile.
    ForceIgnoresDecision,
    /// Who meets the row of an operator is told that the unit was rolled back.
    ForcedIsAbort,
    /// Who meets the row of an operator is told that the unit committed.
    ForcedIsCommit,
    /// An operator forces what is seen, whatever the branches say of others.
    PartsNotCounted,
    /// A branch does not speak of those that are asked beside its prepare.
    LateWritersNotCounted,
    /// An operator does not mind what another one has recorded.
    RecordIgnored,
    /// An operator commits a unit whose holder is there and has forgotten it.
    CommitForcedBesideHolder,
    /// A decision that has a snapshot of its own is forced while it is on its way.
    ForceDoesNotWait,
    /// An operator records wherever an address leads.
    RecordNotComparedBefore,
    /// An operator does not compare the database again when it has recorded.
    RecordNotComparedAfter,
}

impl Mutation {
    /// It shows only where an operator forces units.
    pub(super) fn is_of_operators(self) -> bool {
        self as u8 > Self::HorizonAfterDeletion as u8
    }
}

/// All of them.
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
