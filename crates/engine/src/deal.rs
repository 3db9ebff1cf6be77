//! Deals: taking them on or refusing them, and making their tasks part by part.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use poco::ids::{DealId, TaskId};
use poco::tag::TeeFramework;
use poco::units::BlockNumber;
use wire::status::TaskStatus;

use crate::chain_state::ChainState;
use crate::engine::{Alarm, Engine};
use crate::input::DealDetails;
use crate::records::{DealRecord, Deed, TaskRecord, TaskStep, Topic};
use crate::turn::{About, Turn};

/// Why a deal can never be served by this pool, if so. Such a deal is recorded and its tasks fail at once, so that people
/// see why (spec onchain A10: nobody else tells them).
fn unservable(details: &DealDetails, served: &BTreeSet<TeeFramework>) -> Option<String> {
    if details.refused.is_some() {
        return details.refused.clone();
    }
    let [.., low] = details.tag.0.0;
    match details.tag.tee_framework() {
        Some(framework) if served.contains(&framework) => None,
        Some(framework) => Some(format!(
            "its tag {} demands {framework}, and this pool has no SMS for that",
            details.tag
        )),
        None if low & 0x0f != 0 => Some(format!(
            "its tag {} demands an enclave, and none of the known technologies",
            details.tag
        )),
        None => None,
    }
}

impl Engine {
    pub(crate) fn take_deal(
        &mut self,
        turn: &mut Turn,
        block: BlockNumber,
        tx: B256,
        details: DealDetails,
    ) {
        let id = details.id;
        self.unreadable.remove(&id);
        self.pool.latest_deal_block = self.pool.latest_deal_block.max(block);
        turn.pool_changed();
        if self.known_deals.contains(&id) {
            self.deal_came_back(turn, block, tx, details);
            return;
        }
        let refused = unservable(&details, &self.settings.frameworks);
        let text = match &refused {
            None => format!(
                "deal of {} task(s) at trust {}, contributions until {}",
                details.bot_size,
                details.trust,
                details.contribution_deadline()
            ),
            Some(reason) => format!("deal refused: {reason}"),
        };
        self.known_deals.insert(id);
        self.deals.insert(
            id,
            DealRecord {
                next_index: details.bot_first,
                details,
                block,
                tx,
                seen_at: turn.now,
                refused,
                vanished: false,
            },
        );
        turn.deal_changed(id);
        self.note(turn, Topic::Deal, About::deal(id), text);
        self.alarms.set(Alarm::Expand(id), turn.now);
    }

    /// A deal is told of again, usually because its block was replaced: its start may have moved.
    fn deal_came_back(
        &mut self,
        turn: &mut Turn,
        block: BlockNumber,
        tx: B256,
        details: DealDetails,
    ) {
        let id = details.id;
        let Some(deal) = self.deals.get_mut(&id) else {
            return;
        };
        let (contribution, last) = (details.contribution_deadline(), details.final_deadline());
        deal.vanished = false;
        deal.block = block;
        deal.tx = tx;
        deal.details = details;
        turn.deal_changed(id);
        for task in self.tasks_of_deal.get(&id).cloned().unwrap_or_default() {
            if let Some(record) = self.tasks.get_mut(&task) {
                record.contribution_deadline = contribution;
                record.final_deadline = last;
            }
            turn.task_changed(task);
        }
        self.alarms.set(Alarm::Expand(id), turn.now);
    }

    pub(crate) fn deal_invalid(&mut self, turn: &mut Turn, id: DealId, reason: &str) {
        if self.known_deals.insert(id) {
            let text = format!("deal {id} can never be read and is left alone: {reason}");
            self.note(turn, Topic::Deal, About::deal(id), text);
        }
    }

    pub(crate) fn deal_unreadable(&mut self, turn: &mut Turn, id: DealId, reason: &str) {
        if self.unreadable.insert(id) {
            let text = format!("deal {id} cannot be read now and is tried again: {reason}");
            self.note(turn, Topic::Deal, About::deal(id), text);
        }
    }

    /// Makes the next tasks of a deal, no more in one turn than allowed. Wants to be woken at once while some are left.
    pub(crate) fn expand(&mut self, turn: &mut Turn, id: DealId) {
        let Some(deal) = self.deals.get(&id) else {
            return;
        };
        if deal.vanished || deal.is_expanded() {
            return;
        }
        let room = self
            .settings
            .expand_at_once
            .max(1)
            .saturating_sub(turn.made);
        let from = deal.next_index;
        let to = deal.end_index().min(from.saturating_add(room));
        turn.made = turn.made.saturating_add(to.saturating_sub(from));
        for index in from..to {
            self.make_task(turn, id, index);
        }
        if let Some(deal) = self.deals.get_mut(&id) {
            deal.next_index = to;
            if !deal.is_expanded() {
                self.alarms.set(Alarm::Expand(id), turn.now);
            }
        }
        turn.deal_changed(id);
        if self.deals.get(&id).is_some_and(DealRecord::is_expanded) {
            // What was made must be in the backlog before it is counted.
            self.review_touched(turn);
            self.judge_capacity(turn, id, true);
        }
    }

    fn make_task(&mut self, turn: &mut Turn, deal_id: DealId, index: u64) {
        let id = TaskId::of(deal_id, index);
        let Some(deal) = self.deals.get(&deal_id) else {
            return;
        };
        if self.tasks.contains_key(&id) {
            return;
        }
        let details = &deal.details;
        let refused = deal.refused.clone();
        let task = TaskRecord {
            id,
            deal: deal_id,
            index,
            tag: details.tag,
            trust: details.trust.max(1),
            max_execution_ms: u64::try_from(details.max_execution.as_millis()).unwrap_or(u64::MAX),
            created_at: turn.now,
            contribution_deadline: details.contribution_deadline(),
            final_deadline: details.final_deadline(),
            calls_back: details.callback.is_some(),
            status: TaskStatus::Received,
            history: vec![TaskStep {
                status: TaskStatus::Received,
                at: turn.now,
            }],
            facts: Vec::new(),
            uploader: None,
            result_link: None,
            callback_data: None,
            failure: None,
            ended_at: None,
            initialize: Deed::default(),
            finalize: Deed::default(),
            reopen: Deed::default(),
            claim: Deed::default(),
            challenge: Deed::default(),
            enclave: None,
            retired: false,
            chain: ChainState::default(),
        };
        self.tasks.insert(id, task);
        self.tasks_of_deal.entry(deal_id).or_default().insert(id);
        self.count(turn, None, TaskStatus::Received);
        turn.task_changed(id);
        if let Some(reason) = refused {
            self.fail(turn, id, TaskStatus::InitializeFailed, &reason);
        }
    }

    /// A task that its deal has but that is not made yet, because somebody else was quicker than [`Self::expand`].
    pub(crate) fn make_early(&mut self, turn: &mut Turn, task: TaskId) -> bool {
        let found = self
            .deals
            .values()
            .filter(|deal| !deal.is_expanded())
            .find_map(|deal| {
                (deal.next_index..deal.end_index())
                    .find(|index| TaskId::of(deal.details.id, *index) == task)
                    .map(|index| (deal.details.id, index))
            });
        match found {
            Some((deal, index)) => {
                self.make_task(turn, deal, index);
                true
            }
            None => false,
        }
    }

    pub(crate) fn deal_vanished(&self, deal: DealId) -> bool {
        self.deals.get(&deal).is_some_and(|deal| deal.vanished)
    }
}
