//! What the blocks and receipts say about our wallets. Logs are not asked: a transaction that reverts leaves none.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use anyhow::bail;

use crate::rpc::Rpc;

/// What was found of one wallet.
#[derive(Debug, Clone, Default)]
pub struct Wallet {
    /// Transactions mined.
    pub transactions: u64,
    /// Gas paid for.
    pub gas: u64,
    /// Transactions among them that failed.
    pub reverted: u64,
}

/// Reads every block and every receipt and proves of each of `wallets`: its nonces are 0, 1, 2, … without a gap, no (recipient, call data)
/// was mined twice, and no transaction reverted.
pub async fn wallets(rpc: &Rpc, wallets: &[Address]) -> anyhow::Result<BTreeMap<Address, Wallet>> {
    let found = wallets_after_reorganisations(rpc, wallets).await?;
    if let Some((wallet, reverted)) = found
        .iter()
        .map(|(wallet, found)| (wallet, found.reverted))
        .find(|(_, reverted)| *reverted > 0)
    {
        bail!("{reverted} transaction(s) of {wallet} reverted");
    }
    Ok(found)
}

/// As [`wallets`], where blocks were taken back: a transaction may have lost the ground that it stood on, and still has to use up its nonce,
/// so that it may fail on the chain, once. What failed may be repeated; what succeeded may not.
pub async fn wallets_after_reorganisations(
    rpc: &Rpc,
    wallets: &[Address],
) -> anyhow::Result<BTreeMap<Address, Wallet>> {
    let mut found: BTreeMap<Address, Wallet> = wallets
        .iter()
        .map(|wallet| (*wallet, Wallet::default()))
        .collect();
    let mut nonces: BTreeMap<Address, Vec<u64>> = BTreeMap::new();
    let mut payloads: BTreeSet<(Address, Option<Address>, Vec<u8>)> = BTreeSet::new();
    let mut faults: Vec<String> = Vec::new();
    for number in 0..=rpc.head().await? {
        for transaction in rpc.block(number).await?.transactions {
            let Some(wallet) = found.get_mut(&transaction.from) else {
                continue;
            };
            let receipt = rpc.receipt(transaction.hash).await?;
            wallet.transactions += 1;
            wallet.gas += receipt.gas_used.to::<u64>();
            nonces
                .entry(transaction.from)
                .or_default()
                .push(transaction.nonce.to());
            if receipt.status != U256::from(1) {
                wallet.reverted += 1;
                continue;
            }
            if !payloads.insert((transaction.from, transaction.to, transaction.input.to_vec())) {
                faults.push(format!(
                    "{} of {} in block {number} repeats an earlier payload",
                    transaction.hash, transaction.from
                ));
            }
        }
    }
    for (wallet, mut used) in nonces {
        used.sort_unstable();
        if let Some(gap) = used
            .iter()
            .enumerate()
            .find(|(index, nonce)| *index as u64 != **nonce)
        {
            faults.push(format!(
                "the nonces of {wallet} have a gap or a double at {}",
                gap.1
            ));
        }
    }
    if !faults.is_empty() {
        bail!("the chain tells of faults:\n{}", faults.join("\n"));
    }
    Ok(found)
}

/// The chain's status of a task: 0 unset, 1 active, 2 revealing, 3 completed, 4 failed.
pub async fn task_status(rpc: &Rpc, hub: Address, task: B256) -> anyhow::Result<u8> {
    // The one argument of the struct that the view returns is dynamic: word 0 is its offset.
    Ok(rpc
        .view(hub, "viewTask(bytes32)", &[task])
        .await?
        .word(1)?
        .to())
}

/// Who contributed to a task, in order.
pub async fn contributors(rpc: &Rpc, hub: Address, task: B256) -> anyhow::Result<Vec<Address>> {
    let logs = rpc
        .logs(hub, "TaskContribute(bytes32,address,bytes32)", task)
        .await?;
    Ok(logs
        .iter()
        .filter_map(|log| log.topics.get(2))
        .map(|topic| Address::from_word(*topic))
        .collect())
}

/// The text that `finalize` left on chain: where the result lies.
pub async fn results(rpc: &Rpc, hub: Address, task: B256) -> anyhow::Result<String> {
    // Member 12 of the task (counted from 0) is `bytes results`; the struct begins at word 1.
    let words = rpc.view(hub, "viewTask(bytes32)", &[task]).await?;
    Ok(String::from_utf8_lossy(&words.bytes_at(1, 1 + 12)?).into_owned())
}
