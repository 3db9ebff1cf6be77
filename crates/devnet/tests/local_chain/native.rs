//! The chain with native stakes (spec devnet.md §4): the same contracts but for the escrow, coins instead of a token, gas for nothing.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, uint};
use alloy_sol_types::SolCall;
use chain::{Hub, Node};
use devnet::{AnvilSettings, Devnet, NodeChoice, Role, Settings, TestChain, TokenMode};
use poco::contracts::Hub as Abi;
use serde_json::{Value, json};

use crate::buyer::{buy, deal, repository};
use crate::views::{
    FacetCut, ask, diamondCutCall, facetsCall, head, tokenCall, totalSupplyCall, viewAccountCall,
    viewCategoryCall,
};

const RLC: u64 = 1_000_000_000;
const WEI_OF_ONE: U256 = uint!(1_000_000_000_U256);

async fn native() -> TestChain {
    TestChain::with(Settings {
        token: TokenMode::Native,
        ..Settings::default()
    })
    .await
    .unwrap()
}

async fn coins(devnet: &Devnet, account: Address) -> U256 {
    devnet
        .ask("eth_getBalance", json!([account, "latest"]))
        .await
        .unwrap()
}

async fn stake(devnet: &Devnet, account: Address) -> (u64, u64) {
    let hub = devnet.addresses().contracts.hub;
    let found = ask(devnet, hub, viewAccountCall { account }).await;
    (found.stake.to(), found.locked.to())
}

fn owner(devnet: &Devnet, role: Role) -> Address {
    devnet.accounts().find(role).unwrap().address()
}

#[tokio::test]
async fn there_is_no_token_and_all_else_is_as_in_token_mode() {
    let chain = native().await;
    let contracts = chain.addresses().contracts;
    assert_eq!(contracts.rlc, Address::ZERO);
    assert_eq!(
        ask(chain.devnet(), contracts.hub, tokenCall {}).await,
        Address::ZERO
    );
    let facets = ask(chain.devnet(), contracts.hub, facetsCall {}).await;
    let functions: usize = facets
        .iter()
        .map(|facet| facet.functionSelectors.len())
        .sum();
    assert_eq!((facets.len(), functions), (14, 97));
    let short = viewCategoryCall {
        catid: U256::from(5),
    };
    assert_eq!(ask(chain.devnet(), contracts.hub, short).await.name, "TEST");
    // Everything is one creation earlier than in token mode, so no address of one is an address of the other.
    let token = devnet::Contracts::of_first_deployment(
        chain.accounts().admin().address(),
        TokenMode::Token,
    );
    assert_ne!(contracts.hub, token.hub);
}

#[tokio::test]
async fn stakes_are_paid_in_coins_and_the_poor_account_has_none() {
    let chain = native().await;
    let devnet = chain.devnet();
    let mut staked = U256::ZERO;
    for account in chain.accounts().all() {
        let expected = match account.role {
            Role::Scheduler | Role::Worker(_) => 1_000 * RLC,
            _ => 0,
        };
        assert_eq!(
            stake(devnet, account.address()).await,
            (expected, 0),
            "{}",
            account.role
        );
        staked += U256::from(expected);
        let in_hand = coins(devnet, account.address()).await;
        assert_eq!(
            in_hand.is_zero(),
            account.role == Role::Poor,
            "{}",
            account.role
        );
    }
    let hub = chain.addresses().contracts.hub;
    assert_eq!(ask(devnet, hub, totalSupplyCall {}).await, staked);
    // 1 nRLC is 10⁹ wei, and the hub holds what it owes.
    assert_eq!(coins(devnet, hub).await, staked * WEI_OF_ONE);
}

#[tokio::test]
async fn more_workers_than_the_admin_has_coins_for_have_their_stake_too() {
    let chain = TestChain::with(Settings {
        token: TokenMode::Native,
        accounts: 18,
        ..Settings::default()
    })
    .await
    .unwrap();
    let last = owner(chain.devnet(), Role::Worker(11));
    assert_eq!(stake(chain.devnet(), last).await, (1_000 * RLC, 0));
}

#[tokio::test]
async fn gas_costs_nothing() {
    let chain = native().await;
    let price: U256 = chain.devnet().ask("eth_gasPrice", json!([])).await.unwrap();
    assert_eq!(price, U256::ZERO);
    let block: Value = chain
        .devnet()
        .ask("eth_getBlockByNumber", json!(["latest", false]))
        .await
        .unwrap();
    assert!(block["baseFeePerGas"].is_null(), "{block}");
}

#[tokio::test]
async fn the_sdk_deposits_coins_and_buys() {
    let chain = native().await;
    let devnet = chain.devnet();
    let requester = owner(devnet, Role::Requester);
    let before = coins(devnet, requester).await;
    let sold = buy(
        chain.dir(),
        json!([{"volume": 2, "trust": 1, "args": "hello native"}]),
    )
    .await;
    assert!(deal(devnet, &sold[0]).await.params.contains("hello native"));
    // Two tasks at 1 RLC for the application and 2 for the pool: paid in as coins, gas for nothing, all of it locked.
    let paid = U256::from(2 * 3 * RLC) * WEI_OF_ONE;
    assert_eq!(before - coins(devnet, requester).await, paid);
    assert_eq!(stake(devnet, requester).await, (0, 6 * RLC));
    // spec onchain.md A6: 30 % of the pool's price.
    let pool = owner(devnet, Role::Scheduler);
    assert_eq!(
        stake(devnet, pool).await,
        (1_000 * RLC - 1_200_000_000, 1_200_000_000)
    );
}

