//! An engine in this process, told of deals, workers and what the chain says, with the records it would store. For measurements where
//! only the engine counts, and to make a store that looks like one of a pool that has worked for long.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use engine::{
    Ask, BlockRef, Change, DealDetails, DealRecord, Engine, Fact, Input, Located, Outputs,
    PoolRecord, Reply, Report, ReportDetails, Settings, TaskFact, TaskRecord, Ticket,
    WorkerProfile, WorkerRecord,
};
use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use poco::units::{BlockNumber, Timestamp};
use wire::status::ReplicateStatus;

/// Longest execution time of every task.
const PERIOD: Duration = Duration::from_secs(300);

/// The last version of every record that was to be stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// The pool's.
    pub(crate) pool: PoolRecord,
    /// Deals.
    pub(crate) deals: BTreeMap<DealId, DealRecord>,
    /// Tasks.
    pub(crate) tasks: BTreeMap<TaskId, TaskRecord>,
    /// Workers.
    pub(crate) workers: BTreeMap<Address, WorkerRecord>,
}

impl Kept {
    /// Takes over what is to be stored.
    pub(crate) fn take(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Pool(pool) => self.pool = pool.as_ref().clone(),
                Change::Deal(deal) => {
                    self.deals.insert(deal.details.id, deal.as_ref().clone());
                }
                Change::Task(task) => {
                    self.tasks.insert(task.id, task.as_ref().clone());
                }
                Change::Worker(worker) => {
                    self.workers.insert(worker.worker, worker.as_ref().clone());
                }
                Change::Replicate(_) | Change::Event(_) | Change::Logs { .. } => {}
            }
        }
    }
}

/// An engine and its chain.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The engine.
    pub(crate) engine: Engine,
    /// The time it is told.
    pub(crate) now: Timestamp,
    /// The block that its facts stand in.
    pub(crate) block: BlockRef,
    /// What was to be stored and has not been taken yet.
    pub(crate) changes: Vec<Change>,
    tickets: u64,
}

impl Pool {
    /// In service at `block`.
    #[must_use]
    pub(crate) fn new(settings: Settings, block: BlockRef) -> Self {
        Self::around(Engine::new(settings), block)
    }

    /// Around an engine that was loaded, in service at `block`.
    #[must_use]
    pub(crate) fn around(engine: Engine, block: BlockRef) -> Self {
        let mut pool = Self {
            engine,
            now: block.time,
            block,
            changes: Vec::new(),
            tickets: 0,
        };
        let _answers_nobody = pool.input(Input::ChainHealth { up: true });
        pool.learn(Vec::new());
        pool
    }

    /// Says what happened; changes are kept, everything else is looked at by the caller.
    pub(crate) fn input(&mut self, input: Input) -> Outputs {
        let mut outputs = self.engine.handle(self.now, input);
        self.changes.append(&mut outputs.changes);
        outputs
    }

    /// Says what the chain shows.
    pub(crate) fn learn(&mut self, facts: Vec<Fact>) {
        let located = facts.into_iter().enumerate().map(|(index, fact)| Located {
            block: self.block.number,
            time: self.block.time,
            tx: B256::repeat_byte(7),
            log_index: index as u64,
            fact,
        });
        let facts = located.collect();
        let _answers_nobody = self.input(Input::Advanced {
            to: self.block,
            head: self.block.number,
            facts,
        });
    }

    /// A deal of `size` tasks is seen, and all of them are made.
    pub(crate) fn deal(&mut self, number: u64, size: u64, trust: u64, tag: Tag) -> Vec<TaskId> {
        let id = DealId(B256::from(U256::from(0xdea1_0000 + number)));
        let someone = Address::repeat_byte(0x22);
        let details = DealDetails {
            id,
            requester: someone,
            beneficiary: someone,
            app: Address::repeat_byte(0x33),
            app_image: "127.0.0.1:5000/workerpool/noop:1".to_owned(),
            dataset: None,
            callback: None,
            tag,
            trust,
            category: 0,
            max_execution: PERIOD,
            start_time: self.block.time,
            contribution_ratio: 7,
            final_ratio: 10,
            bot_first: 0,
            bot_size: size,
            arguments: None,
            storage_provider: Some("ipfs".to_owned()),
            storage_proxy: None,
            refused: None,
        };
        self.learn(vec![Fact::Deal(Box::new(details))]);
        while self.engine.next_wake().is_some_and(|wake| wake <= self.now) {
            let _answers_nobody = self.input(Input::Tick);
        }
        (0..size).map(|index| TaskId::of(id, index)).collect()
    }

    /// The chain shows this of a task.
    #[must_use]
    pub(crate) const fn fact(task: TaskId, what: TaskFact) -> Fact {
        Fact::Task { task, what }
    }

    /// A worker says what machine it is.
    pub(crate) fn register(&mut self, worker: Address, slots: i64) {
        let ticket = self.ticket();
        let profile = WorkerProfile {
            cpu_nb: slots,
            ..WorkerProfile::default()
        };
        let _registered = self.input(Input::Registered {
            ticket,
            worker,
            profile,
        });
    }

    /// What an ask of this worker is made of.
    pub(crate) fn question(&mut self, worker: Address) -> Ask {
        Ask {
            ticket: self.ticket(),
            worker,
            block: self.block.number,
            wait: false,
            gas: true,
            weight: Some(2),
        }
    }

    /// Asks for work; the task that was given.
    pub(crate) fn ask(&mut self, worker: Address) -> Option<TaskId> {
        let question = self.question(worker);
        let replies = self.input(Input::Ask(question)).replies;
        replies.into_iter().find_map(|(_, reply)| match reply {
            Reply::Given(given) => Some(given.task),
            _ => None,
        })
    }

    /// A worker reports a status.
    pub(crate) fn report(
        &mut self,
        worker: Address,
        task: TaskId,
        status: ReplicateStatus,
    ) -> Outputs {
        let ticket = self.ticket();
        let claims = matches!(
            status,
            ReplicateStatus::Contributed | ReplicateStatus::Revealed
        );
        let details = ReportDetails {
            block: claims.then_some(self.block.number),
            result_link: (status == ReplicateStatus::ResultUploaded)
                .then(|| r#"{ "storage": "ipfs", "location": "/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG" }"#.to_owned()),
            ..ReportDetails::default()
        };
        self.input(Input::Report(Box::new(Report {
            ticket,
            worker,
            task,
            status,
            details,
        })))
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

/// A block for engines that have no chain.
#[must_use]
pub(crate) fn block() -> BlockRef {
    BlockRef {
        number: BlockNumber(1000),
        hash: B256::repeat_byte(1),
        time: Timestamp::from_secs(1_700_000_000),
    }
}
