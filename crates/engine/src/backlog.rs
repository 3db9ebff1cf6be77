//! Which RECEIVED tasks are initialised, and when: a bag is initialised as workers come free for it, not all at once, and a
//! deal that comes after it is not kept waiting. Claims are kept short of a flood in the same way.

use std::collections::{BTreeMap, BTreeSet};

use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;
use wire::status::TaskStatus;

use crate::demand::Demand;
use crate::engine::Engine;
use crate::fair::{FairLine, Place};
use crate::output::Purpose;
use crate::records::TaskRecord;
use crate::turn::Turn;

/// Tasks initialised ahead for each slot of the workers that are there. More are initialised once half of them are taken, so that they
/// share a transaction; the other half lasts for the block or two that it takes, in which a slot may finish several short tasks.
const AHEAD_PER_SLOT: usize = 16;

/// Tasks initialised ahead with hardly any worker there, or none.
const LEAST_AHEAD: usize = 16;

/// Claims under way at a time. They are in no hurry: what else must be sent goes before them.
const MOST_CLAIMS: usize = 256;

/// Tasks that no worker has taken yet, in one line for each thing that they may demand of one: those that wait for a machine
/// which is not there keep nobody else waiting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog {
    lines: BTreeMap<Demand, Line>,
    /// Slots, taken or free, of the workers that could have such tasks and were there of late.
    slots: BTreeMap<Demand, usize>,
    /// Tasks that no transaction initialises yet, by the last moment at which a worker could begin.
    last_starts: BTreeSet<(Timestamp, TaskId)>,
    starts_of: BTreeMap<TaskId, Timestamp>,
    /// Claims that wait for others to be done, by the deadline that they waited for.
    claims: BTreeSet<(Timestamp, TaskId)>,
    /// Claims given out and not come back.
    claiming: BTreeSet<TaskId>,
}

#[derive(Debug, Clone, Default)]
struct Line {
    /// RECEIVED tasks. A deal has what is initialised of it ahead of the workers.
    received: FairLine,
    places: BTreeMap<TaskId, (DealId, Place)>,
    /// Tasks initialised, or on the way to it, and their deals.
    ahead: BTreeMap<TaskId, DealId>,
    ahead_of: BTreeMap<DealId, usize>,
    /// Tasks are initialised until there are enough, not one for each that is taken.
    filling: bool,
}

impl Line {
    /// The task to initialise next. A deal that has less than its share goes on while others have taken all there is, so
    /// that its turn with the workers does not have to wait for a block first.
    fn next(&mut self, slots: usize, most: usize) -> Option<TaskId> {
        let wanted = LEAST_AHEAD
            .max(slots.saturating_mul(AHEAD_PER_SLOT))
            .min(most);
        let first = self.received.first()?;
        let deals = self.ahead_of.len() + usize::from(first.has == 0);
        let share = (wanted / deals.max(1)).max(1);
        let total = self.ahead.len();
        let may_catch_up = total < wanted.saturating_mul(2);
        if total <= wanted / 2 || (may_catch_up && first.has <= share / 2) {
            self.filling = true;
        }
        if total >= wanted && !(may_catch_up && first.has < share) {
            self.filling = false;
        }
        if !self.filling {
            return None;
        }
        self.wait(first.place.task, None);
        Some(first.place.task)
    }

    /// Puts the task in the line, or takes it out.
    fn wait(&mut self, id: TaskId, place: Option<(DealId, Place)>) {
        if self.places.get(&id).copied() == place {
            return;
        }
        if let Some((deal, place)) = self.places.remove(&id) {
            self.received.remove(deal, place);
        }
        if let Some((deal, place)) = place {
            self.places.insert(id, (deal, place));
            self.received.insert(deal, place);
        }
    }

    fn go_ahead(&mut self, id: TaskId, deal: DealId) {
        if self.ahead.insert(id, deal).is_none() {
            let count = self.ahead_of.entry(deal).or_default();
            *count += 1;
            self.received.has(deal, *count);
        }
    }

