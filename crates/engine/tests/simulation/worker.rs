//! A worker that does its work, and one that dies, lies, repeats, skips and forgets.

use engine::{Ask, Input};
use engine::{Notice, Recipients, Reply, Report, ReportDetails, Ticket};
use poco::ids::TaskId;
use poco::units::BlockNumber;
use wire::status::ReplicateStatus::{self, *};
use wire::status::TaskNotificationType::{
    self, PleaseAbort, PleaseComplete, PleaseContribute, PleaseReveal, PleaseUpload,
};

use super::dice::Dice;
use crate::world::{LINK, Tx, World, alone, callback_of, hash, wallet};

#[derive(Debug, Clone)]
struct Job {
    task: TaskId,
    /// The last status that was answered.
    at: ReplicateStatus,
    told: Option<TaskNotificationType>,
    /// A report that waits for its answer.
    waits: Option<(Ticket, ReplicateStatus)>,
    sent: bool,
    /// It goes in steps.
    classic: bool,
}

/// A replicate as it was when its worker learned that it was given.
pub(crate) struct Given {
    pub(crate) task: TaskId,
    pub(crate) name: &'static str,
    pub(crate) history: Vec<ReplicateStatus>,
}

pub(crate) struct SimWorker {
    pub(crate) name: &'static str,
    honest: bool,
    /// It was granted to finish tasks with one transaction.
    caf: bool,
    jobs: Vec<Job>,
    asks: Option<Ticket>,
    given: Vec<Given>,
    /// Steps it stays dead.
    dead: usize,
    gone: bool,
}

impl SimWorker {
    pub(crate) const fn new(name: &'static str, honest: bool, caf: bool) -> Self {
        Self {
            name,
            honest,
            caf,
            jobs: Vec::new(),
            asks: None,
            given: Vec::new(),
            dead: 0,
            gone: false,
        }
    }

    /// What it was given since this was last asked.
    pub(crate) fn take_given(&mut self) -> Vec<Given> {
        std::mem::take(&mut self.given)
    }

    /// It does nothing any more.
    pub(crate) fn leave(&mut self, world: &mut World) {
        self.gone = true;
        world.silence(self.name);
    }

    pub(crate) fn hear(&mut self, notice: &Notice) {
        let me = match &notice.to {
            Recipients::Everyone => true,
            Recipients::Workers(workers) => workers.contains(&wallet(self.name)),
        };
        if !me || self.dead > 0 {
            return;
        }
        for job in self.jobs.iter_mut().filter(|job| job.task == notice.task) {
            job.told = Some(notice.kind);
        }
    }

    pub(crate) fn act(&mut self, world: &mut World, dice: &mut Dice) {
        if self.gone {
            return;
        }
        if self.dead > 0 {
            self.dead -= 1;
            if self.dead == 0 {
                self.come_back(world, dice);
            }
            return;
        }
        self.read_answers(world);
        if !self.honest && dice.one_in(60) {
            self.dead = 1 + dice.below(80);
            world.silence(self.name);
            return;
        }
        if self.jobs.is_empty() || dice.one_in(3) {
            self.ask(world, dice);
        } else {
            let index = dice.below(self.jobs.len());
            self.work(world, dice, index);
        }
    }

    fn come_back(&mut self, world: &mut World, dice: &mut Dice) {
        world.back(self.name);
        if dice.one_in(2) {
            return;
        }
        // Its process died: what was not computed is gone.
        self.asks = None;
        for job in &mut self.jobs {
            job.waits = None;
        }
        let block = world.chain.head().unwrap().number;
        let missed = match world.interrupted(self.name, block).get() {
            Some(Reply::Missed(missed)) => missed,
            _ => Vec::new(),
        };
        for one in missed {
            if let Some(job) = self
                .jobs
                .iter_mut()
                .find(|job| job.task == one.assignment.task)
            {
                job.told = Some(one.kind);
                if one.kind == PleaseContribute && job.at < Computed {
                    // Some say so, as ours does; some keep silent, as the original does.
                    job.told = dice.one_in(2).then_some(PleaseAbort);
                }
            }
        }
        self.jobs
            .retain(|job| job.at >= Computed || job.told.is_some());
    }

    fn ask(&mut self, world: &mut World, dice: &mut Dice) {
        if self.asks.is_some() {
            return;
        }
        let ticket = world.ticket();
        world.input(Input::Ask(Ask {
            ticket,
            worker: wallet(self.name),
            block: BlockNumber(1),
            wait: dice.one_in(2),
            gas: true,
            weight: Some(2),
        }));
        self.asks = Some(ticket);
        self.read_answers(world);
    }

    fn read_answers(&mut self, world: &mut World) {
        if let Some(ticket) = self.asks
            && let Some(reply) = world.reply(ticket)
        {
            self.asks = None;
            if let Reply::Given(given) = reply {
                self.given.push(Given {
                    task: given.task,
                    name: self.name,
                    history: world.replicate(self.name, given.task),
                });
                self.jobs.retain(|job| job.task != given.task);
                self.jobs.push(Job {
                    task: given.task,
                    at: Created,
                    told: None,
                    waits: None,
                    sent: false,
                    classic: false,
                });
            }
        }
        if self.asks.is_some_and(|ticket| world.is_forgotten(ticket)) {
            self.asks = None;
        }
        let mut aborted = Vec::new();
        for job in &mut self.jobs {
            let Some((ticket, status)) = job.waits else {
                continue;
            };
            let Some(reply) = world.reply(ticket) else {
                if world.is_forgotten(ticket) {
                    job.waits = None;
                }
                continue;
            };
            job.waits = None;
            match reply {
                Reply::Accepted(PleaseAbort) | Reply::AlreadyKnown(PleaseAbort) => {
                    aborted.push(job.task);
                }
                Reply::Accepted(_) | Reply::AlreadyKnown(_) => {
                    // Back to contributing is the one step against the order.
                    let back = job.at == ContributeAndFinalizeOngoing && status == Contributing;
                    job.at = if back { status } else { status.max(job.at) };
                    job.sent = false;
                }
                Reply::Refused(_) if status == ContributeAndFinalizeOngoing => job.classic = true,
                Reply::Refused(_) => aborted.push(job.task),
                _ => {}
            }
        }
        for task in aborted {
            self.abort(world, task);
        }
    }

