//! Typed views of the hub (spec onchain A3, A17).
//!
//! The hub answers a question about an unknown id with zeros; here that is `None`. Whatever else goes wrong is an error,
//! so a `None` always comes from the chain. What may change is asked again; what does not is remembered for those who want it.

mod recent;

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use poco::{
    contracts::{
        Account, App, AppInfo, Category, Contribution, Dataset, DatasetInfo, Deal, Hub as Abi,
        Task, Workerpool, WorkerpoolInfo,
    },
    ids::{DealId, TaskId},
    units::BlockNumber,
};

use crate::{Node, NodeError, Revert};

/// The hub at an address, read through a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    node: Node,
    address: Address,
    recent: Arc<recent::Recent>,
}

/// The three registries of assets, as the hub names them now: they can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registries {
    /// Registry of applications.
    pub apps: Address,
    /// Registry of datasets.
    pub datasets: Address,
    /// Registry of workerpools.
    pub workerpools: Address,
}

/// Each function answers for the latest block, unless one is named, and fails as [`Node::call`] does.
#[allow(
    clippy::missing_errors_doc,
    reason = "said above, once for all of them"
)]
impl Hub {
    /// The hub at `address`.
    pub fn new(node: Node, address: Address) -> Self {
        Self {
            node,
            address,
            recent: Arc::default(),
        }
    }

    /// The node it is read through.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Where the hub is.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// A deal; it exists when it has a start time. A zero requester is possible and no sign of absence.
    pub async fn deal(&self, deal: DealId) -> Result<Option<Deal>, NodeError> {
        let found = self.view(&Abi::viewDealCall { dealid: deal.0 }).await?;
        Ok((!found.startTime.is_zero()).then_some(found))
    }

    /// A task; it exists once initialised.
    pub async fn task(&self, task: TaskId) -> Result<Option<Task>, NodeError> {
        let found = self.view(&Abi::viewTaskCall { taskid: task.0 }).await?;
        Ok((!found.dealid.is_zero()).then_some(found))
    }

    /// A task as it was after `block`. A node that does not have that block yet fails, instead of showing an older state.
    pub async fn task_at(
        &self,
        task: TaskId,
        block: BlockNumber,
    ) -> Result<Option<Task>, NodeError> {
        let call = Abi::viewTaskCall { taskid: task.0 };
        let found = self.node.call_at(self.address, &call, Some(block)).await?;
        Ok((!found.dealid.is_zero()).then_some(found))
    }

    /// What `worker` contributed to a task.
    pub async fn contribution(
        &self,
        task: TaskId,
        worker: Address,
    ) -> Result<Option<Contribution>, NodeError> {
        let found = self
            .view(&Abi::viewContributionCall {
                taskid: task.0,
                worker,
            })
            .await?;
        Ok((found.status != 0).then_some(found))
    }

    /// Free and locked stake, in nRLC; zeros for an account that never had any.
    pub async fn account(&self, account: Address) -> Result<Account, NodeError> {
        self.view(&Abi::viewAccountCall { account }).await
    }

    /// A category; `None` when there is none with that number (the view reverts without a reason).
    pub async fn category(&self, category: u64) -> Result<Option<Category>, NodeError> {
        let answer = self
            .view(&Abi::viewCategoryCall {
                catid: U256::from(category),
            })
            .await;
        absent_when_refused(answer)
    }

    /// How many categories there are; the highest number is one less.
    pub async fn category_count(&self) -> Result<u64, NodeError> {
        let count = self.view(&Abi::countCategoryCall {}).await?;
        Ok(count.saturating_to())
    }

    /// An application; `None` when there is none at that address. Hubs older than 6.1 have no such view: there the
    /// application's own getters are read (spec onchain 0.4).
    pub async fn app(&self, app: Address) -> Result<Option<AppInfo>, NodeError> {
        match self.view(&Abi::viewAppCall { app }).await {
            Err(NodeError::NoData { .. }) => self.app_by_its_getters(app).await,
            answer => absent_when_refused(answer),
        }
    }

    /// A dataset; see [`Hub::app`].
    pub async fn dataset(&self, dataset: Address) -> Result<Option<DatasetInfo>, NodeError> {
        match self.view(&Abi::viewDatasetCall { dataset }).await {
            Err(NodeError::NoData { .. }) => self.dataset_by_its_getters(dataset).await,
            answer => absent_when_refused(answer),
        }
    }

    /// A workerpool; see [`Hub::app`].
    pub async fn workerpool(&self, pool: Address) -> Result<Option<WorkerpoolInfo>, NodeError> {
        match self
            .view(&Abi::viewWorkerpoolCall { workerpool: pool })
            .await
        {
            Err(NodeError::NoData { .. }) => self.workerpool_by_its_getters(pool).await,
            answer => absent_when_refused(answer),
        }
    }

    /// Who owns a workerpool contract.
    pub async fn pool_owner(&self, pool: Address) -> Result<Address, NodeError> {
        self.node.call(pool, &Workerpool::ownerCall {}).await
    }

    /// How many contributions of `worker` turned out right, less a part of those that did not.
    pub async fn score(&self, worker: Address) -> Result<u64, NodeError> {
        let score = self.view(&Abi::viewScoreCall { worker }).await?;
        Ok(score.saturating_to())
    }

    /// Gas that a finalisation must keep for a callback.
    pub async fn callback_gas(&self) -> Result<u64, NodeError> {
        let gas = self.view(&Abi::callbackgasCall {}).await?;
        Ok(gas.saturating_to())
    }

