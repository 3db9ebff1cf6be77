//! Gives the roles their RLC and their stakes (spec devnet.md §3, funding). Whoever has had money is left alone, so that a chain that is
//! opened again keeps its balances.
//!
//! In native mode the RLC is the chain's coin, of which the node gives every account some from the start: only stakes are paid in, and the
//! poor account is made poor.

use alloy_primitives::{Address, U256, uint};
use serde_json::{Value, json};

use crate::DevnetError;
use crate::abi::{Hub, NativeEscrow, Rlc};
use crate::accounts::{Account, Accounts, Role};
use crate::deploy::Contracts;
use crate::rpc::Rpc;
use crate::sender::Sender;
use crate::settings::TokenMode;

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

/// Wei of one nRLC in native mode (spec onchain.md D4).
const WEI_OF_ONE: U256 = uint!(1_000_000_000_U256);
/// What the admin of a native chain keeps beside the stakes that it pays, nRLC.
const ADMINS_OWN: u64 = 1_000 * RLC;

/// Funds every role that has never been funded.
pub(crate) async fn fund(
    rpc: &Rpc,
    contracts: &Contracts,
    accounts: &Accounts,
    chain_id: u64,
    mode: TokenMode,
) -> Result<(), DevnetError> {
    match mode {
        TokenMode::Token => fund_with_token(rpc, contracts, accounts, chain_id).await,
        TokenMode::Native => fund_with_coin(rpc, contracts, accounts, chain_id).await,
    }
}

async fn fund_with_token(
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

async fn fund_with_coin(
    rpc: &Rpc,
    contracts: &Contracts,
    accounts: &Accounts,
    chain_id: u64,
) -> Result<(), DevnetError> {
    if let Some(poor) = accounts.find(Role::Poor) {
        make_poor(rpc, poor, accounts.admin().address(), chain_id).await?;
    }
    let mut stakes = Vec::new();
    for account in accounts.all().filter(|account| account.role.needs_stake()) {
        let address = account.address();
        let staked = rpc
            .view(contracts.hub, &Hub::viewAccountCall { account: address })
            .await?;
        // Who took its stake out again has sent a transaction for it.
        let untouched = staked.stake.is_zero() && staked.locked.is_zero();
        if untouched && rpc.nonce(address).await? == 0 {
            stakes.push(address);
        }
    }
    if stakes.is_empty() {
        return Ok(());
    }
    let admin = accounts.admin();
    let needed = wei(STAKE) * U256::from(stakes.len()) + wei(ADMINS_OWN);
    if rpc.balance(admin.address()).await? < needed {
        // More workers than one account's coins can stake.
        rpc.ask::<Value>("anvil_setBalance", json!([admin.address(), needed]))
            .await?;
    }
    let mut sender = Sender::new(rpc, &admin.key, chain_id).await?;
    for targets in stakes.chunks(TARGETS_AT_ONCE) {
        let deposit = NativeEscrow::depositForArrayCall {
            amounts: vec![U256::from(STAKE); targets.len()],
            targets: targets.to_vec(),
        };
        let paid = wei(STAKE) * U256::from(targets.len());
        let gas = 200_000 + 100_000 * targets.len() as u64;
        sender
            .pay("deposit stakes", contracts.hub, &deposit, paid, gas)
            .await?;
    }
    sender.settle().await
}

/// Takes the coins that the node gave the account, once: afterwards it has sent a transaction.
async fn make_poor(
    rpc: &Rpc,
    poor: &Account,
    admin: Address,
    chain_id: u64,
) -> Result<(), DevnetError> {
    if rpc.nonce(poor.address()).await? > 0 {
        return Ok(());
    }
    let coins = rpc.balance(poor.address()).await?;
    let mut sender = Sender::new(rpc, &poor.key, chain_id).await?;
    sender.give_all("make poor", admin, coins).await?;
    sender.settle().await
}

fn wei(nano_rlc: u64) -> U256 {
    U256::from(nano_rlc) * WEI_OF_ONE
}
