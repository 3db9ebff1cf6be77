//! Transactions that a blockchain adapter sends for the pool (spec blockchain-adapter A5).
//!
//! The adapter knows its commands by the task, and refuses one that it has already. So what it has is looked at before it is
//! asked, and an answer that was lost costs nothing.

use std::time::Duration;

use engine::{Action, Outcome};
use poco::ids::TaskId;
use wire::adapter::{AdapterClient, AdapterCommand, AdapterStatus, FinalizeArgs};

use super::{Commands, Unanswered};

/// Pause between two looks at a command.
const PAUSE: Duration = Duration::from_secs(2);
/// Commands of a kind that the adapter is asked about at a time: it sends one or a few in a block.
pub(crate) const AT_ONCE: usize = 32;
/// Looks before the command counts as without an answer, and is begun again.
const LOOKS: u32 = 25;

impl Commands {
    /// What the adapter can do of this.
    pub(super) fn of_adapter(&self, action: &Action) -> Option<(&AdapterClient, AdapterCommand)> {
        let adapter = self.inner.adapter.as_ref()?;
        let command = match action {
            Action::Initialize { deal, index, .. } => AdapterCommand::Initialize {
                deal: *deal,
                index: *index,
            },
            Action::Finalize {
                link,
                callback_data,
                ..
            } => AdapterCommand::Finalize(FinalizeArgs {
                result_link: link.clone(),
                callback_data: callback_data.clone(),
            }),
            _ => return None,
        };
        Some((adapter, command))
    }

    /// Has the adapter do it, and says what came of it.
    pub(super) async fn by_adapter(
        &self,
        adapter: &AdapterClient,
        task: TaskId,
        command: &AdapterCommand,
    ) -> Result<Outcome, Unanswered> {
        let turns = match command {
            AdapterCommand::Initialize { .. } => &self.inner.adapter_turns.0,
            AdapterCommand::Finalize(_) => &self.inner.adapter_turns.1,
        };
        // Never closed, and if it were, going on at once would do no harm.
        let _turn = turns.acquire().await.ok();
        let mut accepted = None;
        for _ in 0..LOOKS {
            match (adapter.status(task, command).await?, accepted) {
                (Some(AdapterStatus::Success), _) => {
                    // In this block or an earlier one: the adapter does not say.
                    let head = self.inner.hub.node().head().await?;
                    return Ok(Outcome::Mined { block: head.number });
                }
                (Some(AdapterStatus::Failure), Some(_)) => {
                    let reason = "the blockchain adapter says FAILURE; its log says why".to_owned();
                    return Ok(Outcome::Reverted { reason });
                }
                (None, Some(false)) => {
                    let reason = "the blockchain adapter refuses it (400): its wallet has no gas, or the task is not in the right state"
                        .to_owned();
                    return Ok(Outcome::Refused { reason });
                }
                // Never asked for, or one of before that failed.
                (None | Some(AdapterStatus::Failure), None) => {
                    accepted = Some(adapter.request(task, command).await?);
                    continue;
                }
                (None, Some(true))
                | (Some(AdapterStatus::Received | AdapterStatus::Processing), _) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Unanswered::StillUnderWay)
    }
}
