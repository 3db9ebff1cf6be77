//! Buys deals as fast as blocks take them: application and pool sign one large order each, the requester signs one for every deal and
//! sends the match itself. The SDK needs seconds for a purchase; the end-to-end tests use it, these measurements do not.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use anyhow::Context as _;
use e2e::rpc::Rpc;
use e2e::world::Chain;
use poco::contracts::{AppOrder, DatasetOrder, Hub, RequestOrder, Rlc, WorkerpoolOrder};
use poco::ids::{DealId, TaskId};
use poco::orders::{self, Order};
use poco::signing;
use serde::Deserialize;
use serde_json::json;

/// nRLC for the application and for the pool, a task: stakes and rewards move, as they do for a paying requester.
const PRICES: (u64, u64) = (1_000_000_000, 2_000_000_000);
/// nRLC that the requester pays in.
const DEPOSIT: u64 = 100_000_000_000_000;
/// Tasks that one order of application or pool covers.
const PLENTY: u64 = 1_000_000_000;

/// A requester with signed orders of the other two.
#[derive(Debug)]
pub(crate) struct Buyer {
    rpc: Rpc,
    hub: Address,
    domain: alloy_sol_types::Eip712Domain,
    requester: PrivateKeySigner,
    app: AppOrder,
    pool: WorkerpoolOrder,
    category: u64,
    bought: AtomicU64,
}

impl Buyer {
    /// Pays in and signs; deals will be of this category and of trust 1.
    pub(crate) async fn new(chain: &Chain, category: u64) -> anyhow::Result<Self> {
        let rpc = Rpc::new(&chain.rpc_url);
        let id: U256 = rpc.request("eth_chainId", json!([])).await?;
        let domain = orders::domain(id.to(), chain.hub);
        let key = |role: &str| key(&chain.party(role)?.key);
        let (requester, app_owner, pool_owner) =
            (key("requester")?, key("app-provider")?, key("scheduler")?);
        let mut app = AppOrder {
            app: chain.app,
            appprice: U256::from(PRICES.0),
            volume: U256::from(PLENTY),
            tag: B256::ZERO,
            datasetrestrict: Address::ZERO,
            workerpoolrestrict: Address::ZERO,
            requesterrestrict: Address::ZERO,
            salt: B256::ZERO,
            sign: Bytes::new(),
        };
        app.sign = sign(&app_owner, app.order_hash(&domain))?;
        let mut pool = WorkerpoolOrder {
            workerpool: chain.workerpool,
            workerpoolprice: U256::from(PRICES.1),
            volume: U256::from(PLENTY),
            tag: B256::ZERO,
            category: U256::from(category),
            trust: U256::ONE,
            apprestrict: Address::ZERO,
            datasetrestrict: Address::ZERO,
            requesterrestrict: Address::ZERO,
            salt: B256::ZERO,
            sign: Bytes::new(),
        };
        pool.sign = sign(&pool_owner, pool.order_hash(&domain))?;
        let buyer = Self {
            rpc,
            hub: chain.hub,
            domain,
            requester,
            app,
            pool,
            category,
            bought: AtomicU64::new(0),
        };
        let deposit = Rlc::approveAndCallCall {
            spender: chain.hub,
            amount: U256::from(DEPOSIT),
            data: Bytes::new(),
        };
        buyer.send(chain.rlc, deposit.abi_encode()).await?;
        Ok(buyer)
    }

    /// Sends the match of a deal of `volume` tasks; returns the transaction, which the next block will have.
    pub(crate) async fn buy(&self, volume: u64) -> anyhow::Result<B256> {
        let salt = self.bought.fetch_add(1, Ordering::Relaxed) + 1;
        let mut request = RequestOrder {
            app: self.app.app,
            appmaxprice: self.app.appprice,
            dataset: Address::ZERO,
            datasetmaxprice: U256::ZERO,
            workerpool: self.pool.workerpool,
            workerpoolmaxprice: self.pool.workerpoolprice,
            requester: self.requester.address(),
            volume: U256::from(volume),
            tag: B256::ZERO,
            category: U256::from(self.category),
            trust: U256::ONE,
            beneficiary: self.requester.address(),
            callback: Address::ZERO,
            params: r#"{"iexec_result_storage_provider":"ipfs","iexec_args":""}"#.to_owned(),
            salt: B256::from(U256::from(salt)),
            sign: Bytes::new(),
        };
        request.sign = sign(&self.requester, request.order_hash(&self.domain))?;
        let nothing = DatasetOrder {
            dataset: Address::ZERO,
            datasetprice: U256::ZERO,
            volume: U256::ZERO,
            tag: B256::ZERO,
            apprestrict: Address::ZERO,
            workerpoolrestrict: Address::ZERO,
            requesterrestrict: Address::ZERO,
            salt: B256::ZERO,
            sign: Bytes::new(),
        };
        let call = Hub::matchOrdersCall {
            apporder: self.app.clone(),
            datasetorder: nothing,
            workerpoolorder: self.pool.clone(),
            requestorder: request,
        };
        self.send(self.hub, call.abi_encode()).await
    }

    /// The local node keeps the requester's key and signs for it.
    async fn send(&self, to: Address, data: Vec<u8>) -> anyhow::Result<B256> {
        let transaction = json!([{
            "from": self.requester.address(), "to": to, "gas": "0x1e8480", "data": Bytes::from(data),
        }]);
        self.rpc.request("eth_sendTransaction", transaction).await
    }
}

/// The tasks of a deal that begins at index 0.
#[must_use]
pub(crate) fn tasks(deal: B256, volume: u64) -> Vec<B256> {
    (0..volume)
        .map(|index| TaskId::of(DealId(deal), index).0)
        .collect()
}

/// A key in the clear, as `workerpool devnet` writes it.
pub(crate) fn key(file: &Path) -> anyhow::Result<PrivateKeySigner> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Key {
        private_key: B256,
    }
    let text = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
    let key: Key = serde_json::from_slice(&text)?;
    Ok(PrivateKeySigner::from_bytes(&key.private_key)?)
}

fn sign(key: &PrivateKeySigner, hash: B256) -> anyhow::Result<Bytes> {
    Ok(Bytes::copy_from_slice(&signing::sign_raw(key, hash)?.0))
}
