//! What the chain says: facts are written to their tasks, and dropped again when the chain drops their blocks.

use poco::ids::TaskId;
use poco::units::BlockNumber;
use std::time::Duration;

use crate::engine::Engine;
use crate::input::{BlockRef, Fact, Located, TaskFact};
use crate::records::{ChainFact, Topic};
use crate::turn::{About, Turn};

impl Engine {
    pub(crate) fn learn(
        &mut self,
        turn: &mut Turn,
        to: BlockRef,
        head: BlockNumber,
        facts: Vec<Located>,
    ) {
        self.catching_up = head > to.number;
        // Facts are judged with the head that they came with: a deadline is over only when all facts before it are known.
        self.pool.head = Some(to);
        turn.pool_changed();
        self.count_slots(turn.now);
        for located in facts {
            self.learn_one(turn, located);
        }
        for task in self.chain_alarms.take_due(to.time) {
            turn.review.insert(task);
        }
        self.give_up_late(turn);
        self.review_mined(turn, to.number);
        self.judge_parked(turn);
    }

    fn learn_one(&mut self, turn: &mut Turn, located: Located) {
        match located.fact {
            Fact::Deal(details) => self.take_deal(turn, located.block, located.tx, *details),
            Fact::DealInvalid { deal, reason } => self.deal_invalid(turn, deal, &reason),
            Fact::Task { task, what } => {
                let fact = ChainFact {
                    block: located.block,
                    time: located.time,
                    tx: located.tx,
                    log_index: located.log_index,
                    seen_at: turn.now,
                    what,
                };
                self.learn_of_task(turn, task, fact);
            }
        }
    }

    fn learn_of_task(&mut self, turn: &mut Turn, id: TaskId, fact: ChainFact) {
        if !self.tasks.contains_key(&id) {
            // Of a task that is not made yet its initialisation is always the first fact.
            let first = matches!(fact.what, TaskFact::Initialized);
            if !first || !self.make_early(turn, id) {
                return;
            }
        }
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let place = (fact.block, fact.log_index);
        let known = task
            .facts
            .iter()
            .any(|one| (one.block, one.log_index) == place && one.what == fact.what);
        if known {
            return;
        }
        let at = task
            .facts
            .partition_point(|one| (one.block, one.log_index) <= place);
        let (text, worker) = describe(&fact);
        task.facts.insert(at, fact);
        task.refold();
        self.readings.remove(&id);
        turn.task_changed(id);
        let about = About {
            task: Some(id),
            worker,
            deal: None,
        };
        self.note(turn, Topic::Chain, about, text);
    }

    /// Forgets everything above `to`, and what followed from it as far as it is not final.
    pub(crate) fn unlearn(&mut self, turn: &mut Turn, to: BlockNumber) {
        if let Some(head) = &mut self.pool.head
            && head.number > to
        {
            let dropped = u32::try_from(head.number.0 - to.0).unwrap_or(u32::MAX);
            let span: Duration = self.settings.block_time.saturating_mul(dropped);
            *head = BlockRef {
                number: to,
                hash: Default::default(),
                time: head.time.saturating_sub(span),
            };
            turn.pool_changed();
        }
        let text = format!("the chain dropped its blocks above {to}");
        self.note(turn, Topic::Chain, About::default(), text);

        let deals: Vec<_> = self
            .deals
            .iter()
            .filter(|(_, deal)| deal.block > to && !deal.vanished)
            .map(|(id, _)| *id)
            .collect();
        for id in deals {
            if let Some(deal) = self.deals.get_mut(&id) {
                deal.vanished = true;
            }
            turn.deal_changed(id);
            let text = "the deal's block was dropped; it is waited for".to_owned();
            self.note(turn, Topic::Deal, About::deal(id), text);
            for task in self.tasks_of_deal.get(&id).cloned().unwrap_or_default() {
                turn.review.insert(task);
            }
        }
        let tasks: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.facts.last().is_some_and(|fact| fact.block > to))
            .map(|(id, _)| *id)
            .collect();
        for id in tasks {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.facts.retain(|fact| fact.block <= to);
                task.refold();
                // A transaction that was mined in a dropped block is waited for again, up to the same height.
                let mined = task.mined_in().map(|block| (block, id));
                self.mined.extend(mined);
            }
            turn.task_changed(id);
            self.read_now(turn, id);
        }
    }
}

fn describe(fact: &ChainFact) -> (String, Option<alloy_primitives::Address>) {
    let block = fact.block;
    match &fact.what {
        TaskFact::Initialized => (format!("initialised on the chain in block {block}"), None),
        TaskFact::Contributed { worker, hash, .. } => (
            format!("contribution {hash:#x} in block {block}"),
            Some(*worker),
        ),
        TaskFact::Consensus { hash } => (format!("consensus on {hash:#x} in block {block}"), None),
        TaskFact::Revealed { worker, .. } => (format!("revealed in block {block}"), Some(*worker)),
        TaskFact::Reopened => (format!("reopened in block {block}"), None),
        TaskFact::Finalized { .. } => (format!("finalised in block {block}"), None),
        TaskFact::Claimed => (format!("claimed in block {block}"), None),
    }
}
