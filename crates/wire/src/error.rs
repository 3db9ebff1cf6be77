//! Why a service did not give the answer it was asked for.
//!
//! Made once, where the exchange failed, with its [`Kind`]; nobody looks at the text. A status code that has a meaning of its
//! own for a call (204, 202, 208, a 404 that says "no") is a value of that call, never an error here.

use std::time::Duration;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Try again: the service was not reached, is busy, or wants a new login.
    Retryable,
    /// Try again until whatever the call is for has its deadline: it may be passing, or not.
    UntilDeadline,
    /// The same call will never succeed.
    Terminal,
    /// One of us is wrong about the protocol.
    Bug,
}

/// Why a service did not give the answer it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The request cannot have arrived.
    #[error("{url} cannot be reached: {problem}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the system says.
        problem: String,
    },
    /// The request may have arrived, but there was no whole answer.
    #[error("the connection to {url} broke before the answer was whole: {problem}")]
    Broken {
        /// What was asked.
        url: String,
        /// What the system says.
        problem: String,
    },
    /// The request may have arrived, but there was no answer in time.
    #[error("{url} did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// What was asked.
        url: String,
        /// How long we waited.
        after: Duration,
    },
    /// 401: there is no token, or it is not or no longer valid, or the service says no to who we are.
    #[error(
        "{url} refuses our credentials (401): a new login is needed, or this wallet is not allowed"
    )]
    Unauthorized {
        /// What was asked.
        url: String,
    },
    /// 503: the service is up but cannot work now, as a scheduler without its chain.
    #[error("{url} is not ready to work (503)")]
    Unavailable {
        /// What was asked.
        url: String,
    },
    /// Any other status that is not an answer.
    #[error("{url} answered {status}: {body}")]
    Status {
        /// What was asked.
        url: String,
        /// The status code.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// An answer of another shape than the protocol's.
    #[error("{url} answered something that is no {expected}: {problem}; it begins {body:?}")]
    NotUnderstood {
        /// What was asked.
        url: String,
        /// What should have come.
        expected: &'static str,
        /// What is wrong with it.
        problem: String,
        /// The beginning of the body.
        body: String,
    },
    /// The service is where a stranger said, and that is a place that must not be connected to.
    #[error("{url} is not asked: {problem}")]
    Refused {
        /// What was to be asked.
        url: String,
        /// Why not.
        problem: String,
    },
    /// What we want to send cannot be sent.
    #[error("a request to {url} cannot be made: {problem}")]
    NotSendable {
        /// What was to be asked.
        url: String,
        /// Why not.
        problem: String,
    },
}

impl ClientError {
    /// What to do about it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Unauthorized { .. }
            | Self::Unavailable { .. }
            | Self::Status {
                status: 408 | 429 | 500..=599,
                ..
            } => Kind::Retryable,
            // A wrong URL, or something in front of the service that answers while it restarts.
            Self::NotUnderstood { .. }
            | Self::Status {
                status: 404 | 405, ..
            } => Kind::UntilDeadline,
            Self::Status { .. } | Self::Refused { .. } => Kind::Terminal,
            Self::NotSendable { .. } => Kind::Bug,
        }
    }

    /// Whether a new login may help.
    pub const fn wants_login(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }

    /// Whether the service may have done what was asked although there was no answer.
    pub const fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::TimedOut { .. })
    }
}