#[tokio::test]
async fn the_written_files_say_that_the_chain_is_native() {
    let chain = native().await;
    let facts = devnet::files::Facts::read(chain.dir()).unwrap();
    assert!(facts.native);
    let environment = std::fs::read_to_string(chain.dir().join("devnet.env")).unwrap();
    assert!(
        environment.contains("IEXEC_IS_SIDECHAIN=true\n"),
        "{environment}"
    );

    // SDK 8.24's command line, with chain.json alone.
    let requester = chain.dir().join("wallets/requester.key.json");
    std::fs::copy(requester, chain.dir().join("wallet.json")).unwrap();
    let program = repository().join("node_modules/iexec8/dist/esm/cli/cmd/iexec.js");
    let output = tokio::process::Command::new("node")
        .arg(program)
        .args(["account", "deposit", "1", "RLC", "--raw"])
        .current_dir(chain.dir())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said["ok"], true);
    let requester = owner(chain.devnet(), Role::Requester);
    assert_eq!(stake(chain.devnet(), requester).await, (RLC, 0));
}

#[tokio::test]
async fn both_modes_keep_a_prepared_chain_each_and_a_native_one_goes_on_where_it_was() {
    let world = tempfile::tempdir().unwrap();
    let cache = world.path().join("cache");
    let settings = |token, state: Option<&str>| Settings {
        node: NodeChoice::Own(AnvilSettings {
            port: 0,
            block_time: Some(Duration::from_secs(3600)),
            state: state.map(|name| world.path().join(name)),
            ..AnvilSettings::default()
        }),
        token,
        cache: Some(cache.clone()),
        ..Settings::default()
    };
    let kept = || {
        let files = std::fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .count()
    };
    let token = Devnet::start(settings(TokenMode::Token, None))
        .await
        .unwrap();
    assert_eq!(kept(), 1);
    token.stop().await.unwrap();
    let first = Devnet::start(settings(TokenMode::Native, Some("state.json")))
        .await
        .unwrap();
    assert_eq!(kept(), 2);
    let (block, poor) = (head(&first).await, owner(&first, Role::Poor));
    assert_eq!(coins(&first, poor).await, U256::ZERO);
    first.stop().await.unwrap();

    let second = Devnet::start(settings(TokenMode::Native, Some("state.json")))
        .await
        .unwrap();
    assert_eq!(head(&second).await, block, "reopening sends nothing");
    assert_eq!(coins(&second, poor).await, U256::ZERO);
    assert_eq!(
        stake(&second, owner(&second, Role::Worker(1))).await,
        (1_000 * RLC, 0)
    );
}

/// spec onchain.md 0.4: Bellecour's hub has no `viewApp` and its like, and answers an unknown function with no data.
#[tokio::test]
async fn assets_are_read_by_their_own_getters_where_the_hub_has_no_views_of_them() {
    let chain = native().await;
    let (devnet, admin) = (chain.devnet(), chain.accounts().admin().address());
    let node = Node::new(vec![devnet.rpc_url().clone()], Some(admin)).unwrap();
    let hub = Hub::new(node, chain.addresses().contracts.hub);
    let (app, pool) = (chain.addresses().app.unwrap(), chain.addresses().workerpool);
    let read = async || {
        (
            hub.app(app).await.unwrap().unwrap(),
            hub.workerpool(pool).await.unwrap().unwrap(),
            hub.app(admin).await.unwrap(),
            hub.dataset(admin).await.unwrap(),
        )
    };
    let by_views = read().await;
    assert_eq!(by_views.0.owner, owner(devnet, Role::AppProvider));
    assert_eq!(
        (&by_views.2, &by_views.3),
        (&None, &None),
        "no asset lies there"
    );

    const REMOVE: u8 = 2;
    let cut = FacetCut {
        facetAddress: Address::ZERO,
        action: REMOVE,
        functionSelectors: vec![
            Abi::viewAppCall::SELECTOR.into(),
            Abi::viewDatasetCall::SELECTOR.into(),
            Abi::viewWorkerpoolCall::SELECTOR.into(),
        ],
    };
    let call = diamondCutCall {
        cuts: vec![cut],
        init: Address::ZERO,
        initCalldata: Bytes::new(),
    };
    let request = json!([{"from": admin, "to": hub.address(), "data": Bytes::from(call.abi_encode()), "gas": "0xf4240", "gasPrice": "0x0"}]);
    devnet
        .ask::<B256>("eth_sendTransaction", request)
        .await
        .unwrap();
    chain.mine(1).await.unwrap();
    let view = Bytes::from(Abi::viewAppCall { app }.abi_encode());
    let nothing: Bytes = devnet
        .ask(
            "eth_call",
            json!([{"from": admin, "to": hub.address(), "data": view}, "latest"]),
        )
        .await
        .unwrap();
    assert!(nothing.is_empty(), "the view is gone: {nothing}");
    assert_eq!(read().await, by_views);
}
