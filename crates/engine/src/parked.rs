//! Callers that wait because what they say or ask cannot be judged yet: until the chain shows it, until the result proxy
//! answered, or until their patience ends. Then they are told to come back: that is neither a yes nor a no.

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::BlockNumber;

use crate::engine::{Alarm, Engine};
use crate::input::{Report, Ticket};
use crate::output::Reply;
use crate::report::Verdict;
use crate::turn::Turn;

/// What a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The chain to be readable.
    Chain,
    /// The cursor to pass a block.
    Block,
    /// The result proxy's answer.
    Upload,
}

impl Waits {
    const fn name(self) -> &'static str {
        match self {
            Self::Chain => "the chain to be readable",
            Self::Block => "the block of the receipt",
            Self::Upload => "the result proxy",
        }
    }
}

/// A caller that waits.
#[derive(Debug, Clone)]
pub(crate) enum Parked {
    /// A report.
    Report {
        report: Box<Report>,
        waits: Waits,
        arrived: Option<BlockNumber>,
    },
    /// An interrupted worker whose node is ahead of our cursor: what it did may not be known here yet.
    Question { worker: Address, block: BlockNumber },
}

impl Engine {
    pub(crate) fn park_report(&mut self, turn: &mut Turn, report: Report, waits: Waits) {
        let ticket = report.ticket;
        let task = report.task;
        let until = turn.now.saturating_add(self.settings.report_patience);
        self.alarms.set(Alarm::Parked(ticket), until);
        let parked = Parked::Report {
            report: Box::new(report),
            waits,
            arrived: self.pool.head.map(|head| head.number),
        };
        self.parked.insert(ticket, parked);
        if waits == Waits::Upload {
            self.want_check(turn, task);
        }
    }

    pub(crate) fn park_question(
        &mut self,
        turn: &mut Turn,
        ticket: Ticket,
        worker: Address,
        block: BlockNumber,
    ) {
        let until = turn.now.saturating_add(self.settings.ask_patience);
        self.alarms.set(Alarm::Parked(ticket), until);
        self.parked
            .insert(ticket, Parked::Question { worker, block });
    }

    /// Looks again at everybody who waits for the chain.
    pub(crate) fn judge_parked(&mut self, turn: &mut Turn) {
        let tickets: Vec<Ticket> = self.parked.keys().copied().collect();
        for ticket in tickets {
            self.judge_one(turn, ticket, None);
        }
    }

    /// Looks again at those for whom the result proxy was asked.
    pub(crate) fn judge_uploads(&mut self, turn: &mut Turn, tickets: &[Ticket], uploaded: bool) {
        for ticket in tickets {
            self.judge_one(turn, *ticket, Some(uploaded));
        }
    }

    pub(crate) fn waiting_for_upload(&self, task: TaskId) -> Vec<Ticket> {
        self.parked
            .iter()
            .filter(|(_, parked)| match parked {
                Parked::Report { report, waits, .. } => {
                    *waits == Waits::Upload && report.task == task
                }
                Parked::Question { .. } => false,
            })
            .map(|(ticket, _)| *ticket)
            .collect()
    }

    fn judge_one(&mut self, turn: &mut Turn, ticket: Ticket, uploaded: Option<bool>) {
        match self.parked.get(&ticket) {
            Some(Parked::Question { worker, block }) => {
                let (worker, block) = (*worker, *block);
                if self.head_number() >= block {
                    self.unpark(ticket);
                    self.answer_interrupted(turn, ticket, worker);
                }
            }
            Some(Parked::Report {
                report, arrived, ..
            }) => {
                let (report, arrived) = (report.clone(), *arrived);
                match self.judge(&report, uploaded, arrived) {
                    Verdict::Accept => {
                        self.unpark(ticket);
                        self.accept(turn, *report);
                    }
                    Verdict::Answer(reply) => {
                        self.unpark(ticket);
                        self.answer(turn, &report, reply);
                    }
                    Verdict::Wait(now_waits) => self.wait_on(turn, ticket, now_waits),
                }
            }
            None => {}
        }
    }

    fn wait_on(&mut self, turn: &mut Turn, ticket: Ticket, now_waits: Waits) {
        let mut check = None;
        if let Some(Parked::Report { report, waits, .. }) = self.parked.get_mut(&ticket) {
            if now_waits == Waits::Upload && *waits != Waits::Upload {
                check = Some(report.task);
            }
            *waits = now_waits;
        }
        if let Some(task) = check {
            self.want_check(turn, task);
        }
    }

    pub(crate) fn parked_ran_out(&mut self, turn: &mut Turn, ticket: Ticket) {
        match self.parked.remove(&ticket) {
            Some(Parked::Report { waits, .. }) => {
                let waited_for = waits.name();
                turn.reply(ticket, Reply::Later { waited_for });
            }
            Some(Parked::Question { worker, .. }) => {
                self.answer_interrupted(turn, ticket, worker);
            }
            None => {}
        }
    }

    fn unpark(&mut self, ticket: Ticket) {
        self.parked.remove(&ticket);
        self.alarms.clear(&Alarm::Parked(ticket));
    }
}
