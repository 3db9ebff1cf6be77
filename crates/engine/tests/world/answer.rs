//! What a caller was answered, as a sentence that fails with the answer it got instead.

use engine::{MissedTask, Refusal, Reply, Unfit};
use poco::ids::TaskId;
use wire::status::TaskNotificationType;

use super::World;

/// What a caller was answered, if it was yet.
pub(crate) struct Answer<'w> {
    pub(crate) world: &'w mut World,
    pub(crate) ticket: engine::Ticket,
}

#[allow(
    clippy::wrong_self_convention,
    reason = "`ask(..).is_given(..)` is said once, and gives the world back"
)]
impl<'w> Answer<'w> {
    pub(crate) fn get(&self) -> Option<Reply> {
        self.world.reply(self.ticket).cloned()
    }

    fn must(&self) -> Reply {
        self.get().expect("no answer yet")
    }

    #[track_caller]
    pub(crate) fn is_given(self, task: TaskId) -> &'w mut World {
        match self.must() {
            Reply::Given(given) => assert_eq!(given.task, task),
            other => panic!("expected to be given {task}, got {other:?}"),
        }
        self.world
    }

    /// The task that was given.
    #[track_caller]
    pub(crate) fn given(self) -> TaskId {
        match self.must() {
            Reply::Given(given) => given.task,
            other => panic!("expected a task, got {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn is_nothing(self) -> &'w mut World {
        let reply = self.must();
        assert!(matches!(reply, Reply::NothingNow { .. }), "{reply:?}");
        self.world
    }

    #[track_caller]
    pub(crate) fn is_nothing_because(self, unfit: &Unfit) -> &'w mut World {
        let expected = Reply::NothingNow {
            because: Some(unfit.clone()),
        };
        assert_eq!(self.must(), expected);
        self.world
    }

    #[track_caller]
    pub(crate) fn is(self, reply: &Reply) -> &'w mut World {
        assert_eq!(self.must(), *reply);
        self.world
    }

    #[track_caller]
    pub(crate) fn is_accepted(self, action: TaskNotificationType) -> &'w mut World {
        self.is(&Reply::Accepted(action))
    }

    #[track_caller]
    pub(crate) fn is_known(self, action: TaskNotificationType) -> &'w mut World {
        self.is(&Reply::AlreadyKnown(action))
    }

    #[track_caller]
    pub(crate) fn is_refused(self, refusal: Refusal) -> &'w mut World {
        self.is(&Reply::Refused(refusal))
    }

    #[track_caller]
    pub(crate) fn has_no_answer_yet(self) -> engine::Ticket {
        assert_eq!(self.get(), None);
        self.ticket
    }

    #[track_caller]
    pub(crate) fn missed(self) -> Vec<MissedTask> {
        match self.must() {
            Reply::Missed(missed) => missed,
            other => panic!("expected missed tasks, got {other:?}"),
        }
    }

    /// The one thing missed: what to do about it.
    #[track_caller]
    pub(crate) fn missed_one(self) -> MissedTask {
        let mut missed = self.missed();
        assert_eq!(missed.len(), 1, "{missed:?}");
        missed.remove(0)
    }
}
