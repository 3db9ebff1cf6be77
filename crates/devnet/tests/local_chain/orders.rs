//! Orders of `poco` against the two that decide what an order is: the SDK that makes them and the contracts that match them.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256, uint};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::Eip712Domain;
use devnet::{Devnet, Role, TestChain};
use poco::contracts::{AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder};
use poco::ids::DealId;
use poco::orders::{Operation, Order, domain};
use poco::signing::Sig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::buyer::{deal, run};
use crate::views::{ask, verifySignatureCall, viewConsumedCall};

/// The order of secp256k1.
const N: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

fn key(devnet: &Devnet, role: Role) -> PrivateKeySigner {
    devnet.accounts().find(role).unwrap().key.clone()
}

fn domain_of(devnet: &Devnet) -> Eip712Domain {
    domain(devnet.settings().chain_id, devnet.addresses().contracts.hub)
}

/// One order of each kind.
struct Orders {
    app: AppOrder,
    dataset: DatasetOrder,
    pool: WorkerpoolOrder,
    request: RequestOrder,
}

impl Orders {
    /// Those that the SDK makes, checked on the way: read as what they are, hashed as the SDK hashes them, signed by who signed them, and
    /// written as they were read.
    async fn of_the_sdk(chain: &TestChain) -> Self {
        let made = run("orders.mjs", json!({"devnet": chain.dir(), "make": true}))
            .await
            .unwrap();
        let find = |kind: &str| made.iter().find(|line| line["kind"] == kind).unwrap();
        let devnet = chain.devnet();
        Self {
            app: is_understood(devnet, find("apporder"), Role::AppProvider),
            dataset: is_understood(devnet, find("datasetorder"), Role::DatasetProvider),
            pool: is_understood(devnet, find("workerpoolorder"), Role::Scheduler),
            request: is_understood(devnet, find("requestorder"), Role::Requester),
        }
    }

    /// As the SDK takes them.
    fn json(&self) -> Value {
        json!({"apporder": self.app, "datasetorder": self.dataset, "workerpoolorder": self.pool, "requestorder": self.request})
    }
}

fn is_understood<T: Order + DeserializeOwned + Serialize>(
    devnet: &Devnet,
    line: &Value,
    owner: Role,
) -> T {
    let order: T = serde_json::from_value(line["order"].clone()).unwrap();
    let domain = domain_of(devnet);
    assert_eq!(line["hash"], order.order_hash(&domain).to_string());
    let owner = key(devnet, owner).address();
    assert_eq!(order.signer(&domain), Ok(Some(owner)));
    assert_eq!(serde_json::to_value(&order).unwrap(), line["order"]);
    order
}

#[tokio::test]
async fn orders_of_the_sdk_are_read_and_orders_signed_here_are_matched() {
    let chain = TestChain::start().await.unwrap();
    let devnet = chain.devnet();
    let mut orders = Orders::of_the_sdk(&chain).await;
    // Other orders, signed here. Nothing is paid, so that nobody needs to deposit.
    let domain = domain_of(devnet);
    orders.app.appprice = U256::ZERO;
    orders.dataset.datasetprice = U256::ZERO;
    orders.pool.workerpoolprice = U256::ZERO;
    orders.request.params = r#"{"iexec_args":"Größe 0x12 \"signed here\""}"#.to_owned();
    orders.request.salt = keccak256("another");
    orders
        .app
        .sign(&key(devnet, Role::AppProvider), &domain)
        .unwrap();
    orders
        .dataset
        .sign(&key(devnet, Role::DatasetProvider), &domain)
        .unwrap();
    orders
        .pool
        .sign(&key(devnet, Role::Scheduler), &domain)
        .unwrap();
    orders
        .request
        .sign(&key(devnet, Role::Requester), &domain)
        .unwrap();

    let said = run(
        "orders.mjs",
        json!({"devnet": chain.dir(), "match": orders.json()}),
    )
    .await
    .unwrap();
    let hashes: Vec<&Value> = said.iter().filter_map(|line| line.get("hash")).collect();
    let ours = [
        orders.app.order_hash(&domain),
        orders.dataset.order_hash(&domain),
        orders.pool.order_hash(&domain),
        orders.request.order_hash(&domain),
    ];
    assert_eq!(json!(hashes), json!(ours));
    let sold = said.last().unwrap();
    let id = DealId::of(orders.request.order_hash(&domain), 0);
    assert_eq!(sold["dealid"], id.to_string());
    let bought = deal(devnet, sold).await;
    assert_eq!(bought.params, orders.request.params);
    assert_eq!(
        (bought.trust, bought.botSize),
        (orders.request.trust, orders.request.volume)
    );
    assert_eq!(bought.dataset.pointer, orders.dataset.dataset);
}

async fn consumed(devnet: &Devnet, order: B256) -> U256 {
    ask(
        devnet,
        devnet.addresses().contracts.hub,
        viewConsumedCall { order },
    )
    .await
}