    fn taken(&mut self, id: TaskId) {
        let Some(deal) = self.ahead.remove(&id) else {
            return;
        };
        let left = self
            .ahead_of
            .get(&deal)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            self.ahead_of.remove(&deal);
        } else {
            self.ahead_of.insert(deal, left);
        }
        self.received.has(deal, left);
    }

    /// Tasks of the deal that no worker has.
    fn left_of(&self, deal: DealId) -> usize {
        self.received.of(deal) + self.ahead_of.get(&deal).copied().unwrap_or(0)
    }
}

/// Where a task stands before a worker takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Received; not to be initialised before its turn.
    Waits {
        /// The last moment at which a worker could begin.
        last_start: Timestamp,
    },
    /// Being initialised.
    OnTheWay {
        /// The last moment at which a worker could begin.
        last_start: Timestamp,
    },
    /// Initialised, and nobody has it.
    Ready,
    /// Neither.
    Gone,
}

impl Backlog {
    /// Notes where the task stands.
    pub(crate) fn sort_in(&mut self, task: &TaskRecord, standing: Standing) {
        let id = task.id;
        let start = match standing {
            Standing::Waits { last_start } | Standing::OnTheWay { last_start } => Some(last_start),
            Standing::Ready | Standing::Gone => None,
        };
        self.start_by(id, start);
        let place = (task.deal, Place::of(task));
        let line = self.lines.entry(Demand::of(task.tag)).or_default();
        line.wait(
            id,
            matches!(standing, Standing::Waits { .. }).then_some(place),
        );
        match standing {
            Standing::OnTheWay { .. } | Standing::Ready => line.go_ahead(id, task.deal),
            Standing::Waits { .. } | Standing::Gone => line.taken(id),
        }
    }

    fn start_by(&mut self, id: TaskId, at: Option<Timestamp>) {
        if self.starts_of.get(&id).copied() == at {
            return;
        }
        if let Some(before) = self.starts_of.remove(&id) {
            self.last_starts.remove(&(before, id));
        }
        if let Some(at) = at {
            self.starts_of.insert(id, at);
            self.last_starts.insert((at, id));
        }
    }

    /// A worker has it.
    pub(crate) fn taken(&mut self, id: TaskId) {
        for line in self.lines.values_mut() {
            line.taken(id);
        }
    }

    /// It left the engine's memory.
    pub(crate) fn forget(&mut self, id: TaskId) {
        self.start_by(id, None);
        for line in self.lines.values_mut() {
            line.wait(id, None);
            line.taken(id);
        }
        // Where it waits to be claimed it is passed over.
        self.claimed(id);
    }

    /// Takes out the next task that no worker could begin in time at `time`.
    pub(crate) fn next_late(&mut self, time: Timestamp) -> Option<TaskId> {
        let (at, id) = self.last_starts.first().copied()?;
        if at > time {
            return None;
        }
        self.start_by(id, None);
        Some(id)
    }

    /// Whether [`Self::next_late`] has one more.
    pub(crate) fn has_late(&self, time: Timestamp) -> bool {
        self.last_starts.first().is_some_and(|(at, _)| *at <= time)
    }

    /// Tasks of the deal that no worker has yet.
    pub(crate) fn left_of(&self, deal: DealId, demand: Demand) -> usize {
        self.lines.get(&demand).map_or(0, |line| line.left_of(deal))
    }

    /// Slots of the workers that are there, and that could have such tasks.
    pub(crate) fn slots(&self, demand: Demand) -> usize {
        self.slots.get(&demand).copied().unwrap_or(0)
    }

    /// The task to initialise next, if one more is wanted.
    fn next(&mut self, most: usize) -> Option<TaskId> {
        let slots = &self.slots;
        let of = |demand| slots.get(demand).copied().unwrap_or(0);
        self.lines
            .iter_mut()
            .rev()
            .find_map(|(demand, line)| line.next(of(demand), most))
    }