    fn abort(&mut self, world: &mut World, task: TaskId) {
        self.jobs.retain(|job| job.task != task);
        let _ = world.report(self.name, task, Aborted);
    }

    fn work(&mut self, world: &mut World, dice: &mut Dice, index: usize) {
        let job = self.jobs[index].clone();
        if job.waits.is_some() {
            return;
        }
        if job.told == Some(PleaseAbort) {
            self.abort(world, job.task);
            return;
        }
        if !self.honest && dice.one_in(15) {
            self.misbehave(world, dice, index);
            return;
        }
        let worker = wallet(self.name);
        let next = match job.at {
            Created => Starting,
            Starting => Started,
            Started => AppDownloading,
            AppDownloading => AppDownloaded,
            AppDownloaded => DataDownloading,
            DataDownloading => DataDownloaded,
            DataDownloaded => Computing,
            Computing => Computed,
            Computed if self.caf && !job.classic && dice.one_in(2) => ContributeAndFinalizeOngoing,
            Computed => Contributing,
            // It does not go, and it contributes alone.
            ContributeAndFinalizeOngoing if !job.sent && dice.one_in(5) => {
                self.jobs[index].classic = true;
                Contributing
            }
            ContributeAndFinalizeOngoing if !job.sent => {
                world.uploaded.insert(job.task);
                let result = if self.honest { "good" } else { self.name };
                world.send(alone(job.task, self.name, result));
                self.jobs[index].sent = true;
                return;
            }
            ContributeAndFinalizeOngoing => ContributeAndFinalizeDone,
            ContributeAndFinalizeDone if job.told == Some(PleaseComplete) => Completing,
            Contributing if !job.sent => {
                let result = if self.honest { "good" } else { self.name };
                world.send(Tx::Contribute(job.task, worker, hash(result)));
                self.jobs[index].sent = true;
                return;
            }
            Contributing => Contributed,
            Contributed | Revealing | Revealed | ResultUploading | ResultUploaded
                if job.told == Some(PleaseComplete) =>
            {
                Completing
            }
            Contributed if job.told == Some(PleaseReveal) => Revealing,
            Revealing if !job.sent => {
                world.send(Tx::Reveal(job.task, worker));
                self.jobs[index].sent = true;
                return;
            }
            Revealing => Revealed,
            Revealed if job.told == Some(PleaseUpload) => ResultUploading,
            ResultUploading => {
                world.uploaded.insert(job.task);
                ResultUploaded
            }
            Completing => Completed,
            Completed => {
                self.jobs.remove(index);
                return;
            }
            _ => return,
        };
        self.report(world, index, next);
    }

    fn report(&mut self, world: &mut World, index: usize, status: ReplicateStatus) {
        let callback = self.callback(world, self.jobs[index].task);
        let job = &mut self.jobs[index];
        // The block after the one at which it was sent, as a receipt would say.
        let chain_claim = matches!(status, Contributed | Revealed | ContributeAndFinalizeDone);
        let head = world.chain.head().unwrap().number.0;
        let ticket = world.ticket();
        job.waits = Some((ticket, status));
        let task = job.task;
        world.input(Input::Report(Box::new(Report {
            ticket,
            worker: wallet(self.name),
            task,
            status,
            details: ReportDetails {
                block: chain_claim.then_some(BlockNumber(head + 1)),
                result_link: Some(LINK.to_owned()),
                callback_data: Some(callback),
                ..ReportDetails::default()
            },
        })));
        self.read_answers(world);
    }

    /// What it contributed; nonsense where nobody is called back, which must do no harm.
    fn callback(&self, world: &World, task: TaskId) -> String {
        if !world.stored.tasks[&task].calls_back {
            return "0x01".to_owned();
        }
        callback_of(if self.honest { "good" } else { self.name })
    }

    fn misbehave(&mut self, world: &mut World, dice: &mut Dice, index: usize) {
        match dice.below(5) {
            // Repeats itself.
            0 => {
                let at = self.jobs[index].at;
                self.report(world, index, at);
            }
            // Says anything.
            1 => {
                let all = ReplicateStatus::ALL;
                let status = all[dice.below(all.len())];
                let task = self.jobs[index].task;
                let _ = world.report(self.name, task, status);
            }
            // Claims what it did not do.
            2 => {
                let lie = if self.jobs[index].at == ContributeAndFinalizeOngoing {
                    ContributeAndFinalizeDone
                } else if self.jobs[index].at < Contributed {
                    Contributed
                } else {
                    Revealed
                };
                self.report(world, index, lie);
            }
            // Gives up without a word.
            3 => {
                self.jobs.remove(index);
            }
            _ => {
                let task = self.jobs[index].task;
                self.abort(world, task);
            }
        }
    }
}
