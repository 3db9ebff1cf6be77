//! The log cursor: turns the hub's logs into facts, range by range, without a gap.
//!
//! It remembers where it is by number *and* hash, so that a chain that changed below is noticed and the caller is told
//! how far to forget. It never skips a block: a node that is behind, refuses a range or changes its mind in the middle
//! makes it wait or ask for less, not move on. It stores nothing: every step hands out the position that belongs to it,
//! and the caller commits facts and position together.

mod anchors;
mod bloom;
mod look_back;
mod quiet;
mod waker;

use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::B256;
use poco::units::{BlockNumber, Timestamp};

pub use anchors::{Anchor, CursorPosition};
pub use waker::CursorWaker;

use look_back::LookBack;
use quiet::Quiet;

use crate::{
    Block, Fact, FactFilter, Located, Log, Node, NodeError,
    node::{Request, block_request, logs_request, read_block, read_logs},
};

/// Successful reads in a row before a larger range is tried again.
const GROW_AFTER: u32 = 8;
/// Anchors compared with the chain per request when walking back.
const WALK: usize = 16;

/// How a cursor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorSettings {
    /// The first block ever read, when there is no stored position.
    pub start: BlockNumber,
    /// The most blocks in one `eth_getLogs`; fewer are asked for when the provider complains.
    pub max_range: u64,
    /// How long to rest when there is nothing new.
    pub block_time: Duration,
    /// Blocks to stay behind the head; 0 reads the head itself.
    pub confirmations: u64,
}

impl CursorSettings {
    /// Ranges of 1000 blocks up to the head itself.
    pub const fn new(start: BlockNumber, block_time: Duration) -> Self {
        Self {
            start,
            max_range: 1000,
            block_time,
            confirmations: 0,
        }
    }
}

/// One step of a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// All blocks up to and including `to` are read.
    Advanced {
        /// The last block read.
        to: Block,
        /// The chain's head when it was read.
        head: BlockNumber,
        /// What happened since the step before, in the chain's order.
        facts: Vec<Located<Fact>>,
        /// To be stored in the same batch as the facts' effects.
        position: CursorPosition,
    },
    /// The chain changed: what was told about blocks above `to` did not happen. It will be told anew.
    RolledBack {
        /// The highest block that still stands.
        to: BlockNumber,
        /// To be stored in the same batch as the undoing; `None` when nothing known still stands and reading starts over.
        position: Option<CursorPosition>,
    },
}

/// Reads the facts of one hub.
#[derive(Debug)]
pub struct Cursor {
    node: Node,
    filter: FactFilter,
    settings: CursorSettings,
    position: Option<CursorPosition>,
    range: u64,
    successes: u32,
    look_back: LookBack,
    /// A block of which the node is known to keep logs back.
    missing: Option<BlockNumber>,
    quiet: Quiet,
    waker: CursorWaker,
}

/// Why a range could not be read just now, without anything being wrong.
enum Unready {
    /// The node does not have the block it should have.
    Behind,
    /// The chain changed while we read.
    Moved,
}

impl Cursor {
    /// A cursor that goes on behind `position`, or begins at the settings' start block. Nothing is asked yet.
    pub fn new(
        node: Node,
        filter: FactFilter,
        settings: CursorSettings,
        position: Option<CursorPosition>,
    ) -> Self {
        let begin = next_after(position.as_ref(), &settings);
        Self {
            node,
            filter,
            range: settings.max_range.max(1),
            look_back: LookBack::new(settings.block_time, begin),
            settings,
            position,
            successes: 0,
            missing: None,
            quiet: Quiet::default(),
            waker: CursorWaker::default(),
        }
    }

    /// Goes on behind `position` instead, or at the start block: the caller did not keep the last step. Wakers stay valid.
    pub fn go_back_to(&mut self, position: Option<CursorPosition>) {
        self.position = position;
        self.look_back.restart(self.next_block());
    }

    /// Where the last step ended.
    pub const fn position(&self) -> Option<&CursorPosition> {
        self.position.as_ref()
    }