#[tokio::test]
async fn an_order_is_closed_by_its_owners_signature_whoever_sends_it_and_by_the_sdk() {
    let chain = TestChain::start().await.unwrap();
    let (devnet, domain) = (chain.devnet(), domain_of(chain.devnet()));
    let orders = Orders::of_the_sdk(&chain).await;

    // A stranger sends what the pool's owner signed.
    let owner = key(devnet, Role::Scheduler);
    let signature = orders
        .pool
        .sign_operation(Operation::Close, &owner, &domain)
        .unwrap();
    let call = orders
        .pool
        .operation_call(Operation::Close, Bytes::copy_from_slice(&signature.0));
    assert_eq!(
        consumed(devnet, orders.pool.order_hash(&domain)).await,
        U256::ZERO
    );
    let request = json!([{"from": key(devnet, Role::Poor).address(), "to": devnet.addresses().contracts.hub, "data": call}]);
    let tx: B256 = devnet
        .ask("eth_sendTransaction", request.clone())
        .await
        .unwrap();
    let mined = async {
        loop {
            let receipt: Value = devnet
                .ask("eth_getTransactionReceipt", json!([tx]))
                .await
                .unwrap();
            if !receipt.is_null() {
                return receipt;
            }
            tokio::task::yield_now().await;
        }
    };
    let receipt = tokio::time::timeout(Duration::from_secs(20), mined)
        .await
        .expect("the transaction is mined");
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    assert_eq!(
        consumed(devnet, orders.pool.order_hash(&domain)).await,
        orders.pool.volume
    );

    // What the owner signed for another operation closes nothing.
    let presign = orders
        .pool
        .sign_operation(Operation::Sign, &owner, &domain)
        .unwrap();
    let call = orders
        .pool
        .operation_call(Operation::Close, Bytes::copy_from_slice(&presign.0));
    let refused = devnet
        .ask::<Bytes>("eth_call", json!([{"from": key(devnet, Role::Poor).address(), "to": devnet.addresses().contracts.hub, "data": call}, "latest"]))
        .await
        .unwrap_err();
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.contains("invalid-sender-or-signature"), "{source}");

    // The SDK closes an order that was signed here.
    let mut app = orders.app.clone();
    app.salt = keccak256("signed here");
    app.sign(&key(devnet, Role::AppProvider), &domain).unwrap();
    run(
        "orders.mjs",
        json!({"devnet": chain.dir(), "cancel": {"apporder": app}}),
    )
    .await
    .unwrap();
    assert_eq!(consumed(devnet, app.order_hash(&domain)).await, app.volume);
}

/// What the contracts say of a signature: accepted, refused, or (for a bad length) a revert.
async fn contracts_say(
    devnet: &Devnet,
    owner: Address,
    hash: B256,
    signature: &[u8],
) -> Option<bool> {
    let call = verifySignatureCall {
        account: owner,
        hash,
        signature: Bytes::copy_from_slice(signature),
    };
    let data = Bytes::from(alloy_sol_types::SolCall::abi_encode(&call));
    let request = json!([{"to": devnet.addresses().contracts.hub, "data": data}, "latest"]);
    match devnet.ask::<U256>("eth_call", request).await {
        Ok(word) => Some(!word.is_zero()),
        Err(error) => {
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("invalid-signature-format"), "{source}");
            None
        }
    }
}

#[tokio::test]
async fn the_contracts_take_and_refuse_the_signatures_that_we_say() {
    // spec onchain.md A5, B1.4
    let chain = TestChain::start().await.unwrap();
    let (devnet, domain) = (chain.devnet(), domain_of(chain.devnet()));
    let owner = key(devnet, Role::Scheduler);
    let mut order = WorkerpoolOrder {
        workerpool: chain.addresses().workerpool,
        volume: U256::ONE,
        ..WorkerpoolOrder::default()
    };
    order.sign(&owner, &domain).unwrap();
    let good = Sig::try_from(order.sign.as_ref()).unwrap();
    let with_v = |v: u8| {
        let mut bytes = good.0.to_vec();
        bytes[64] = v;
        bytes
    };
    let high_s = {
        let s = (N - U256::from_be_bytes(good.s().0)).to_be_bytes::<32>();
        [good.r().as_slice(), &s, &[27 + 28 - good.v()]].concat()
    };
    let other = 27 + 28 - good.v();
    let signatures = [
        good.0.to_vec(),
        good.compact().unwrap().to_vec(),
        with_v(good.v() - 27),
        with_v(other),
        with_v(29),
        high_s,
        vec![7; 65],
        vec![0; 65],
        Vec::new(),
        good.0[..63].to_vec(),
        [good.0.as_slice(), &[0]].concat(),
    ];
    let mut answers = Vec::new();
    for signature in signatures {
        order.set_signature(signature.clone().into());
        let hash = order.order_hash(&domain);
        let said = contracts_say(devnet, owner.address(), hash, &signature).await;
        assert_eq!(
            order.is_signed_by(owner.address(), &domain).ok(),
            said,
            "{:?}",
            order.sign
        );
        answers.push(said);
        // Mended, every form of it is taken.
        order.mend_signature();
        if order.signer(&domain) == Ok(Some(owner.address())) {
            let said = contracts_say(devnet, owner.address(), hash, &order.sign).await;
            assert_eq!(said, Some(true), "{:?}", order.sign);
        }
    }
    let (yes, no, revert) = (Some(true), Some(false), None);
    assert_eq!(
        answers,
        [yes, yes, no, no, no, no, no, no, revert, revert, revert]
    );
    // A malformed one is nobody's, which is the zero address.
    order.set_signature(vec![7; 65].into());
    let hash = order.order_hash(&domain);
    let said = contracts_say(devnet, Address::ZERO, hash, &order.sign).await;
    assert_eq!(order.is_signed_by(Address::ZERO, &domain).ok(), said);
    assert_eq!(said, Some(true));
}
