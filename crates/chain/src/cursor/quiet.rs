//! What the headers of told blocks save us from asking. One that follows the last block read, by its parent's hash, and whose filter of logs
//! does not show what we read, needs no question to the node. Where the filter shows something, the logs are all that is asked for: that
//! they belong to this chain, and that none is missing, the headers tell. They are believed once one was seen to tell the truth about a
//! block with logs of ours, and not for ever: now and then a range is read all the same.

use std::sync::OnceLock;
use std::time::Duration;

use poco::units::BlockNumber;
use tokio::time::Instant;

use super::{Cursor, CursorPosition, Progress};
use crate::{
    Head, Log, NodeError,
    node::{block_request, logs_request, read_logs},
};

/// For how long nothing is read at most, however quiet it is.
const LONGEST: Duration = Duration::from_secs(120);
/// Told blocks that do not come for so long are looked for.
const SILENCE: Duration = Duration::from_secs(15);

/// What the cursor knows of headers.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// Whether this chain's headers tell of their logs, once that is known.
    honest: OnceLock<bool>,
    /// When a range was read last.
    read_at: Option<Instant>,
    /// The newest block that the cursor was told of, and when.
    told: Option<(Instant, BlockNumber)>,
}

impl Quiet {
    /// A range was read.
    pub(super) fn was_read(&mut self) {
        self.read_at = Some(Instant::now());
    }

    /// Blocks were told.
    pub(super) fn was_told(&mut self, heads: &[Head]) {
        if let Some(newest) = heads.last() {
            self.told = Some((Instant::now(), newest.block.number));
        }
    }

    /// Somebody wants the node to be asked.
    pub(super) fn forget_told(&mut self) {
        self.told = None;
    }

    /// Whether everything that was told is read up to `position`, and more will be told.
    pub(super) fn is_all_read(&self, position: Option<&CursorPosition>) -> bool {
        let Some((at, number)) = self.told else {
            return false;
        };
        at.elapsed() < SILENCE && position.is_some_and(|position| position.number >= number)
    }

    fn believes(&self) -> bool {
        self.honest.get() == Some(&true) && self.read_at.is_some_and(|at| at.elapsed() < LONGEST)
    }
}

impl Cursor {
    /// One step over `heads`, where they follow the last block and show nothing of ours.
    pub(super) fn pass_quietly(&self, heads: &[Head]) -> Option<Progress> {
        if !self.quiet.believes() || self.settings.confirmations > 0 {
            return None;
        }
        let last = heads.last()?.block;
        let position = self.position_after(heads)?;
        if heads.iter().any(|head| head.may_hold(&self.filter)) {
            return None;
        }
        Some(Progress::Advanced {
            to: last,
            head: last.number,
            facts: Vec::new(),
            position,
        })
    }

    /// One step over `heads`, where they follow the last block, with nothing asked but their logs. None where the answer is not what the
    /// headers say, and where the node gives none: then everything is to be read.
    pub(super) async fn read_told(&self, heads: &[Head]) -> Option<Progress> {
        if self.quiet.honest.get() != Some(&true) || self.settings.confirmations > 0 {
            return None;
        }
        let (first, last) = (heads.first()?.block, heads.last()?.block);
        let position = self.position_after(heads)?;
        if !heads.iter().any(|head| head.may_hold(&self.filter)) {
            // Nothing would tie the answer to this chain.
            return None;
        }
        let room = self.range.checked_sub(heads.len() as u64)?;
        let since = self.look_back.begin(first.number, room);
        let wanted = logs_request(
            since,
            last.number,
            &[self.filter.hub],
            &self.filter.topics(),
        );
        let answers = self.node.batch(&[wanted]).await.ok()?;
        let logs = read_logs(answers.first()?).ok()?;
        let is_told = |head: &Head| {
            let mut of_block = logs
                .iter()
                .filter(|log| log.block_number == Some(head.block.number.0))
                .peekable();
            let missing = of_block.peek().is_none() && head.may_hold(&self.filter);
            !missing && of_block.all(|log| log.block_hash == Some(head.block.hash))
        };
        if !heads.iter().all(is_told) {
            return None;
        }
        let mut facts = self.facts(&logs, since, &last).await.ok()??;
        facts.retain(|fact| self.look_back.is_news(fact, first.number));
        Some(Progress::Advanced {
            to: last,
            head: last.number,
            facts,
            position,
        })
    }

    /// Where we are behind `heads`; none where one does not follow the other, and the first the last block read.
    fn position_after(&self, heads: &[Head]) -> Option<CursorPosition> {
        let mut position = self.position.clone()?;
        for head in heads {
            let follows = head.block.number.0 == position.number.0.saturating_add(1)
                && head.block.parent == position.hash;
            if !follows {
                return None;
            }
            position = position.moved_to(&head.block);
        }
        Some(position)
    }

    /// Compares what was read with what the header of its block says, until that is known for good.
    pub(super) async fn judge_headers(&self, logs: &[Log]) -> Result<(), NodeError> {
        if self.quiet.honest.get().is_some() {
            return Ok(());
        }
        let ours = |log: &&Log| log.address() == self.filter.hub && !log.removed;
        let Some(log) = logs.iter().rev().find(ours) else {
            return Ok(());
        };
        let Some(number) = log.block_number else {
            return Ok(());
        };
        let answers = self
            .node
            .batch(&[block_request(BlockNumber(number))])
            .await?;
        let Some(raw) = answers.first() else {
            return Ok(());
        };
        let Some(head) = Head::read(raw)? else {
            return Ok(());
        };
        if log.block_hash != Some(head.block.hash) {
            return Ok(());
        }
        let tells = head.bloom.is_some_and(|bloom| self.filter.shows_in(&bloom));
        if !*self.quiet.honest.get_or_init(|| tells) {
            tracing::info!(
                block = number,
                "this chain's headers do not tell of logs: every block is read"
            );
        }
        Ok(())
    }
}