    /// Blocks it would ask for in one request now.
    pub const fn range(&self) -> u64 {
        self.range
    }

    /// A handle that ends a rest early.
    pub fn waker(&self) -> CursorWaker {
        self.waker.clone()
    }

    /// The next step, as soon as there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When no node answers usefully. The position is unchanged: call again after a pause.
    pub async fn next(&mut self) -> Result<Progress, NodeError> {
        loop {
            let told = self.waker.take();
            let heads = match &told {
                Some(heads) if !heads.is_empty() => heads.as_slice(),
                Some(_) => {
                    self.quiet.forget_told();
                    &[]
                }
                None => &[],
            };
            self.quiet.was_told(heads);
            if let Some(progress) = self.pass_quietly(heads) {
                return Ok(self.took(progress));
            }
            if let Some(progress) = self.read_told(heads).await {
                self.quiet.was_read();
                return Ok(self.took(progress));
            }
            let head = match heads.last() {
                Some(newest) => newest.block,
                None if self.quiet.is_all_read(self.position.as_ref()) => {
                    self.rest().await;
                    continue;
                }
                None => self.node.head().await?,
            };
            if let Some(progress) = self.step(&head).await? {
                self.quiet.was_read();
                return Ok(self.took(progress));
            }
            self.rest().await;
        }
    }

    fn took(&mut self, progress: Progress) -> Progress {
        match &progress {
            Progress::Advanced {
                to,
                facts,
                position,
                ..
            } => {
                self.look_back.advanced(facts, to.number);
                self.position = Some(position.clone());
            }
            Progress::RolledBack { to, position } => {
                self.look_back.rolled_back(*to);
                self.position = position.clone();
            }
        }
        progress
    }

    async fn rest(&self) {
        // Either way it is time to look again.
        let _ = tokio::time::timeout(self.settings.block_time, self.waker.woken()).await;
    }

    /// One look at the chain; `None` when there is nothing to tell.
    async fn step(&mut self, head: &Block) -> Result<Option<Progress>, NodeError> {
        if let Some(rollback) = self.rollback_below(head).await? {
            return Ok(Some(rollback));
        }
        let target = BlockNumber(head.number.0.saturating_sub(self.settings.confirmations));
        let from = self.next_block();
        if target < from {
            return Ok(None);
        }
        let doubtful = self.missing.is_some_and(|block| block >= from);
        let range = if doubtful {
            // Nothing is passed over unproven.
            self.range.min(bloom::MOST)
        } else {
            self.range
        };
        let to = BlockNumber(target.0.min(from.0.saturating_add(range - 1)));
        match self.read(from, to, head).await {
            Ok(Ok(progress)) => {
                self.grow();
                Ok(Some(progress))
            }
            Ok(Err(Unready::Behind)) => {
                tracing::debug!(
                    block = to.0,
                    "the node does not have the block it should have"
                );
                self.node.prefer_another();
                Ok(None)
            }
            Ok(Err(Unready::Moved)) => {
                tracing::debug!(block = to.0, "the chain changed while it was read");
                Ok(None)
            }
            Err(error) => {
                if let NodeError::LogsMissing { block } = error {
                    self.missing = Some(BlockNumber(block));
                }
                self.ask_for_less(error)
            }
        }
    }

    fn next_block(&self) -> BlockNumber {
        next_after(self.position.as_ref(), &self.settings)
    }

