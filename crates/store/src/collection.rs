//! The names of what is kept. A collection holds documents by key; a stream holds records in the order of their commits.

/// A set of documents, each under a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// Small facts about the store's own role, such as the version that wrote last.
    Meta,
    /// Tasks.
    Tasks,
    /// Workers' parts in tasks.
    Replicates,
    /// Deals of the pool, handled or waiting to be read again.
    Deals,
    /// Workers that registered.
    Workers,
    /// What apps wrote, one document a task and worker.
    TaskLogs,
    /// Positions of the log cursors.
    Cursors,
    /// Transactions that were asked for, and what became of them.
    Outbox,
    /// Session tokens that were issued.
    Tokens,
    /// Login challenges that wait for their signature.
    Challenges,
    /// Keys that sign tokens.
    Keys,
    /// A worker's steps of a replicate.
    Journal,
    /// Results that were uploaded.
    Results,
    /// Workerpool authorizations that were received.
    Authorizations,
}

impl Collection {
    /// Every collection, in the order in which their tables are made.
    pub const ALL: [Self; 14] = [
        Self::Meta,
        Self::Tasks,
        Self::Replicates,
        Self::Deals,
        Self::Workers,
        Self::TaskLogs,
        Self::Cursors,
        Self::Outbox,
        Self::Tokens,
        Self::Challenges,
        Self::Keys,
        Self::Journal,
        Self::Results,
        Self::Authorizations,
    ];

    /// The table's name, which is also the name that errors tell.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Tasks => "tasks",
            Self::Replicates => "replicates",
            Self::Deals => "deals",
            Self::Workers => "workers",
            Self::TaskLogs => "task_logs",
            Self::Cursors => "cursors",
            Self::Outbox => "outbox",
            Self::Tokens => "tokens",
            Self::Challenges => "challenges",
            Self::Keys => "keys",
            Self::Journal => "journal",
            Self::Results => "results",
            Self::Authorizations => "authorizations",
        }
    }
}

/// A sequence of records to which one can only append. Numbers start at 1, grow by one a record, and are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// What happened to deals, tasks, replicates and workers, and why.
    Events,
    /// What workers were told, so that one that reconnects can be told again.
    Notices,
}

impl Stream {
    /// Every stream, in the order in which their tables are made.
    pub const ALL: [Self; 2] = [Self::Events, Self::Notices];

    /// The table's name, which is also the name that errors tell.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Notices => "notices",
        }
    }
}
