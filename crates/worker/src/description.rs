//! What the worker knows about a task: read from the chain once, in the words of spec `worker.md` §4. It never changes, so it may be kept.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use chain::{Hub, NodeError};
use poco::contracts::{AppInfo, Category, DatasetInfo, Deal, Task};
use poco::deal_params::DealParams;
use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use poco::units::Timestamp;

/// A task, its deal, category and application.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDescription {
    /// The task.
    pub task: TaskId,
    /// Its deal.
    pub deal: DealId,
    /// Its place in the bag, counted over all deals of the request.
    pub index: u64,
    /// The first place of this deal.
    pub bot_first: u64,
    /// How many tasks the deal has.
    pub bot_size: u64,
    /// The deal's workerpool.
    pub pool: Address,
    /// The application's image reference, as it stands on chain.
    pub image: String,
    /// The application's checksum on chain: its image's digest, where the developer wrote that; anything, where not (S11).
    pub checksum: B256,
    /// The dataset, the zero address when there is none.
    pub dataset: Address,
    /// Where the dataset lies, as text; empty when nowhere.
    pub dataset_uri: String,
    /// SHA-256 of the dataset.
    pub dataset_checksum: B256,
    /// Where the result goes on chain, the zero address when nowhere.
    pub callback: Address,
    /// How many workers must agree, in the protocol's measure.
    pub trust: U256,
    /// What the deal demands.
    pub tag: Tag,
    /// What the requester gave with the deal.
    pub params: DealParams,
    /// How long the application may run.
    pub max_execution: Duration,
    /// Until when contributions are taken.
    pub contribution_deadline: Timestamp,
    /// When the task is over whatever happened.
    pub final_deadline: Timestamp,
    /// What a contribution locks, in nRLC.
    pub worker_stake: U256,
}

/// Where a dataset lies, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetSource {
    /// A URL, or a place in IPFS as `/ipfs/<cid>`.
    pub uri: String,
    /// SHA-256 of its content.
    pub checksum: B256,
}

impl TaskDescription {
    /// Reads the description, and the task as it is now; `None` when the chain has no such task, or its deal, category, application or
    /// dataset is missing.
    ///
    /// # Errors
    /// The chain does not answer.
    pub async fn read(hub: &Hub, task: TaskId) -> Result<Option<(Self, Task)>, NodeError> {
        let Some(on_chain) = hub.task(task).await? else {
            return Ok(None);
        };
        let Some(deal) = hub.recent_deal(DealId(on_chain.dealid)).await? else {
            return Ok(None);
        };
        let Some(category) = hub.recent_category(deal.category.saturating_to()).await? else {
            return Ok(None);
        };
        let Some(app) = hub.recent_app(deal.app.pointer).await? else {
            return Ok(None);
        };
        let dataset = if deal.dataset.pointer.is_zero() {
            None
        } else {
            let Some(found) = hub.recent_dataset(deal.dataset.pointer).await? else {
                return Ok(None);
            };
            Some(found)
        };
        let description = Self::of(task, &on_chain, &deal, &category, &app);
        Ok(Some((description.with_dataset(dataset.as_ref()), on_chain)))
    }

    fn with_dataset(self, dataset: Option<&DatasetInfo>) -> Self {
        let Some(dataset) = dataset else {
            return self;
        };
        Self {
            dataset_uri: poco::assets::dataset_uri(&dataset.m_datasetMultiaddr),
            dataset_checksum: dataset.m_datasetChecksum,
            ..self
        }
    }

    fn of(task: TaskId, on_chain: &Task, deal: &Deal, category: &Category, app: &AppInfo) -> Self {
        Self {
            task,
            deal: DealId(on_chain.dealid),
            index: on_chain.idx.saturating_to(),
            bot_first: deal.botFirst.saturating_to(),
            bot_size: deal.botSize.saturating_to(),
            pool: deal.workerpool.pointer,
            image: String::from_utf8_lossy(&app.m_appMultiaddr).into_owned(),
            checksum: app.m_appChecksum,
            dataset: deal.dataset.pointer,
            dataset_uri: String::new(),
            dataset_checksum: B256::ZERO,
            callback: deal.callback,
            trust: deal.trust,
            tag: Tag(deal.tag),
            params: DealParams::parse(&deal.params),
            max_execution: Duration::from_secs(category.workClockTimeRef.saturating_to()),
            contribution_deadline: seconds(on_chain.contributionDeadline),
            final_deadline: seconds(on_chain.finalDeadline),
            worker_stake: deal.workerStake,
        }
    }

    /// Where the dataset is to be fetched from; `None` when the deal has none, or its dataset lies nowhere.
    #[must_use]
    pub fn dataset_source(&self) -> Option<DatasetSource> {
        let lies_somewhere = !self.dataset.is_zero() && !self.dataset_uri.trim().is_empty();
        lies_somewhere.then(|| DatasetSource {
            uri: self.dataset_uri.clone(),
            checksum: self.dataset_checksum,
        })
    }

    /// True when the result goes to a contract instead of to storage.
    #[must_use]
    pub fn has_callback(&self) -> bool {
        !self.callback.is_zero()
    }
}

/// Seconds of a contract as a time; what does not fit is the end of time.
pub(crate) fn seconds(value: U256) -> Timestamp {
    Timestamp::from_secs(value.saturating_to::<u64>().min(u64::MAX / 1000))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The third task of a bag of three that begins at 1, without dataset, input files and callback.
    pub(crate) fn standard_task() -> TaskDescription {
        TaskDescription {
            task: TaskId(B256::repeat_byte(0x11)),
            deal: DealId(B256::repeat_byte(0xdd)),
            index: 2,
            bot_first: 1,
            bot_size: 3,
            pool: Address::repeat_byte(5),
            image: "registry.example/app:1".to_owned(),
            checksum: B256::ZERO,
            dataset: Address::ZERO,
            dataset_uri: String::new(),
            dataset_checksum: B256::ZERO,
            callback: Address::ZERO,
            trust: U256::from(1),
            tag: Tag::NONE,
            params: DealParams::parse(
                r#"{"iexec_args":"a b","iexec_result_storage_provider":"ipfs"}"#,
            ),
            max_execution: Duration::from_secs(300),
            contribution_deadline: Timestamp::from_secs(2_100),
            final_deadline: Timestamp::from_secs(3_000),
            worker_stake: U256::from(10),
        }
    }

    #[test]
    fn a_dataset_is_one_when_it_has_an_address_and_lies_somewhere() {
        let mut task = standard_task().with_dataset(Some(&DatasetInfo {
            m_datasetMultiaddr: b"https://example.org/data.bin".into(),
            m_datasetChecksum: B256::repeat_byte(7),
            ..DatasetInfo::default()
        }));
        assert_eq!(task.dataset_source(), None, "no dataset in the deal");
        task.dataset = Address::repeat_byte(9);
        let source = task.dataset_source().unwrap();
        assert_eq!(source.uri, "https://example.org/data.bin");
        assert_eq!(source.checksum, B256::repeat_byte(7));
        task.dataset_uri = " ".to_owned();
        assert_eq!(task.dataset_source(), None);
    }

    #[test]
    fn a_time_that_does_not_fit_is_the_end_of_time_not_its_beginning() {
        assert_eq!(seconds(U256::from(2)), Timestamp(2_000));
        assert!(seconds(U256::MAX) > Timestamp::from_secs(1 << 40));
    }
}