    /// Reads blocks `from` to `to`, or, when they do not stand on the block we know, finds how far to go back.
    async fn read(
        &self,
        from: BlockNumber,
        to: BlockNumber,
        head: &Block,
    ) -> Result<Result<Progress, Unready>, NodeError> {
        let room = self.range.saturating_sub(to.0 - from.0 + 1);
        let since = self.look_back.begin(from, room);
        // The end of the range is looked at before and after its logs: an equal hash proves that the logs belong to it.
        let mut requests: Vec<Request> = vec![
            block_request(to),
            logs_request(since, to, &[self.filter.hub], &self.filter.topics()),
            block_request(to),
        ];
        let middle = bloom::worth_proving(from, to);
        requests.extend(middle.clone().map(block_request));
        let answers = self.node.batch(&requests).await?;
        let [before, logs, after, headers @ ..] = answers.as_slice() else {
            return Ok(Err(Unready::Behind));
        };
        let (Some(before), Some(last)) = (read_block(before)?, read_block(after)?) else {
            return Ok(Err(Unready::Behind));
        };
        if before.hash != last.hash || (to == head.number && head.hash != last.hash) {
            return Ok(Err(Unready::Moved));
        }
        let first = match headers.first() {
            Some(raw) => read_block(raw)?,
            None => Some(last),
        };
        let Some(first) = first else {
            return Ok(Err(Unready::Behind));
        };
        if let Some(position) = &self.position
            && first.parent != position.hash
        {
            return match self.roll_back().await? {
                // It came back in the meantime, or the node contradicts itself.
                Progress::RolledBack { to, .. } if to == position.number => {
                    Ok(Err(Unready::Behind))
                }
                rollback => Ok(Ok(rollback)),
            };
        }
        let logs = read_logs(logs)?;
        let headers = middle.zip(headers).chain([(to, after)]);
        self.prove(headers.map(|(number, raw)| (number, raw.as_ref())), &logs)
            .await?;
        let Some(mut facts) = self.facts(&logs, since, &last).await? else {
            return Ok(Err(Unready::Moved));
        };
        self.judge_headers(&logs).await?;
        facts.retain(|fact| self.look_back.is_news(fact, from));
        let position = match &self.position {
            Some(position) => position.moved_to(&last),
            None => CursorPosition::at(last.number, last.hash),
        };
        Ok(Ok(Progress::Advanced {
            to: last,
            head: head.number,
            facts,
            position,
        }))
    }

    /// The wanted facts in order; `None` when a log is not of the chain that ends in `last`.
    async fn facts(
        &self,
        logs: &[Log],
        from: BlockNumber,
        last: &Block,
    ) -> Result<Option<Vec<Located<Fact>>>, NodeError> {
        let mut facts = Vec::new();
        let mut untimed = BTreeMap::new();
        for log in logs {
            let Some(fact) = self.filter.accept(log) else {
                continue;
            };
            let located = locate(log, fact)?;
            let in_range = (from..=last.number).contains(&located.block);
            let of_this_chain = located.block != last.number || located.block_hash == last.hash;
            if log.removed || !in_range || !of_this_chain {
                return Ok(None);
            }
            if log.block_timestamp.is_none() {
                untimed.insert(located.block, located.block_hash);
            }
            facts.push(located);
        }
        let Some(times) = self.times(untimed, last).await? else {
            return Ok(None);
        };
        for fact in &mut facts {
            if let Some(time) = times.get(&fact.block) {
                fact.block_time = *time;
            }
        }
        facts.sort_by_key(|fact| (fact.block, fact.log_index));
        Ok(Some(facts))
    }

    /// Block times of nodes that do not put them into logs; `None` when a block is not the expected one any more.
    async fn times(
        &self,
        blocks: BTreeMap<BlockNumber, B256>,
        last: &Block,
    ) -> Result<Option<BTreeMap<BlockNumber, Timestamp>>, NodeError> {
        let mut times = BTreeMap::from([(last.number, last.timestamp)]);
        let unknown: Vec<_> = blocks
            .into_iter()
            .filter(|(number, _)| *number != last.number)
            .collect();
        for part in unknown.chunks(WALK) {
            let requests: Vec<_> = part
                .iter()
                .map(|(number, _)| block_request(*number))
                .collect();
            let answers = self.node.batch(&requests).await?;
            for ((number, hash), answer) in part.iter().zip(&answers) {
                match read_block(answer)? {
                    Some(block) if block.hash == *hash => times.insert(*number, block.timestamp),
                    _ => return Ok(None),
                };
            }
        }
        Ok(Some(times))
    }