    /// Whether one more claim may be given out. If not, the task's turn will come.
    pub(crate) fn may_claim(&mut self, task: TaskId, since: Timestamp) -> bool {
        let may = self.claiming.len() < MOST_CLAIMS || self.claiming.contains(&task);
        if may {
            self.claims.remove(&(since, task));
        } else {
            self.claims.insert((since, task));
        }
        may
    }

    /// Notes that a claim is under way.
    pub(crate) fn claims(&mut self, task: TaskId) {
        self.claiming.insert(task);
    }

    /// Notes that a claim came back, however it ended.
    pub(crate) fn claimed(&mut self, task: TaskId) {
        self.claiming.remove(&task);
    }
}

impl Engine {
    /// Counts the slots of the workers that are there.
    pub(crate) fn count_slots(&mut self, now: Timestamp) {
        let mut slots = BTreeMap::new();
        for worker in self.workers.values() {
            if worker.cordoned_since.is_some() || !self.is_alive(worker.worker, now) {
                continue;
            }
            let profile = &worker.profile;
            for demand in Demand::all().filter(|demand| demand.is_met_by(profile)) {
                *slots.entry(demand).or_default() += profile.slots() as usize;
            }
        }
        self.backlog.slots = slots;
    }

    /// Where the task stands in the backlog.
    pub(crate) fn standing(&self, task: &TaskRecord) -> Standing {
        let last_start = self.last_start(task);
        match task.status {
            TaskStatus::Received if !self.deal_vanished(task.deal) => {
                Standing::Waits { last_start }
            }
            TaskStatus::Initializing => Standing::OnTheWay { last_start },
            TaskStatus::Initialized
                if self.chain_clock() < last_start
                    && self.replicates_of(task.id).next().is_none() =>
            {
                Standing::Ready
            }
            _ => Standing::Gone,
        }
    }

    /// What a task that is not initialised yet waits for, in words.
    pub(crate) fn awaited_turn(&self, task: &TaskRecord) -> Option<String> {
        let demand = Demand::of(task.tag);
        let waits = task.status == TaskStatus::Received;
        waits.then(|| {
            let (left, slots) = (
                self.backlog.left_of(task.deal, demand),
                self.backlog.slots(demand),
            );
            format!(
                "it is initialised when its turn comes: {left} task(s) of its deal have no worker yet, and {slots} slot(s) are there for such \
                 tasks"
            )
        })
    }

    /// The last moment at which a worker could begin the task: later the pool gives it to nobody.
    pub(crate) fn last_start(&self, task: &TaskRecord) -> Timestamp {
        task.contribution_deadline
            .saturating_sub(self.window_reserve(task))
    }

    /// Begins the next initialisation, if one more is wanted. Says whether it did anything.
    pub(crate) fn initialize_next(&mut self, turn: &mut Turn) -> bool {
        // Facts to come may show that much of this is done.
        if self.catching_up || self.pool.head.is_none() {
            return false;
        }
        let Some(id) = self.backlog.next(self.settings.initialize_ahead) else {
            return false;
        };
        let Some(task) = self.tasks.get(&id) else {
            return true;
        };
        if task.status == TaskStatus::Received && self.chain_clock() < self.last_start(task) {
            let why = "initialize is sent";
            self.advance(turn, id, &[TaskStatus::Initializing], why);
        }
        true
    }

    /// Begins the next claim that had to wait for others. Says whether it did anything.
    pub(crate) fn claim_next(&mut self, turn: &mut Turn) -> bool {
        if self.backlog.claiming.len() >= MOST_CLAIMS {
            return false;
        }
        let Some((_, id)) = self.backlog.claims.pop_first() else {
            return false;
        };
        turn.review.insert(id);
        true
    }

    /// Whether the transaction may be given out now; a claim may have to wait for others.
    pub(crate) fn has_turn(&mut self, id: TaskId, purpose: Purpose) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        purpose != Purpose::Claim || self.backlog.may_claim(id, task.final_deadline)
    }
}