    /// Who signs authorizations for enclaves instead of the pool's owner; `None` when nobody does.
    pub async fn tee_broker(&self) -> Result<Option<Address>, NodeError> {
        let broker = self.view(&Abi::teebrokerCall {}).await?;
        Ok((!broker.is_zero()).then_some(broker))
    }

    /// Contribution deadline, in units of the category's time, counted from the deal.
    pub async fn contribution_deadline_ratio(&self) -> Result<u64, NodeError> {
        let ratio = self.view(&Abi::contribution_deadline_ratioCall {}).await?;
        Ok(ratio.saturating_to())
    }

    /// Reveal deadline, in units of the category's time, counted from the consensus.
    pub async fn reveal_deadline_ratio(&self) -> Result<u64, NodeError> {
        let ratio = self.view(&Abi::reveal_deadline_ratioCall {}).await?;
        Ok(ratio.saturating_to())
    }

    /// Final deadline, in units of the category's time, counted from the deal.
    pub async fn final_deadline_ratio(&self) -> Result<u64, NodeError> {
        let ratio = self.view(&Abi::final_deadline_ratioCall {}).await?;
        Ok(ratio.saturating_to())
    }

    /// How much of an order's volume is used up.
    pub async fn consumed(&self, order: B256) -> Result<u64, NodeError> {
        let volume = self
            .view(&Abi::viewConsumedCall { orderHash: order })
            .await?;
        Ok(volume.saturating_to())
    }

    /// The RLC token; hubs with native stakes have none and answer zero.
    pub async fn token(&self) -> Result<Address, NodeError> {
        self.view(&Abi::tokenCall {}).await
    }

    /// The registries in force.
    pub async fn registries(&self) -> Result<Registries, NodeError> {
        let apps = self.view(&Abi::appregistryCall {});
        let datasets = self.view(&Abi::datasetregistryCall {});
        let workerpools = self.view(&Abi::workerpoolregistryCall {});
        let (apps, datasets, workerpools) = tokio::try_join!(apps, datasets, workerpools)?;
        Ok(Registries {
            apps,
            datasets,
            workerpools,
        })
    }

    async fn view<C: alloy_sol_types::SolCall>(&self, call: &C) -> Result<C::Return, NodeError> {
        self.node.call(self.address, call).await
    }

    async fn app_by_its_getters(&self, app: Address) -> Result<Option<AppInfo>, NodeError> {
        let node = &self.node;
        let read = async {
            let (owner, name, app_type, multiaddr, checksum, enclave) = tokio::try_join!(
                node.call(app, &App::ownerCall {}),
                node.call(app, &App::m_appNameCall {}),
                node.call(app, &App::m_appTypeCall {}),
                node.call(app, &App::m_appMultiaddrCall {}),
                node.call(app, &App::m_appChecksumCall {}),
                node.call(app, &App::m_appMREnclaveCall {}),
            )?;
            Ok(AppInfo {
                owner,
                m_appName: name,
                m_appType: app_type,
                m_appMultiaddr: multiaddr,
                m_appChecksum: checksum,
                m_appMREnclave: enclave,
            })
        };
        absent_when_no_asset(read.await)
    }

    async fn dataset_by_its_getters(
        &self,
        dataset: Address,
    ) -> Result<Option<DatasetInfo>, NodeError> {
        let node = &self.node;
        let read = async {
            let (owner, name, multiaddr, checksum) = tokio::try_join!(
                node.call(dataset, &Dataset::ownerCall {}),
                node.call(dataset, &Dataset::m_datasetNameCall {}),
                node.call(dataset, &Dataset::m_datasetMultiaddrCall {}),
                node.call(dataset, &Dataset::m_datasetChecksumCall {}),
            )?;
            Ok(DatasetInfo {
                owner,
                m_datasetName: name,
                m_datasetMultiaddr: multiaddr,
                m_datasetChecksum: checksum,
            })
        };
        absent_when_no_asset(read.await)
    }

    async fn workerpool_by_its_getters(
        &self,
        pool: Address,
    ) -> Result<Option<WorkerpoolInfo>, NodeError> {
        let node = &self.node;
        let read = async {
            let (owner, description, stake, reward) = tokio::try_join!(
                node.call(pool, &Workerpool::ownerCall {}),
                node.call(pool, &Workerpool::m_workerpoolDescriptionCall {}),
                node.call(pool, &Workerpool::m_workerStakeRatioPolicyCall {}),
                node.call(pool, &Workerpool::m_schedulerRewardRatioPolicyCall {}),
            )?;
            Ok(WorkerpoolInfo {
                owner,
                m_workerpoolDescription: description,
                m_workerStakeRatioPolicy: stake,
                m_schedulerRewardRatioPolicy: reward,
            })
        };
        absent_when_no_asset(read.await)
    }
}

/// A view that refuses without a reason says that there is no such thing; with a reason it is an error to be seen.
fn absent_when_refused<T>(answer: Result<T, NodeError>) -> Result<Option<T>, NodeError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(NodeError::Reverted(Revert::Empty)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Getters of an address without code return no data, those of another contract revert.
fn absent_when_no_asset<T>(answer: Result<T, NodeError>) -> Result<Option<T>, NodeError> {
    match answer {
        Err(NodeError::NoData { .. }) => Ok(None),
        answer => absent_when_refused(answer),
    }
}
