//! Deploys PoCo: the transactions of spec devnet.md §3 in their order, all from the admin account; in native mode without the first, the token.
//!
//! Addresses follow from the sender's nonce, so nothing waits for a receipt until the end. Production is never replicated here.

use std::collections::HashSet;

use alloy_primitives::{Address, Bytes, FixedBytes};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolValue};
use serde::{Deserialize, Serialize};

use crate::DevnetError;
use crate::abi::{DiamondArguments, DiamondInit, Hub, Registry};
use crate::package::{Artifact, Package};
use crate::rpc::Rpc;
use crate::sender::Sender;
use crate::settings::TokenMode;

/// Facets of the protocol in the order in which they are added; `true` for those that are linked with the orders library.
const fn facets(mode: TokenMode) -> [(&'static str, bool, u64); 11] {
    let escrow = match mode {
        TokenMode::Token => "IexecEscrowTokenFacet",
        TokenMode::Native => "IexecEscrowNativeFacet",
    };
    [
        ("IexecAccessorsABILegacyFacet", false, 1_300_000),
        ("IexecCategoryManagerFacet", false, 500_000),
        ("IexecConfigurationExtraFacet", false, 400_000),
        ("IexecConfigurationFacet", true, 900_000),
        ("IexecERC20Facet", false, 800_000),
        (escrow, false, 1_000_000),
        ("IexecOrderManagementFacet", true, 1_900_000),
        ("IexecPoco1Facet", true, 3_600_000),
        ("IexecPoco2Facet", false, 4_000_000),
        ("IexecPocoAccessorsFacet", true, 2_900_000),
        ("IexecRelayFacet", false, 600_000),
    ]
}

/// Categories as on production: name and reference time in seconds.
pub(crate) const CATEGORIES: [(&str, u64); 5] = [
    ("XS", 300),
    ("S", 1200),
    ("M", 3600),
    ("L", 10800),
    ("XL", 36000),
];

/// What 6.2.0, the production version, has from the start and 6.1.0 must be told.
pub(crate) const CALLBACK_GAS: u64 = 200_000;

/// Gas that a call of a setter may use: far more than any needs, and small beside a block.
const CALL_GAS: u64 = 300_000;

/// Reserved selectors by which the diamond routes plain transfers and unknown functions.
const RECEIVE: FixedBytes<4> = FixedBytes([0x00; 4]);
const FALLBACK: FixedBytes<4> = FixedBytes([0xff; 4]);

/// Where the contracts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contracts {
    /// The diamond with the whole protocol.
    pub hub: Address,
    /// The RLC token, 9 decimals; zero where stakes are paid with the chain's own coin.
    pub rlc: Address,
    /// Registry of applications.
    pub app_registry: Address,
    /// Registry of datasets.
    pub dataset_registry: Address,
    /// Registry of workerpools.
    pub workerpool_registry: Address,
}

impl Contracts {
    /// Where they are when `admin` deploys them with its first transactions. Both modes differ in every address, and neither has a contract
    /// where the other has its registry of workerpools.
    #[must_use]
    pub fn of_first_deployment(admin: Address, mode: TokenMode) -> Self {
        let (rlc, before) = match mode {
            TokenMode::Token => (admin.create(0), 1),
            TokenMode::Native => (Address::ZERO, 0),
        };
        Self {
            rlc,
            hub: admin.create(before + 4),
            app_registry: admin.create(before + 18),
            dataset_registry: admin.create(before + 21),
            workerpool_registry: admin.create(before + 24),
        }
    }
}

/// Deploys everything and waits until it is mined.
pub(crate) async fn deploy(
    rpc: &Rpc,
    admin: &PrivateKeySigner,
    chain_id: u64,
    mode: TokenMode,
    package: &Package,
) -> Result<Contracts, DevnetError> {
    let mut sender = Sender::new(rpc, admin, chain_id).await?;
    let rlc = match mode {
        TokenMode::Token => {
            let code = package.record("RLC")?.init_code()?;
            sender.create("create RLC", code, 1_400_000).await?
        }
        TokenMode::Native => Address::ZERO,
    };
    let hub = diamond(&mut sender, admin.address(), mode, package).await?;
    let app_registry = registry(&mut sender, package, "apps/AppRegistry", "app", chain_id).await?;
    let dataset_registry = registry(
        &mut sender,
        package,
        "datasets/DatasetRegistry",
        "dataset",
        chain_id,
    )
    .await?;
    let workerpool_registry = registry(
        &mut sender,
        package,
        "workerpools/WorkerpoolRegistry",
        "workerpool",
        chain_id,
    )
    .await?;
    let configure = Hub::configureCall {
        token: rlc,
        name: "Staked RLC".to_owned(),
        symbol: "SRLC".to_owned(),
        decimals: 9,
        appregistry: app_registry,
        datasetregistry: dataset_registry,
        workerpoolregistry: workerpool_registry,
        v3: Address::ZERO,
    };
    sender.call("configure", hub, &configure, 500_000).await?;
    for (name, seconds) in CATEGORIES {
        sender
            .call("create category", hub, &category(name, seconds), CALL_GAS)
            .await?;
    }
    let callback_gas = Hub::setCallbackGasCall {
        gas: alloy_primitives::U256::from(CALLBACK_GAS),
    };
    sender
        .call("set callback gas", hub, &callback_gas, CALL_GAS)
        .await?;
    sender.settle().await?;
    Ok(Contracts {
        hub,
        rlc,
        app_registry,
        dataset_registry,
        workerpool_registry,
    })
}

