//! Transactions of one key, signed here and sent one after the other without waiting for blocks; waits for all of them at the end.
//!
//! For bringing a chain up only: nothing is persisted and nothing is replaced. Services use the outbox of `chain`.

use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;

use crate::DevnetError;
use crate::rpc::Rpc;

const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(10);
/// What a transfer of coins to an account without code uses.
const PLAIN_TRANSFER_GAS: u64 = 21_000;

/// Sends for one key; the nonce is counted here from the node's first answer.
pub(crate) struct Sender<'a> {
    rpc: &'a Rpc,
    key: &'a PrivateKeySigner,
    chain_id: u64,
    nonce: u64,
    gas_price: u128,
    sent: Vec<(String, B256)>,
}

impl<'a> Sender<'a> {
    pub(crate) async fn new(
        rpc: &'a Rpc,
        key: &'a PrivateKeySigner,
        chain_id: u64,
    ) -> Result<Self, DevnetError> {
        // Twice the current price: the base fee may rise while full blocks pass.
        let (nonce, gas_price) = (
            rpc.nonce(key.address()).await?,
            rpc.gas_price().await?.saturating_mul(2),
        );
        Ok(Self {
            rpc,
            key,
            chain_id,
            nonce,
            gas_price,
            sent: Vec::new(),
        })
    }

    /// Sends a creation; the answer is the address the contract will have.
    pub(crate) async fn create(
        &mut self,
        step: &str,
        init_code: Bytes,
        gas: u64,
    ) -> Result<Address, DevnetError> {
        let address = self.key.address().create(self.nonce);
        self.send(step, TxKind::Create, init_code, U256::ZERO, gas)
            .await?;
        Ok(address)
    }

    /// Sends a call.
    pub(crate) async fn call<C: SolCall>(
        &mut self,
        step: &str,
        to: Address,
        call: &C,
        gas: u64,
    ) -> Result<(), DevnetError> {
        self.pay(step, to, call, U256::ZERO, gas).await
    }

    /// Sends a call with coins, `value` in wei.
    pub(crate) async fn pay<C: SolCall>(
        &mut self,
        step: &str,
        to: Address,
        call: &C,
        value: U256,
        gas: u64,
    ) -> Result<(), DevnetError> {
        let input = call.abi_encode().into();
        self.send(step, TxKind::Call(to), input, value, gas).await
    }

    /// Sends all of `coins` (wei) but what this costs.
    pub(crate) async fn give_all(
        &mut self,
        step: &str,
        to: Address,
        coins: U256,
    ) -> Result<(), DevnetError> {
        let cost = U256::from(self.gas_price) * U256::from(PLAIN_TRANSFER_GAS);
        let value = coins.saturating_sub(cost);
        let to = TxKind::Call(to);
        self.send(step, to, Bytes::new(), value, PLAIN_TRANSFER_GAS)
            .await
    }

    async fn send(
        &mut self,
        step: &str,
        to: TxKind,
        input: Bytes,
        value: U256,
        gas_limit: u64,
    ) -> Result<(), DevnetError> {
        let tx = TxLegacy {
            chain_id: Some(self.chain_id),
            nonce: self.nonce,
            gas_price: self.gas_price,
            gas_limit,
            to,
            value,
            input,
        };
        let signature = self
            .key
            .sign_hash_sync(&tx.signature_hash())
            .map_err(|error| DevnetError::Key {
                why: error.to_string(),
            })?;
        let hash = self
            .rpc
            .send(&TxEnvelope::from(tx.into_signed(signature)).encoded_2718())
            .await?;
        self.nonce += 1;
        self.sent.push((step.to_owned(), hash));
        Ok(())
    }

    /// Waits until everything sent is mined and has succeeded.
    pub(crate) async fn settle(self) -> Result<(), DevnetError> {
        let start = Instant::now();
        for (step, tx) in self.sent {
            let receipt = loop {
                if let Some(receipt) = self.rpc.receipt(tx).await? {
                    break receipt;
                }
                if start.elapsed() > PATIENCE {
                    return Err(DevnetError::NotMined {
                        step,
                        tx,
                        waited_s: PATIENCE.as_secs(),
                    });
                }
                tokio::time::sleep(GLANCE).await;
            };
            if receipt.status.is_zero() {
                return Err(DevnetError::Reverted { step, tx });
            }
            tracing::debug!(%step, %tx, gas = receipt.gas_used.to::<u64>(), "mined");
        }
        Ok(())
    }
}
