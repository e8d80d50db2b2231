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
    /// The fence does not look at the horizon.
    HorizonIgnored,
    /// The row is deleted before the horizon moves.
    HorizonAfterDeletion,
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
        HorizonIgnored,
        HorizonAfterDeletion,
    ]
}