/// The call that creates a category. The description is the two-character JSON text `""`, as on production.
pub(crate) fn category(name: &str, seconds: u64) -> Hub::createCategoryCall {
    Hub::createCategoryCall {
        name: name.to_owned(),
        description: "\"\"".to_owned(),
        workClockTimeRef: alloy_primitives::U256::from(seconds),
    }
}

async fn diamond(
    sender: &mut Sender<'_>,
    admin: Address,
    mode: TokenMode,
    package: &Package,
) -> Result<Address, DevnetError> {
    let mut taken = HashSet::new();
    let init = sender
        .create(
            "create DiamondInit",
            package.record("DiamondInit")?.init_code()?,
            300_000,
        )
        .await?;
    let mut core = Vec::new();
    for (name, gas) in [
        ("DiamondCutFacet", 1_500_000),
        ("DiamondLoupeFacet", 1_000_000),
        ("OwnershipFacet", 500_000),
    ] {
        let facet = package.record(name)?;
        let address = sender.create(name, facet.init_code()?, gas).await?;
        core.push(cut(address, &facet, &mut taken)?);
    }
    let arguments = DiamondArguments {
        owner: admin,
        init,
        initCalldata: DiamondInit::initCall {}.abi_encode().into(),
    };
    let mut code = package.artifact("Diamond")?.init_code()?.to_vec();
    code.extend((core, arguments).abi_encode_params());
    let hub = sender
        .create("create Diamond", Bytes::from(code), 1_500_000)
        .await?;

    let library = package.artifact("libs/IexecLibOrders_v5")?.init_code()?;
    let library = sender
        .create("create IexecLibOrders_v5", library, 1_400_000)
        .await?;
    let mut cuts = Vec::new();
    for (name, linked, gas) in facets(mode) {
        let facet = package.artifact(&format!("facets/{name}"))?;
        let code = if linked {
            facet.linked(library)?
        } else {
            facet.init_code()?
        };
        let address = sender.create(name, code, gas).await?;
        cuts.push(cut(address, &facet, &mut taken)?);
    }
    let all_facets = Hub::diamondCutCall {
        cuts,
        init: Address::ZERO,
        initCalldata: Bytes::new(),
    };
    sender
        .call("add facets", hub, &all_facets, 3_500_000)
        .await?;
    Ok(hub)
}

/// The functions of a facet that no earlier facet has: `owner()` stays with the first that brings it.
fn cut(
    address: Address,
    facet: &Artifact,
    taken: &mut HashSet<FixedBytes<4>>,
) -> Result<Hub::FacetCut, DevnetError> {
    let interface = facet.interface()?;
    let plain_transfer = interface.receive.as_ref().map(|_| RECEIVE);
    let unknown_function = interface.fallback.as_ref().map(|_| FALLBACK);
    let selectors = interface
        .functions()
        .map(alloy_json_abi::Function::selector)
        .chain(plain_transfer)
        .chain(unknown_function);
    let fresh = selectors
        .filter(|selector| taken.insert(*selector))
        .collect();
    const ADD: u8 = 0;
    Ok(Hub::FacetCut {
        facetAddress: address,
        action: ADD,
        functionSelectors: fresh,
    })
}

async fn registry(
    sender: &mut Sender<'_>,
    package: &Package,
    source: &str,
    kind: &str,
    chain_id: u64,
) -> Result<Address, DevnetError> {
    let code = package
        .artifact(&format!("registries/{source}"))?
        .init_code()?;
    let address = sender.create(source, code, 4_800_000).await?;
    sender
        .call(
            "initialize registry",
            address,
            &Registry::initializeCall {
                previous: Address::ZERO,
            },
            CALL_GAS,
        )
        .await?;
    let base_uri = Registry::setBaseURICall {
        baseUri: format!("https://nfts-metadata.iex.ec/{kind}/{chain_id}/"),
    };
    sender
        .call("name registry", address, &base_uri, CALL_GAS)
        .await?;
    Ok(address)
}
