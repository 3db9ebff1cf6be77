//! The contracts in miniature (spec onchain A11, A12, A14): what a hub would do with transactions of workers and of the pool.
//! Written from the spec, and knowing nothing of the engine's state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use engine::{BlockRef, DealDetails, Fact, Located, TaskFact, TaskView};
use poco::consensus::Tally;
use poco::ids::{DealId, TaskId};
use poco::status::ChainTaskStatus;
use poco::units::{BlockNumber, Timestamp};

/// A transaction waiting to be mined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tx {
    Match(Box<DealDetails>),
    Initialize(TaskId, DealTimes),
    Contribute(TaskId, Address, B256),
    Reveal(TaskId, Address),
    /// With the result's hash, and the results.
    ContributeAndFinalize(TaskId, Address, B256, Bytes),
    Reopen(TaskId),
    /// With the results and the callback's bytes.
    Finalize(TaskId, Bytes, Bytes),
    Claim(TaskId, Option<DealTimes>),
}

/// What the contract takes from a deal when a task is initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DealTimes {
    pub(crate) deal: DealId,
    pub(crate) start: Timestamp,
    pub(crate) period: Duration,
    pub(crate) trust: u64,
    pub(crate) calls_back: bool,
}

#[derive(Debug, Clone)]
struct ChainTask {
    status: ChainTaskStatus,
    times: DealTimes,
    tally: Tally,
    contributions: BTreeMap<Address, (B256, Standing)>,
    consensus: Option<(B256, Timestamp)>,
    results: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Contributed,
    Proved,
    Rejected,
}

#[derive(Debug, Clone, Default)]
struct State {
    deals: BTreeSet<DealId>,
    tasks: BTreeMap<TaskId, ChainTask>,
}

/// One block with its facts, and the state before it, so that it can be dropped.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) block: BlockRef,
    pub(crate) facts: Vec<Located>,
    before: State,
    included: Vec<Tx>,
}

/// A chain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    state: State,
    pub(crate) mempool: Vec<Tx>,
    pub(crate) blocks: Vec<Block>,
    forks: u8,
}

impl Chain {
    pub(crate) fn head(&self) -> Option<BlockRef> {
        self.blocks.last().map(|block| block.block)
    }

    pub(crate) fn status(&self, id: TaskId) -> ChainTaskStatus {
        self.state
            .tasks
            .get(&id)
            .map_or(ChainTaskStatus::Unset, |task| task.status)
    }

    pub(crate) fn view(&self, id: TaskId) -> TaskView {
        let task = self.state.tasks.get(&id);
        TaskView {
            at: self.head().map(|head| head.number).unwrap_or_default(),
            status: self.status(id),
            reveals: task.map_or(0, |task| task.proved()),
            results: task.map(|task| task.results.clone()).unwrap_or_default(),
        }
    }

    /// The block that a transaction is in.
    pub(crate) fn block_of(&self, tx: &Tx) -> Option<BlockNumber> {
        let mut blocks = self.blocks.iter().rev();
        blocks
            .find(|block| block.included.contains(tx))
            .map(|block| block.block.number)
    }

    /// Whether the transaction would go through now.
    pub(crate) fn would_pass(&self, tx: &Tx, now: Timestamp) -> bool {
        self.state.clone().execute(tx, now).is_some()
    }

    /// Mines what waits. A transaction that fails leaves nothing behind.
    pub(crate) fn mine(&mut self, now: Timestamp) -> Block {
        let number = BlockNumber(self.head().map_or(100, |head| head.number.0) + 1);
        let before = self.state.clone();
        let included = std::mem::take(&mut self.mempool);
        let mut facts = Vec::new();
        for (place, tx) in included.iter().enumerate() {
            for fact in self.state.execute(tx, now).unwrap_or_default() {
                facts.push(Located {
                    block: number,
                    time: now,
                    tx: B256::with_last_byte(place as u8),
                    log_index: facts.len() as u64,
                    fact,
                });
            }
        }
        let block = Block {
            block: BlockRef {
                number,
                hash: B256::repeat_byte(self.forks)
                    | B256::from(alloy_primitives::U256::from(number.0)),
                time: now,
            },
            facts,
            before,
            included,
        };
        self.blocks.push(block.clone());
        block
    }

    /// Drops the last `depth` blocks. Their transactions wait again, but for matches when `forget` is set.
    pub(crate) fn drop_blocks(&mut self, depth: usize, keep: impl Fn(&Tx) -> bool) -> BlockNumber {
        self.forks = self.forks.wrapping_add(1);
        for _ in 0..depth {
            if self.blocks.len() < 2 {
                break;
            }
            let block = self.blocks.pop().unwrap();
            self.state = block.before;
            let mut again: Vec<Tx> = block.included.into_iter().filter(&keep).collect();
            again.append(&mut self.mempool);
            self.mempool = again;
        }
        self.head().unwrap().number
    }
}

