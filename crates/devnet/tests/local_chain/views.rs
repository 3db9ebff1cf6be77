//! What the tests ask the chain by plain JSON-RPC.

use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::{SolCall, sol};
use devnet::Devnet;
use serde_json::json;

sol! {
    struct Resource { address pointer; address owner; uint256 price; }
    struct Deal {
        Resource app; Resource dataset; Resource workerpool; uint256 trust; uint256 category; bytes32 tag; address requester; address beneficiary;
        address callback; string params; uint256 startTime; uint256 botFirst; uint256 botSize; uint256 workerStake; uint256 schedulerRewardRatio;
        address sponsor;
    }
    struct Facet { address facetAddress; bytes4[] functionSelectors; }
    struct Account { uint256 stake; uint256 locked; }
    struct Category { string name; string description; uint256 workClockTimeRef; }

    function viewDeal(bytes32 deal) external view returns (Deal);
    function viewAccount(address account) external view returns (Account);
    function viewCategory(uint256 catid) external view returns (Category);
    function countCategory() external view returns (uint256);
    function facets() external view returns (Facet[]);
    function owner() external view returns (address);
    function eip712domain_separator() external view returns (bytes32);
    function verifySignature(address account, bytes32 hash, bytes signature) external view returns (bool);
    function viewConsumed(bytes32 order) external view returns (uint256);
    struct FacetCut { address facetAddress; uint8 action; bytes4[] functionSelectors; }
    function diamondCut(FacetCut[] cuts, address init, bytes initCalldata) external;
    function callbackgas() external view returns (uint256);
    function balanceOf(address account) external view returns (uint256);
    function totalSupply() external view returns (uint256);
    function token() external view returns (address);
    function isRegistered(address entry) external view returns (bool);
}

pub(crate) async fn ask<C: SolCall>(devnet: &Devnet, contract: Address, call: C) -> C::Return {
    let request = json!([{"to": contract, "data": Bytes::from(call.abi_encode())}, "latest"]);
    let answer: Bytes = devnet.ask("eth_call", request).await.unwrap();
    C::abi_decode_returns(&answer).unwrap()
}

pub(crate) async fn head(devnet: &Devnet) -> u64 {
    devnet
        .ask::<U64>("eth_blockNumber", json!([]))
        .await
        .unwrap()
        .to()
}

/// Hashes of all transactions that left a log of the hub.
pub(crate) async fn hub_log_transactions(devnet: &Devnet) -> Vec<B256> {
    let filter = json!([{"fromBlock": "0x0", "toBlock": "latest", "address": devnet.addresses().contracts.hub}]);
    let logs: Vec<serde_json::Value> = devnet.ask("eth_getLogs", filter).await.unwrap();
    logs.iter()
        .map(|log| log["transactionHash"].as_str().unwrap().parse().unwrap())
        .collect()
}
