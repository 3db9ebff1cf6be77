//! A small world around the engine: workers with names, a chain in miniature, a result proxy, a store, and time that passes.
//! It hides the noise of a story and none of its points. After each input it looks for broken invariants.

mod answer;
mod chain;
mod deals;
mod seen;
mod store;
mod stories;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use engine::{
    Action, Ask, Command, CommandKey, DealDetails, Enclave, Engine, Input, Notice, Order, Outcome,
    Outputs, Purpose, Reply, Report, ReportDetails, Settings, Ticket, WorkerProfile,
};
use poco::ids::{DealId, TaskId};
use poco::units::{BlockNumber, Timestamp};
use wire::status::ReplicateStatus;

pub(crate) use answer::Answer;
pub(crate) use chain::{Chain, DealTimes, Tx};
pub(crate) use deals::{DealWords, deal_id, standard, task};
pub(crate) use store::Stored;
pub(crate) use stories::{
    LINK, TO_COMPUTED, alone, at_block, callback_of, with_callback, with_link,
};

pub(crate) const BLOCK: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(10);
const START: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// The wallet of a name.
pub(crate) fn wallet(name: &str) -> Address {
    let mut bytes = [0x11; 20];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    Address::from(bytes)
}

/// The result hash that a text stands for.
pub(crate) fn hash(text: &str) -> B256 {
    alloy_primitives::keccak256(text)
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    settings: Settings,
    pub(crate) now: Timestamp,
    pub(crate) chain: Chain,
    pub(crate) stored: Stored,
    names: BTreeMap<Address, String>,
    silent: BTreeSet<Address>,
    last_ping: Timestamp,
    last_block: Timestamp,
    deals: u64,
    tickets: u64,
    /// Looks for broken invariants after each input that changed something.
    pub(crate) thorough: bool,
    /// The last ticket of before the last restart.
    forgotten: u64,
    replies: BTreeMap<Ticket, Reply>,
    pub(crate) notices: Vec<(Timestamp, Notice)>,
    /// Every command ever given out.
    pub(crate) commands: Vec<Command>,
    /// Those that nobody has carried out yet.
    pub(crate) undone: VecDeque<Command>,
    sent: Vec<(Command, Tx)>,
    /// All that was ever sent, by key.
    outbox: BTreeMap<CommandKey, Tx>,
    pub(crate) uploaded: BTreeSet<TaskId>,
    /// The pool's outbox does not work: its commands stay undone.
    pub(crate) outbox_stuck: bool,
    pub(crate) proxy_down: bool,
    /// The SMS does not answer.
    pub(crate) sms_down: bool,
    /// The SMS lets everybody wait.
    pub(crate) sms_silent: bool,
    /// Whatever is commanded for these tasks comes back without an answer.
    pub(crate) unreachable: BTreeSet<TaskId>,
    /// The cursor does not see new blocks.
    pub(crate) cursor_stuck: bool,
    unseen: VecDeque<chain::Block>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let mut world = Self {
            engine: Engine::new(settings.clone()),
            settings,
            now: START,
            chain: Chain::default(),
            stored: Stored::default(),
            names: BTreeMap::new(),
            silent: BTreeSet::new(),
            last_ping: START,
            last_block: START,
            deals: 0,
            tickets: 0,
            thorough: true,
            forgotten: 0,
            replies: BTreeMap::new(),
            notices: Vec::new(),
            commands: Vec::new(),
            undone: VecDeque::new(),
            sent: Vec::new(),
            outbox: BTreeMap::new(),
            uploaded: BTreeSet::new(),
            outbox_stuck: false,
            proxy_down: false,
            sms_down: false,
            sms_silent: false,
            unreachable: BTreeSet::new(),
            cursor_stuck: false,
            unseen: VecDeque::new(),
        };
        world.input(Input::ChainHealth { up: true });
        world.mine();
        world
    }

    /// Workers with one slot each.
    pub(crate) fn workers<const N: usize>(mut self, names: [&str; N]) -> Self {
        for name in names {
            self.register(name, 1, false);
        }
        self
    }

    pub(crate) fn register(&mut self, name: &str, cpus: i64, gpu: bool) {
        self.register_as(
            name,
            WorkerProfile {
                cpu_nb: cpus,
                gpu,
                ..WorkerProfile::default()
            },
        );
    }

    pub(crate) fn register_as(&mut self, name: &str, profile: WorkerProfile) {
        let worker = wallet(name);
        self.names.insert(worker, name.to_owned());
        self.silent.remove(&worker);
        let ticket = self.ticket();
        self.input(Input::Registered {
            ticket,
            worker,
            profile,
        });
        assert!(matches!(self.replies[&ticket], Reply::Registered(_)));
    }

    /// Workers with one slot each that know and were granted `caf`.
    pub(crate) fn workers_with_caf<const N: usize>(mut self, names: [&str; N]) -> Self {
        for name in names {
            self.register_as(
                name,
                WorkerProfile {
                    cpu_nb: 1,
                    caf: true,
                    ..WorkerProfile::default()
                },
            );
        }
        self
    }

    /// A deal matched, seen, and its tasks initialised on the chain.
    pub(crate) fn deal(mut self, details: DealDetails) -> Self {
        self.matched(details);
        self.pass(seconds(15));
        self
    }

    /// A deal matched in the next block.
    pub(crate) fn matched(&mut self, details: DealDetails) -> DealId {
        self.deals += 1;
        let id = deal_id(self.deals);
        self.chain
            .mempool
            .push(Tx::Match(Box::new(DealDetails { id, ..details })));
        self.mine();
        id
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn input(&mut self, input: Input) {
        let outputs = self.engine.handle(self.now, input);
        self.take(outputs);
    }

    fn take(&mut self, outputs: Outputs) {
        let changed = !outputs.changes.is_empty();
        self.stored.apply(outputs.changes);
        for (ticket, reply) in outputs.replies {
            let twice = self.replies.insert(ticket, reply);
            assert_eq!(twice, None, "{ticket:?} was answered twice");
        }
        for notice in outputs.notices {
            assert_ne!(notice.block, Some(BlockNumber(0)), "Q-05: never block 0");
            self.notices.push((self.now, notice));
        }
        self.commands.extend(outputs.commands.iter().cloned());
        self.undone.extend(outputs.commands);
        if changed && self.thorough {
            self.check_invariants();
        }
    }

    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.engine.broken_invariants(), Vec::<String>::new());
    }

    pub(crate) fn reply(&self, ticket: Ticket) -> Option<&Reply> {
        self.replies.get(&ticket)
    }

    // ---- time ----

    /// Lets time pass: blocks are mined, workers ping, commands are carried out, the engine is woken when it wants to be.
    pub(crate) fn pass(&mut self, duration: Duration) -> &mut Self {
        let end = self.now.saturating_add(duration);
        loop {
            self.carry_out();
            let wake = self.engine.next_wake().unwrap_or(end).max(self.now);
            let next = [
                wake,
                self.last_block.saturating_add(BLOCK),
                self.last_ping.saturating_add(PING),
                end,
            ]
            .into_iter()
            .min()
            .unwrap();
            self.now = next.max(self.now);
            if self.now >= self.last_block.saturating_add(BLOCK) {
                self.mine();
            }
            if self.now >= self.last_ping.saturating_add(PING) {
                self.last_ping = self.now;
                self.ping_all();
            }
            self.input(Input::Tick);
            if self.now >= end {
                self.carry_out();
                return self;
            }
        }
    }

    fn ping_all(&mut self) {
        let living: Vec<Address> = self
            .names
            .keys()
            .filter(|worker| !self.silent.contains(*worker))
            .copied()
            .collect();
        for worker in living {
            self.input(Input::Pinged { worker });
        }
    }

    /// The worker says nothing any more.
    pub(crate) fn silence(&mut self, name: &str) -> &mut Self {
        self.silent.insert(wallet(name));
        self
    }

    /// The worker pings again.
    pub(crate) fn back(&mut self, name: &str) -> &mut Self {
        self.silent.remove(&wallet(name));
        self.input(Input::Pinged {
            worker: wallet(name),
        });
        self
    }

    /// The scheduler is killed and started again from what it stored.
    pub(crate) fn restart(&mut self) -> &mut Self {
        let records = self.stored.records();
        let (engine, outputs) = Engine::load(self.settings.clone(), records, self.now);
        self.engine = engine;
        self.forgotten = self.tickets;
        self.undone.clear();
        self.take(outputs);
        // The I/O layer takes up its own transactions again; the engine names the same keys.
        self.input(Input::ChainHealth { up: true });
        self
    }

    // ---- chain ----

    /// Mines a block and lets the cursor see it.
    pub(crate) fn mine(&mut self) -> BlockNumber {
        self.last_block = self.now;
        let block = self.chain.mine(self.now);
        let number = block.block.number;
        self.unseen.push_back(block);
        self.see_blocks();
        self.outcomes(number);
        number
    }

    /// The cursor sees what it has not seen.
    pub(crate) fn see_blocks(&mut self) {
        while !self.cursor_stuck
            && let Some(block) = self.unseen.pop_front()
        {
            self.input(Input::Advanced {
                to: block.block,
                head: block.block.number,
                facts: block.facts,
            });
        }
    }

    /// The chain drops its last blocks; what `keep` says waits to be mined again.
    pub(crate) fn reorganise(&mut self, depth: usize, keep: impl Fn(&Tx) -> bool) {
        let to = self.chain.drop_blocks(depth, keep);
        self.unseen.retain(|block| block.block.number <= to);
        self.input(Input::RolledBack { to });
    }

    pub(crate) fn send(&mut self, tx: Tx) {
        self.chain.mempool.push(tx);
    }

    /// Carries out the commands given out so far.
    pub(crate) fn carry_out(&mut self) {
        let mut stuck = VecDeque::new();
        while let Some(command) = self.undone.pop_front() {
            let chain_command = !matches!(
                command.key.purpose,
                Purpose::CheckUploaded | Purpose::ReadTask | Purpose::EnclaveChallenge
            );
            let waits = command.key.purpose == Purpose::EnclaveChallenge && self.sms_silent;
            if waits || (chain_command && self.outbox_stuck) {
                stuck.push_back(command);
            } else {
                self.carry_out_one(command);
            }
        }
        self.undone = stuck;
    }

    fn carry_out_one(&mut self, command: Command) {
        let key = command.key;
        let checks = key.purpose == Purpose::CheckUploaded;
        let unreachable = self.unreachable.contains(&key.task) || (checks && self.proxy_down);
        let outcome = match &command.action {
            _ if unreachable => Outcome::Unreachable {
                reason: "connection refused".to_owned(),
            },
            Action::EnclaveChallenge { .. } if self.sms_down => Outcome::Refused {
                reason: "the SMS does not answer".to_owned(),
            },
            Action::EnclaveChallenge { framework } => Outcome::Challenged(Enclave {
                challenge: wallet(&format!("enclave of {}", key.task)),
                sms_url: format!("https://{framework}.example"),
            }),
            Action::CheckUploaded { .. } => Outcome::Uploaded(self.uploaded.contains(&key.task)),
            Action::ReadTask => Outcome::Read(self.chain.view(key.task)),
            _ => {
                let already = self.sent.iter().any(|(sent, _)| sent.key == key);
                if already {
                    return;
                }
                // The outbox keeps what it sent: the same key is the same transaction.
                let tx = self.tx_of(&command);
                let before = self.outbox.get(&key).cloned();
                if let Some(tx) = before {
                    if let Some(block) = self.chain.block_of(&tx) {
                        let outcome = Outcome::Mined { block };
                        self.input(Input::Done { key, outcome });
                        return;
                    }
                    if self.chain.mempool.contains(&tx) {
                        self.sent.push((command, tx));
                        return;
                    }
                }
                self.outbox.insert(key, tx.clone());
                if self.chain.would_pass(&tx, self.now) {
                    self.chain.mempool.push(tx.clone());
                    self.sent.push((command, tx));
                    return;
                }
                Outcome::Refused {
                    reason: "execution reverted".to_owned(),
                }
            }
        };
        self.input(Input::Done { key, outcome });
    }

    pub(crate) fn tx_of(&self, command: &Command) -> Tx {
        let id = command.key.task;
        match &command.action {
            Action::Initialize { deal, .. } => Tx::Initialize(id, self.times(*deal)),
            Action::Finalize {
                link,
                callback_data,
                ..
            } => {
                let callback = callback_data.as_deref().unwrap_or_default();
                Tx::Finalize(
                    id,
                    Bytes::from(link.clone().into_bytes()),
                    poco::lax_hex::decode(callback).into(),
                )
            }
            Action::Reopen { .. } => Tx::Reopen(id),
            Action::Claim {
                deal,
                initialize_first,
                ..
            } => Tx::Claim(id, initialize_first.then(|| self.times(*deal))),
            Action::CheckUploaded { .. } | Action::ReadTask | Action::EnclaveChallenge { .. } => {
                panic!("not a transaction")
            }
        }
    }

    pub(crate) fn times(&self, deal: DealId) -> DealTimes {
        let details = &self.stored.deals[&deal].details;
        DealTimes {
            deal,
            start: details.start_time,
            period: details.max_execution,
            trust: details.trust,
            calls_back: details.callback.is_some(),
        }
    }

    fn outcomes(&mut self, block: BlockNumber) {
        for (command, tx) in std::mem::take(&mut self.sent) {
            let mined = match &tx {
                Tx::Initialize(id, _) => self.chain.view(*id).status as u8 > 0,
                _ => !self.chain.would_pass(&tx, self.now),
            };
            let outcome = if mined {
                Outcome::Mined { block }
            } else {
                Outcome::Reverted {
                    reason: String::new(),
                }
            };
            self.input(Input::Done {
                key: command.key,
                outcome,
            });
        }
    }

    // ---- workers ----

    pub(crate) fn ask_with(&mut self, name: &str, change: impl FnOnce(&mut Ask)) -> Answer<'_> {
        let ticket = self.ticket();
        let mut ask = Ask {
            ticket,
            worker: wallet(name),
            block: BlockNumber(1),
            wait: false,
            gas: true,
            weight: Some(2),
        };
        change(&mut ask);
        self.input(Input::Ask(ask));
        Answer {
            world: self,
            ticket,
        }
    }

    pub(crate) fn ask(&mut self, name: &str) -> Answer<'_> {
        self.ask_with(name, |_| {})
    }

    pub(crate) fn report_with(
        &mut self,
        name: &str,
        task: TaskId,
        status: ReplicateStatus,
        details: ReportDetails,
    ) -> Answer<'_> {
        let ticket = self.ticket();
        self.input(Input::Report(Box::new(Report {
            ticket,
            worker: wallet(name),
            task,
            status,
            details,
        })));
        Answer {
            world: self,
            ticket,
        }
    }

    pub(crate) fn report(
        &mut self,
        name: &str,
        task: TaskId,
        status: ReplicateStatus,
    ) -> Answer<'_> {
        self.report_with(name, task, status, ReportDetails::default())
    }

    pub(crate) fn interrupted(&mut self, name: &str, block: BlockNumber) -> Answer<'_> {
        let ticket = self.ticket();
        self.input(Input::Interrupted {
            ticket,
            worker: wallet(name),
            block,
        });
        Answer {
            world: self,
            ticket,
        }
    }

    pub(crate) fn order(&mut self, order: Order) {
        let ticket = self.ticket();
        self.input(Input::Operator { ticket, order });
        assert_eq!(self.replies[&ticket], Reply::Obeyed);
    }
}