impl State {
    fn execute(&mut self, tx: &Tx, now: Timestamp) -> Option<Vec<Fact>> {
        match tx {
            Tx::Match(details) => {
                let mut details = details.clone();
                self.deals.insert(details.id);
                details.start_time = Timestamp::from_secs(now.as_secs());
                Some(vec![Fact::Deal(details)])
            }
            Tx::Initialize(id, times) => {
                self.initialize(*id, *times)?;
                Some(vec![of(*id, TaskFact::Initialized)])
            }
            Tx::Contribute(id, worker, hash) => self.contribute(*id, *worker, *hash, now),
            Tx::Reveal(id, worker) => {
                let task = self.tasks.get_mut(id)?;
                let (consensus, at) = task.consensus?;
                let entry = task.contributions.get_mut(worker)?;
                let in_time = now < at.saturating_add(task.times.period * 2);
                let may = task.status == ChainTaskStatus::Revealing
                    && *entry == (consensus, Standing::Contributed);
                (may && in_time).then_some(())?;
                entry.1 = Standing::Proved;
                Some(vec![of(
                    *id,
                    TaskFact::Revealed {
                        worker: *worker,
                        digest: consensus,
                    },
                )])
            }
            Tx::ContributeAndFinalize(id, worker, hash, results) => {
                let task = self.tasks.get(id)?;
                let alone = task.times.trust == 1 && task.contributions.is_empty();
                (alone && !task.times.calls_back).then_some(())?;
                let mut facts = self.contribute(*id, *worker, *hash, now)?;
                let task = self.tasks.get_mut(id)?;
                task.contributions
                    .insert(*worker, (*hash, Standing::Proved));
                task.status = ChainTaskStatus::Completed;
                task.results = results.clone();
                let (worker, digest) = (*worker, *hash);
                facts.push(of(*id, TaskFact::Revealed { worker, digest }));
                let results = results.clone();
                facts.push(of(*id, TaskFact::Finalized { results }));
                Some(facts)
            }
            Tx::Reopen(id) => {
                let task = self.tasks.get_mut(id)?;
                let (consensus, at) = task.consensus?;
                let over = now >= at.saturating_add(task.times.period * 2);
                let may = task.status == ChainTaskStatus::Revealing
                    && task.proved() == 0
                    && now < task.final_deadline();
                (may && over).then_some(())?;
                for (hash, standing) in task.contributions.values_mut() {
                    if *hash == consensus {
                        *standing = Standing::Rejected;
                    }
                }
                task.tally.reject(consensus);
                task.consensus = None;
                task.status = ChainTaskStatus::Active;
                Some(vec![of(*id, TaskFact::Reopened)])
            }
            Tx::Finalize(id, results, callback) => {
                let task = self.tasks.get_mut(id)?;
                let (consensus, at) = task.consensus?;
                let winners = task
                    .contributions
                    .values()
                    .filter(|(hash, standing)| {
                        *hash == consensus && *standing != Standing::Rejected
                    })
                    .count() as u64;
                let proved = task.proved();
                let closed = now >= at.saturating_add(task.times.period * 2);
                let may = task.status == ChainTaskStatus::Revealing
                    && now < task.final_deadline()
                    && (proved == winners || (proved > 0 && closed));
                // A contribution's hash is its result's digest here.
                let agreed = (!task.times.calls_back && callback.is_empty())
                    || keccak256(callback) == consensus;
                (may && agreed).then_some(())?;
                task.status = ChainTaskStatus::Completed;
                task.results = results.clone();
                Some(vec![of(
                    *id,
                    TaskFact::Finalized {
                        results: results.clone(),
                    },
                )])
            }
            Tx::Claim(id, initialize) => {
                let mut facts = Vec::new();
                if let Some(times) = initialize {
                    self.initialize(*id, *times)?;
                    facts.push(of(*id, TaskFact::Initialized));
                }
                let task = self.tasks.get_mut(id)?;
                let may = !task.status.is_final() && now >= task.final_deadline();
                may.then_some(())?;
                task.status = ChainTaskStatus::Failed;
                facts.push(of(*id, TaskFact::Claimed));
                Some(facts)
            }
        }
    }

    fn initialize(&mut self, id: TaskId, times: DealTimes) -> Option<()> {
        let may = self.deals.contains(&times.deal) && !self.tasks.contains_key(&id);
        may.then_some(())?;
        self.tasks.insert(
            id,
            ChainTask {
                status: ChainTaskStatus::Active,
                times,
                tally: Tally::default(),
                contributions: BTreeMap::new(),
                consensus: None,
                results: Bytes::new(),
            },
        );
        Some(())
    }

    fn contribute(
        &mut self,
        id: TaskId,
        worker: Address,
        hash: B256,
        now: Timestamp,
    ) -> Option<Vec<Fact>> {
        let task = self.tasks.get_mut(&id)?;
        let open = now < task.times.start.saturating_add(task.times.period * 7);
        let may =
            task.status == ChainTaskStatus::Active && !task.contributions.contains_key(&worker);
        (may && open).then_some(())?;
        task.contributions
            .insert(worker, (hash, Standing::Contributed));
        task.tally.contribute(hash, 2);
        let mut facts = vec![of(
            id,
            TaskFact::Contributed {
                worker,
                hash,
                weight: 2,
            },
        )];
        if task.tally.reached(hash, task.times.trust) {
            task.status = ChainTaskStatus::Revealing;
            task.consensus = Some((hash, now));
            facts.push(of(id, TaskFact::Consensus { hash }));
        }
        Some(facts)
    }
}

impl ChainTask {
    fn proved(&self) -> u64 {
        self.contributions
            .values()
            .filter(|(_, standing)| *standing == Standing::Proved)
            .count() as u64
    }

    fn final_deadline(&self) -> Timestamp {
        self.times.start.saturating_add(self.times.period * 10)
    }
}

const fn of(task: TaskId, what: TaskFact) -> Fact {
    Fact::Task { task, what }
}
