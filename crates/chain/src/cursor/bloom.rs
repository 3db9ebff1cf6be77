//! What a block's header says about its logs. The header holds a filter of all addresses and topics in the block: where it shows what is
//! looked for and the node gives nothing, the node is asked for everything in the block. A node that then gives nothing at all, or now
//! gives what it had left out, is caught: its answer for the range is worth nothing.

use poco::units::BlockNumber;
use serde_json::value::RawValue;

use super::Cursor;
use crate::heads::bloom_in;
use crate::node::{Request, logs_request, read_logs};
use crate::{FactFilter, Log, NodeError};

/// The most blocks of which each header is looked at: so many are missed between two looks, not more. The end of a longer range is looked at
/// in any case.
pub(super) const MOST: u64 = 16;

/// The blocks before `to` whose headers are to be asked for with the logs from `from` on: `from` in any case, for what it stands on.
pub(super) fn worth_proving(
    from: BlockNumber,
    to: BlockNumber,
) -> impl Iterator<Item = BlockNumber> + Clone {
    let few = to.0.saturating_sub(from.0) < MOST;
    let end = if few { to.0 } else { from.0.saturating_add(1) };
    (from.0..end).map(BlockNumber)
}

impl Cursor {
    /// Compares `logs` with the headers of their blocks.
    pub(super) async fn prove<'a>(
        &self,
        headers: impl Iterator<Item = (BlockNumber, &'a RawValue)>,
        logs: &[Log],
    ) -> Result<(), NodeError> {
        let doubtful: Vec<BlockNumber> = headers
            .filter(|(number, raw)| is_at_odds(raw, *number, &self.filter, logs))
            .map(|(number, _)| number)
            .collect();
        for number in doubtful {
            let answers = self.node.batch(&[everything_in(number)]).await?;
            let judged = answers
                .first()
                .map_or(Ok(()), |all| judge(all, number, &self.filter));
            if judged.is_err() {
                self.node.prefer_another();
                return judged;
            }
        }
        Ok(())
    }
}

/// Whether the header in `raw` shows logs of `filter` in its block, and `logs` holds none of that block.
fn is_at_odds(raw: &RawValue, number: BlockNumber, filter: &FactFilter, logs: &[Log]) -> bool {
    let told = logs.iter().any(|log| log.block_number == Some(number.0));
    !told && bloom_in(raw).is_some_and(|bloom| filter.shows_in(&bloom))
}

/// The request for everything in one block.
fn everything_in(number: BlockNumber) -> Request {
    logs_request(number, number, &[], &[])
}

/// Judges the answer to [`everything_in`], after [`is_at_odds`]. The filter in a header may show what is not there, never nothing where
/// something is.
fn judge(raw: &RawValue, number: BlockNumber, filter: &FactFilter) -> Result<(), NodeError> {
    let logs = read_logs(raw)?;
    if logs.is_empty() || logs.iter().any(|log| filter.accept(log).is_some()) {
        return Err(NodeError::LogsMissing { block: number.0 });
    }
    Ok(())
}
