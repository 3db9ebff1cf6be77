//! What a caller may do about an error: decided where the error is made, matched where it is handled.

/// What an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is known yet; the same request may succeed in a moment.
    Retryable,
    /// Worth repeating, but only as long as the thing that wants it still has time.
    UntilDeadline,
    /// The same request will fail again until a person changes something.
    Terminal,
    /// Cannot happen in a correct program.
    Bug,
}
