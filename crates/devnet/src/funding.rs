//! Gives the roles their RLC and their stakes (spec devnet.md §3, funding). Whoever has had money is left alone, so that a chain that is
//! opened again keeps its balances.

use alloy_primitives::U256;

use crate::DevnetError;
use crate::abi::{Hub, Rlc};
use crate::accounts::Accounts;
use crate::deploy::Contracts;
use crate::rpc::Rpc;
use crate::sender::Sender;

/// nRLC in one RLC.
const RLC: u64 = 1_000_000_000;
/// What each role gets.
const ALLOWANCE: u64 = 1_000_000 * RLC;
/// What each worker past the third gets: the token has 87 million and there may be a thousand workers.
const SMALL_ALLOWANCE: u64 = 10_000 * RLC;
/// What the scheduler and each worker has as stake.
const STAKE: u64 = 1_000 * RLC;
/// Targets of one `depositForArray`, so that it fits a block.
const TARGETS_AT_ONCE: usize = 100;

/// Funds every role that has never been funded.
pub(crate) async fn fund(
    rpc: &Rpc,
    contracts: &Contracts,
    accounts: &Accounts,
    chain_id: u64,
) -> Result<(), DevnetError> {
    let mut sender = Sender::new(rpc, &accounts.admin().key, chain_id).await?;
    let mut stakes = Vec::new();
    for account in accounts.all().filter(|account| account.role.gets_rlc()) {
        let address = account.address();
        let in_hand = rpc
            .view(contracts.rlc, &Rlc::balanceOfCall { account: address })
            .await?;
        let staked = rpc
            .view(contracts.hub, &Hub::viewAccountCall { account: address })
            .await?;
        if !(in_hand.is_zero() && staked.stake.is_zero() && staked.locked.is_zero()) {
            continue;
        }
        let amount = U256::from(if account.index < 10 {
            ALLOWANCE
        } else {
            SMALL_ALLOWANCE
        });
        sender
            .call(
                "pay RLC",
                contracts.rlc,
                &Rlc::transferCall {
                    to: address,
                    amount,
                },
                100_000,
            )
            .await?;
        if account.role.needs_stake() {
            stakes.push(address);
        }
    }
    if !stakes.is_empty() {
        let amount = U256::from(STAKE) * U256::from(stakes.len());
        sender
            .call(
                "approve stakes",
                contracts.rlc,
                &Rlc::approveCall {
                    spender: contracts.hub,
                    amount,
                },
                100_000,
            )
            .await?;
    }
    for targets in stakes.chunks(TARGETS_AT_ONCE) {
        let deposit = Hub::depositForArrayCall {
            amounts: vec![U256::from(STAKE); targets.len()],
            targets: targets.to_vec(),
        };
        sender
            .call(
                "deposit stakes",
                contracts.hub,
                &deposit,
                200_000 + 100_000 * targets.len() as u64,
            )
            .await?;
    }
    sender.settle().await
}
