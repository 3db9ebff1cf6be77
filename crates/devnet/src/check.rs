//! Reads a deployment back and compares it with what it must be (spec devnet.md §3 and §5). Changes nothing.

use std::fmt::Display;

use alloy_primitives::{Address, U256, address};
use alloy_sol_types::Eip712Domain;

use crate::DevnetError;
use crate::abi::Hub;
use crate::deploy::{CALLBACK_GAS, CATEGORIES, Contracts};
use crate::rpc::Rpc;

const FUNCTIONS: usize = 98;
/// The native escrow lacks `receiveApproval`: nobody approves a token there.
const FUNCTIONS_OF_NATIVE: usize = 97;
const FACETS: usize = 14;
const KITTY: Address = address!("99c2268479b93fDe36232351229815DF80837e23");

/// Compares every setting of the contracts at `contracts` with its expected value; the error names all that differ.
pub(crate) async fn check(
    rpc: &Rpc,
    contracts: &Contracts,
    owner: Address,
    chain_id: u64,
) -> Result<(), DevnetError> {
    let hub = contracts.hub;
    if !rpc.has_code(hub).await? {
        return Err(DevnetError::NotAsExpected {
            mismatches: vec![format!("no contract at the hub's address {hub}")],
        });
    }
    let mut found = Findings::default();
    let facets = rpc.view(hub, &Hub::facetsCall {}).await?;
    found.compare("number of facets", FACETS, facets.len());
    found.compare(
        "number of functions",
        if contracts.rlc.is_zero() {
            FUNCTIONS_OF_NATIVE
        } else {
            FUNCTIONS
        },
        facets
            .iter()
            .map(|facet| facet.functionSelectors.len())
            .sum(),
    );

    found.compare("owner", owner, rpc.view(hub, &Hub::ownerCall {}).await?);
    found.compare(
        "name",
        "Staked RLC".to_owned(),
        rpc.view(hub, &Hub::nameCall {}).await?,
    );
    found.compare(
        "symbol",
        "SRLC".to_owned(),
        rpc.view(hub, &Hub::symbolCall {}).await?,
    );
    found.compare("decimals", 9, rpc.view(hub, &Hub::decimalsCall {}).await?);
    found.compare(
        "token",
        contracts.rlc,
        rpc.view(hub, &Hub::tokenCall {}).await?,
    );
    found.compare(
        "appregistry",
        contracts.app_registry,
        rpc.view(hub, &Hub::appregistryCall {}).await?,
    );
    found.compare(
        "datasetregistry",
        contracts.dataset_registry,
        rpc.view(hub, &Hub::datasetregistryCall {}).await?,
    );
    found.compare(
        "workerpoolregistry",
        contracts.workerpool_registry,
        rpc.view(hub, &Hub::workerpoolregistryCall {}).await?,
    );
    found.compare(
        "contribution_deadline_ratio",
        U256::from(7),
        rpc.view(hub, &Hub::contribution_deadline_ratioCall {})
            .await?,
    );
    found.compare(
        "reveal_deadline_ratio",
        U256::from(2),
        rpc.view(hub, &Hub::reveal_deadline_ratioCall {}).await?,
    );
    found.compare(
        "final_deadline_ratio",
        U256::from(10),
        rpc.view(hub, &Hub::final_deadline_ratioCall {}).await?,
    );
    found.compare(
        "workerpool_stake_ratio",
        U256::from(30),
        rpc.view(hub, &Hub::workerpool_stake_ratioCall {}).await?,
    );
    found.compare(
        "kitty_ratio",
        U256::from(10),
        rpc.view(hub, &Hub::kitty_ratioCall {}).await?,
    );
    found.compare(
        "kitty_min",
        U256::from(1_000_000_000),
        rpc.view(hub, &Hub::kitty_minCall {}).await?,
    );
    found.compare(
        "kitty_address",
        KITTY,
        rpc.view(hub, &Hub::kitty_addressCall {}).await?,
    );
    found.compare(
        "groupmember_purpose",
        U256::from(4),
        rpc.view(hub, &Hub::groupmember_purposeCall {}).await?,
    );
    found.compare(
        "teebroker",
        Address::ZERO,
        rpc.view(hub, &Hub::teebrokerCall {}).await?,
    );
    found.compare(
        "callbackgas",
        U256::from(CALLBACK_GAS),
        rpc.view(hub, &Hub::callbackgasCall {}).await?,
    );
    for (id, (name, seconds)) in CATEGORIES.into_iter().enumerate() {
        let category = rpc
            .view(
                hub,
                &Hub::viewCategoryCall {
                    catid: U256::from(id),
                },
            )
            .await?;
        found.compare("name of a category", name.to_owned(), category.name);
        found.compare(
            "description of a category",
            "\"\"".to_owned(),
            category.description,
        );
        found.compare(
            "reference time of a category",
            U256::from(seconds),
            category.workClockTimeRef,
        );
    }
    let domain = Eip712Domain::new(
        Some("iExecODB".into()),
        Some("5.0.0".into()),
        Some(U256::from(chain_id)),
        Some(hub),
        None,
    );
    found.compare(
        "domain separator",
        domain.separator(),
        rpc.view(hub, &Hub::eip712domain_separatorCall {}).await?,
    );
    found.done()
}

/// What holds only before the first deposit and the first category of our own.
pub(crate) async fn check_fresh(rpc: &Rpc, contracts: &Contracts) -> Result<(), DevnetError> {
    let mut found = Findings::default();
    found.compare(
        "totalSupply",
        U256::ZERO,
        rpc.view(contracts.hub, &Hub::totalSupplyCall {}).await?,
    );
    found.compare(
        "countCategory",
        U256::from(CATEGORIES.len()),
        rpc.view(contracts.hub, &Hub::countCategoryCall {}).await?,
    );
    found.done()
}

#[derive(Default)]
struct Findings {
    mismatches: Vec<String>,
}

impl Findings {
    fn compare<T: PartialEq + Display>(&mut self, what: &str, expected: T, found: T) {
        if expected != found {
            self.mismatches
                .push(format!("{what} is {found}, expected {expected}"));
        }
    }

    fn done(self) -> Result<(), DevnetError> {
        let Self { mismatches } = self;
        if mismatches.is_empty() {
            Ok(())
        } else {
            Err(DevnetError::NotAsExpected { mismatches })
        }
    }
}
