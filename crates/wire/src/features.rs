//! Faster paths between a scheduler and a worker of ours. The worker names those it knows in a request header, the scheduler
//! answers the same header with those it grants; an original on either side ignores the header, and nothing changes.

use std::fmt;

/// What one side knows, or the other grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features {
    /// An ask for work is held until there is some, [`HOLD`](Self::HOLD) at most, and does not count against the ask period.
    pub wait: bool,
    /// Notifications come over a WebSocket, see [`crate::events`].
    pub events: bool,
    /// A standard task of trust 1 may be finished by its worker alone: upload first, then one `contributeAndFinalize`
    /// instead of three transactions. An original would take the worker's statuses for an error, so it must be granted.
    pub caf: bool,
}

impl Features {
    /// The header, in requests and answers.
    pub const HEADER: &str = "workerpool-features";

    /// How long a scheduler holds an ask.
    pub const HOLD: std::time::Duration = std::time::Duration::from_secs(25);

    /// None of them.
    pub const NONE: Self = Self {
        wait: false,
        events: false,
        caf: false,
    };

    /// All that this version knows.
    pub const ALL: Self = Self {
        wait: true,
        events: true,
        caf: true,
    };

    /// Reads the header; names that are not known are left out.
    pub fn parse(header: &str) -> Self {
        let has = |name: &str| {
            header
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(name))
        };
        Self {
            wait: has("wait"),
            events: has("events"),
            caf: has("caf"),
        }
    }

    /// What both sides know.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            wait: self.wait && other.wait,
            events: self.events && other.events,
            caf: self.caf && other.caf,
        }
    }

    /// Whether there is nothing to put into the header.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// The header's value.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.wait, "wait"),
            (self.events, "events"),
            (self.caf, "caf"),
        ];
        let names: Vec<_> = names
            .iter()
            .filter(|(has, _)| *has)
            .map(|(_, name)| *name)
            .collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_reads_back_and_unknown_names_are_left_out() {
        assert_eq!(Features::parse("wait, events, caf, more"), Features::ALL);
        assert_eq!(
            Features::parse(" WAIT "),
            Features {
                wait: true,
                ..Features::NONE
            }
        );
        assert_eq!(Features::parse(""), Features::NONE);
        assert_eq!(Features::ALL.to_string(), "wait, events, caf");
        assert_eq!(Features::parse(&Features::ALL.to_string()), Features::ALL);
    }
}
