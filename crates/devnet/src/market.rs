//! Registers what a first deal needs: the application, the workerpool and the short category. Each is made only when it is missing.

use alloy_primitives::{Address, Bytes, U256};

use crate::DevnetError;
use crate::abi::{AppRegistry, Hub, Registry, WorkerpoolRegistry};
use crate::accounts::{Accounts, Role};
use crate::deploy::{Contracts, category};
use crate::rpc::Rpc;
use crate::sender::Sender;
use crate::settings::{App, Settings};

/// Name of the additional category.
const TEST_CATEGORY: &str = "TEST";

/// What is for sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Market {
    pub(crate) app: Option<Address>,
    pub(crate) workerpool: Address,
    pub(crate) test_category: Option<u64>,
}

/// Registers what is missing and says where everything is.
pub(crate) async fn open(
    rpc: &Rpc,
    contracts: &Contracts,
    accounts: &Accounts,
    settings: &Settings,
) -> Result<Market, DevnetError> {
    let mut sender = Sender::new(rpc, &accounts.admin().key, settings.chain_id).await?;
    let app = match &settings.app {
        Some(app) => Some(
            register_app(
                rpc,
                &mut sender,
                contracts,
                owner(accounts, Role::AppProvider),
                app,
            )
            .await?,
        ),
        None => None,
    };
    let workerpool = register_pool(
        rpc,
        &mut sender,
        contracts,
        owner(accounts, Role::Scheduler),
        &settings.workerpool,
    )
    .await?;
    let test_category = match settings.test_category_s {
        Some(seconds) => Some(make_category(rpc, &mut sender, contracts, seconds).await?),
        None => None,
    };
    sender.settle().await?;
    Ok(Market {
        app,
        workerpool,
        test_category,
    })
}

/// Creates an application for its owner, or finds it.
pub(crate) async fn register_app(
    rpc: &Rpc,
    sender: &mut Sender<'_>,
    contracts: &Contracts,
    owner: Address,
    app: &App,
) -> Result<Address, DevnetError> {
    let (name, kind) = (app.name.clone(), "DOCKER".to_owned());
    let (multiaddr, checksum, mrenclave) = (
        Bytes::from(app.image.clone().into_bytes()),
        app.checksum,
        Bytes::new(),
    );
    let registry = contracts.app_registry;
    let predict = AppRegistry::predictAppCall {
        owner,
        name,
        kind,
        multiaddr,
        checksum,
        mrenclave,
    };
    let address = rpc.view(registry, &predict).await?;
    if !rpc
        .view(registry, &Registry::isRegisteredCall { entry: address })
        .await?
    {
        let AppRegistry::predictAppCall {
            owner,
            name,
            kind,
            multiaddr,
            checksum,
            mrenclave,
        } = predict;
        let create = AppRegistry::createAppCall {
            owner,
            name,
            kind,
            multiaddr,
            checksum,
            mrenclave,
        };
        sender
            .call("create app", registry, &create, 1_000_000)
            .await?;
    }
    Ok(address)
}

async fn register_pool(
    rpc: &Rpc,
    sender: &mut Sender<'_>,
    contracts: &Contracts,
    owner: Address,
    description: &str,
) -> Result<Address, DevnetError> {
    let (registry, description) = (contracts.workerpool_registry, description.to_owned());
    let predict = WorkerpoolRegistry::predictWorkerpoolCall {
        owner,
        description: description.clone(),
    };
    let address = rpc.view(registry, &predict).await?;
    if !rpc
        .view(registry, &Registry::isRegisteredCall { entry: address })
        .await?
    {
        let create = WorkerpoolRegistry::createWorkerpoolCall { owner, description };
        sender
            .call("create workerpool", registry, &create, 1_000_000)
            .await?;
    }
    Ok(address)
}

async fn make_category(
    rpc: &Rpc,
    sender: &mut Sender<'_>,
    contracts: &Contracts,
    seconds: u64,
) -> Result<u64, DevnetError> {
    let count: u64 = rpc
        .view(contracts.hub, &Hub::countCategoryCall {})
        .await?
        .saturating_to();
    for id in 0..count {
        let found = rpc
            .view(
                contracts.hub,
                &Hub::viewCategoryCall {
                    catid: U256::from(id),
                },
            )
            .await?;
        if found.name == TEST_CATEGORY && found.workClockTimeRef == U256::from(seconds) {
            return Ok(id);
        }
    }
    sender
        .call(
            "create category TEST",
            contracts.hub,
            &category(TEST_CATEGORY, seconds),
            300_000,
        )
        .await?;
    Ok(count)
}

fn owner(accounts: &Accounts, role: Role) -> Address {
    accounts.find(role).unwrap_or(accounts.admin()).address()
}
