//! Results that come before anything of them is on the chain: of a standard task of trust 1 that its worker finishes with one transaction,
//! which must name the link (spec result-proxy §5, 4d). There is no hash yet to compare with, so such a result counts only until the
//! chain decides: what was revealed replaces it, and of several the one that the chain names is the task's.

use alloy_primitives::{Address, U256};
use poco::contracts::{Deal, Task};
use poco::ids::TaskId;
use poco::status::ChainTaskStatus;
use poco::units::Timestamp;
use store::{Batch, Collection};

use crate::authorization::AuthorizationRecord;
use crate::cid::Cid;
use crate::upload::{Refusal, ResultRecord, Results, UploadError};

/// How many different archives a task may have before it is decided: one for each worker that may have been given it, and no storage room
/// for everybody.
pub(crate) const MOST_REPLACED: u32 = 16;

impl Results {
    /// The checks of 4d. The archive's digest is computed by the caller.
    pub(crate) async fn may_come_early(
        &self,
        id: TaskId,
        task: &Task,
        deal: &Deal,
        wallet: Address,
        now: Timestamp,
    ) -> Result<(), UploadError> {
        let trust_1 = deal.trust == U256::from(1);
        let closes = task.contributionDeadline.saturating_to::<u64>();
        if !trust_1 || now.as_secs() >= closes {
            return Err(Refusal::TaskStatus(ChainTaskStatus::Active).into());
        }
        if !task.contributors.is_empty() {
            return Err(Refusal::Contributed.into());
        }
        let key = AuthorizationRecord::key(id, wallet);
        let authorized: Option<AuthorizationRecord> =
            self.store().get(Collection::Authorizations, key).await?;
        if authorized.is_none() {
            return Err(Refusal::NotAuthorized(wallet).into());
        }
        Ok(())
    }

    /// What an early result is worth by now: it is the task's while nothing is decided; then the one that the chain names is, if it is
    /// here; and none while workers reveal another one.
    pub(crate) async fn settled(
        &self,
        id: TaskId,
        record: ResultRecord,
    ) -> Result<Option<ResultRecord>, UploadError> {
        let hub = self.chain().hub().await?;
        let Some(task) = hub.task(id).await? else {
            return Ok(None);
        };
        match ChainTaskStatus::try_from(task.status).map_err(Refusal::from)? {
            ChainTaskStatus::Active => Ok(Some(record)),
            ChainTaskStatus::Completed => match named(&task.results) {
                Some(cid) if self.blocks().has(cid).await? => {
                    let record = ResultRecord {
                        cid,
                        early: false,
                        ..record
                    };
                    let batch = Batch::new().put(Collection::Results, id, &record);
                    self.store().commit(batch).await?;
                    Ok(Some(record))
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

/// The archive that a task's results name.
fn named(results: &[u8]) -> Option<Cid> {
    let link = poco::result_link::parse(std::str::from_utf8(results).ok()?)?;
    link.location.strip_prefix("/ipfs/")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn the_link_on_the_chain_names_the_archive() {
        let cid = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o";
        let link = poco::result_link::ipfs(cid);
        assert_eq!(named(link.as_bytes()).unwrap().to_string(), cid);
        for other in [
            "",
            "Qm",
            r#"{"storage":"dropbox","location":"/results/0x1"}"#,
        ] {
            assert_eq!(named(other.as_bytes()), None, "{other:?}");
        }
    }
}