    /// Looks whether the chain ends below or beside us. A head that is merely lower proves nothing: the node may be
    /// behind. It counts only when a block that we read is another one there.
    async fn rollback_below(&self, head: &Block) -> Result<Option<Progress>, NodeError> {
        let Some(position) = &self.position else {
            return Ok(None);
        };
        if head.number > position.number {
            return Ok(None);
        }
        if head.number < position.number {
            self.node.prefer_another();
        }
        let Some(known) = position.newest_up_to(head.number) else {
            return Ok(None);
        };
        let there = if known.number == head.number {
            Some(head.hash)
        } else {
            self.node.block(known.number).await?.map(|block| block.hash)
        };
        match there {
            Some(hash) if hash != known.hash => self.roll_back().await.map(Some),
            _ => Ok(None),
        }
    }

    /// Walks back to the newest block we know that the chain still has.
    async fn roll_back(&self) -> Result<Progress, NodeError> {
        let anchors: Vec<Anchor> = self
            .position
            .iter()
            .flat_map(CursorPosition::newest_first)
            .collect();
        for part in anchors.chunks(WALK) {
            let requests: Vec<_> = part
                .iter()
                .map(|anchor| block_request(anchor.number))
                .collect();
            let answers = self.node.batch(&requests).await?;
            for (anchor, answer) in part.iter().zip(&answers) {
                if read_block(answer)?.is_some_and(|block| block.hash == anchor.hash) {
                    let position = self
                        .position
                        .as_ref()
                        .and_then(|position| position.back_to(anchor.number));
                    tracing::warn!(
                        block = anchor.number.0,
                        "the chain was reorganised above this block"
                    );
                    return Ok(Progress::RolledBack {
                        to: anchor.number,
                        position,
                    });
                }
            }
        }
        let to = BlockNumber(self.settings.start.0.saturating_sub(1));
        tracing::warn!(
            block = to.0,
            "no block that was read is on the chain any more; reading from the start block again"
        );
        Ok(Progress::RolledBack { to, position: None })
    }

    fn grow(&mut self) {
        self.successes += 1;
        if self.successes >= GROW_AFTER {
            self.successes = 0;
            self.range = self
                .range
                .saturating_mul(2)
                .min(self.settings.max_range.max(1));
        }
    }

    /// Halves the range when the logs were the trouble. A provider's own words for "too much" are retried at once; a
    /// timeout or words we do not know are told to the caller too.
    fn ask_for_less(&mut self, error: NodeError) -> Result<Option<Progress>, NodeError> {
        self.successes = 0;
        let about_logs = match &error {
            NodeError::TooMuch { .. } => true,
            NodeError::TimedOut { .. } => true,
            NodeError::Refused { method, .. } => method == "eth_getLogs",
            _ => false,
        };
        if !about_logs || self.range <= 1 {
            return Err(error);
        }
        self.range /= 2;
        tracing::debug!(range = self.range, %error, "asking for fewer blocks");
        if matches!(error, NodeError::TooMuch { .. }) {
            // Nothing to rest for.
            self.waker.wake();
            return Ok(None);
        }
        Err(error)
    }
}

/// The first block that is not read.
fn next_after(position: Option<&CursorPosition>, settings: &CursorSettings) -> BlockNumber {
    position.map_or(settings.start, |at| {
        BlockNumber(at.number.0.saturating_add(1))
    })
}

fn locate(log: &Log, fact: Fact) -> Result<Located<Fact>, NodeError> {
    let (Some(block), Some(block_hash), Some(tx), Some(log_index)) = (
        log.block_number,
        log.block_hash,
        log.transaction_hash,
        log.log_index,
    ) else {
        return Err(NodeError::Undecodable {
            node: "the node".to_owned(),
            method: "eth_getLogs".to_owned(),
            text: "a log without block, transaction or index".to_owned(),
        });
    };
    Ok(Located {
        block: BlockNumber(block),
        block_hash,
        block_time: Timestamp::from_secs(log.block_timestamp.unwrap_or_default()),
        tx,
        log_index,
        fact,
    })
}
