//! What is on the chain after a start equals the specification's tables.

use alloy_primitives::{U256, address, b256};
use devnet::{Contracts, Role, TestChain};

use crate::views::{
    ask, balanceOfCall, callbackgasCall, countCategoryCall, eip712domain_separatorCall, facetsCall,
    isRegisteredCall, ownerCall, viewAccountCall, viewCategoryCall,
};

const RLC: u64 = 1_000_000_000;

#[tokio::test]
async fn contracts_are_where_the_table_says_and_configured_as_it_says() {
    let chain = TestChain::start().await.unwrap();
    let contracts = chain.addresses().contracts;
    // spec devnet.md §3
    let table = Contracts {
        hub: address!("5FC8d32690cc91D4c39d9d3abcBD16989F875707"),
        rlc: address!("5FbDB2315678afecb367f032d93F642f64180aa3"),
        app_registry: address!("3Aa5ebB10DC797CAC828524e59A333d0A371443c"),
        dataset_registry: address!("4ed7c70F96B99c776995fB64377f0d4aB3B0e1C1"),
        workerpool_registry: address!("4A679253410272dd5232B3Ff7cF5dbB88f295319"),
    };
    assert_eq!(contracts, table);

    let facets = ask(chain.devnet(), contracts.hub, facetsCall {}).await;
    assert_eq!(facets.len(), 14);
    let functions: Vec<_> = facets
        .iter()
        .flat_map(|facet| &facet.functionSelectors)
        .collect();
    assert_eq!(functions.len(), 98);
    // owner() is in the interface of several facets and must stay with OwnershipFacet, the fourth creation after DiamondInit.
    let owner_selector = alloy_primitives::FixedBytes([0x8d, 0xa5, 0xcb, 0x5b]);
    let home = facets
        .iter()
        .find(|facet| facet.functionSelectors.contains(&owner_selector))
        .unwrap();
    assert_eq!(
        home.facetAddress,
        address!("Dc64a140Aa3E981100a9becA4E685f962f0cF6C9")
    );
    assert_eq!(
        ask(chain.devnet(), contracts.hub, ownerCall {}).await,
        chain.accounts().admin().address()
    );

    assert_eq!(
        ask(chain.devnet(), contracts.hub, callbackgasCall {}).await,
        U256::from(200_000)
    );
    let separator = ask(chain.devnet(), contracts.hub, eip712domain_separatorCall {}).await;
    assert_eq!(
        separator,
        b256!("656276ffb46c187a6489a015b1a198dfe720940dfcb8db2f9950d48fc6ce7e05")
    );
}

#[tokio::test]
async fn categories_are_those_of_production_and_one_short_one_for_tests() {
    let chain = TestChain::start().await.unwrap();
    let hub = chain.addresses().contracts.hub;
    let mut found = Vec::new();
    for catid in 0..6 {
        let category = ask(
            chain.devnet(),
            hub,
            viewCategoryCall {
                catid: U256::from(catid),
            },
        )
        .await;
        found.push((category.name, category.workClockTimeRef.to::<u64>()));
    }
    let expected = [
        ("XS", 300),
        ("S", 1200),
        ("M", 3600),
        ("L", 10800),
        ("XL", 36000),
        ("TEST", 1),
    ];
    assert_eq!(
        found,
        expected.map(|(name, seconds)| (name.to_owned(), seconds))
    );
    assert_eq!(
        ask(chain.devnet(), hub, countCategoryCall {}).await,
        U256::from(6)
    );
    assert_eq!(chain.addresses().test_category, Some(5));
}

#[tokio::test]
async fn roles_have_their_money_and_their_stakes_and_the_poor_account_has_none() {
    let chain = TestChain::start().await.unwrap();
    let contracts = chain.addresses().contracts;
    for account in chain
        .accounts()
        .all()
        .filter(|account| account.role != Role::Admin)
    {
        let in_hand = ask(
            chain.devnet(),
            contracts.rlc,
            balanceOfCall {
                account: account.address(),
            },
        )
        .await;
        let stake = ask(
            chain.devnet(),
            contracts.hub,
            viewAccountCall {
                account: account.address(),
            },
        )
        .await
        .stake;
        let expected = match account.role {
            Role::Poor => (0, 0),
            Role::Scheduler | Role::Worker(_) => (1_000_000 * RLC, 1_000 * RLC),
            _ => (1_000_000 * RLC, 0),
        };
        assert_eq!(
            (in_hand.to::<u64>(), stake.to::<u64>()),
            expected,
            "{}",
            account.role
        );
    }
}

#[tokio::test]
async fn application_and_pool_are_registered_for_their_owners() {
    let chain = TestChain::start().await.unwrap();
    let devnet = chain.devnet();
    let (app, pool) = (chain.addresses().app.unwrap(), chain.addresses().workerpool);
    assert!(
        ask(
            devnet,
            chain.addresses().contracts.app_registry,
            isRegisteredCall { entry: app }
        )
        .await
    );
    assert!(
        ask(
            devnet,
            chain.addresses().contracts.workerpool_registry,
            isRegisteredCall { entry: pool }
        )
        .await
    );
    let owner = |role| chain.accounts().find(role).unwrap().address();
    assert_eq!(
        ask(devnet, app, ownerCall {}).await,
        owner(Role::AppProvider)
    );
    assert_eq!(
        ask(devnet, pool, ownerCall {}).await,
        owner(Role::Scheduler)
    );
}

#[tokio::test]
async fn more_accounts_are_more_workers_with_gas_money_and_stake() {
    let settings = devnet::Settings {
        accounts: 14,
        ..devnet::Settings::default()
    };
    let chain = TestChain::with(settings).await.unwrap();
    let seventh = chain.accounts().find(Role::Worker(7)).unwrap().address();
    let stake = ask(
        chain.devnet(),
        chain.addresses().contracts.hub,
        viewAccountCall { account: seventh },
    )
    .await
    .stake;
    assert_eq!(stake, U256::from(1_000 * RLC));
    let coins: U256 = chain
        .devnet()
        .ask("eth_getBalance", serde_json::json!([seventh, "latest"]))
        .await
        .unwrap();
    assert!(!coins.is_zero());
    assert!(chain.accounts().find(Role::Worker(8)).is_none());
}

#[tokio::test]
async fn the_written_wallets_open_with_the_written_password_and_only_their_owner_may_read_them() {
    let chain = TestChain::start().await.unwrap();
    let facts = devnet::files::Facts::read(chain.dir()).unwrap();
    let scheduler = chain.accounts().find(Role::Scheduler).unwrap();
    let written = &facts.accounts["scheduler"];
    assert_eq!(written.address, scheduler.address());
    let opened = chain::wallet::open_keystore(&written.wallet, devnet::files::PASSWORD).unwrap();
    assert_eq!(opened.to_bytes(), scheduler.key.to_bytes());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&written.wallet).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    let environment = std::fs::read_to_string(chain.dir().join("devnet.env")).unwrap();
    let value = |name: &str| {
        environment
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        value("POOL_ADDRESS"),
        format!("{:?}", chain.addresses().workerpool).to_lowercase()
    );
    assert_eq!(value("IEXEC_BLOCKCHAIN_NODE_ADDRESS"), chain.rpc_url());
    assert_eq!(
        value("IEXEC_CORE_WALLET_PATH"),
        written.wallet.display().to_string()
    );
    assert_eq!(value("IEXEC_BLOCK_TIME"), "PT1S");
}
