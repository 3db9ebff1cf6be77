//! Who was paid what: accounts as the chain has them, and what the protocol's rules say they should be.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use serde::Serialize;

use crate::rpc::{Rpc, word_of};

/// The account of one party at the hub, and its tokens (natively: its coins) outside. Units: nRLC (10⁻⁹ RLC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Tokens or coins outside the hub.
    pub balance: u64,
    /// Free stake at the hub.
    pub stake: u64,
    /// Stake locked by running deals and contributions.
    pub locked: u64,
}

impl Account {
    /// All that the party owns.
    #[must_use]
    pub fn total(&self) -> i128 {
        i128::from(self.balance) + i128::from(self.stake) + i128::from(self.locked)
    }
}

/// Wei of one nRLC where stakes are the chain's own coin.
pub const WEI_OF_ONE: u64 = 1_000_000_000;

/// Reads an account. `token` is zero where stakes are the chain's own coin.
pub async fn account(
    rpc: &Rpc,
    hub: Address,
    token: Address,
    owner: Address,
) -> anyhow::Result<Account> {
    let at_hub = rpc
        .view(hub, "viewAccount(address)", &[word_of(owner)])
        .await?;
    let balance = if token.is_zero() {
        let coins = rpc.balance(owner).await?;
        // A fraction of an nRLC would be gas that was paid for: not where it costs nothing.
        anyhow::ensure!(
            (coins % U256::from(WEI_OF_ONE)).is_zero(),
            "{owner} has {coins} wei, which is no whole amount of nRLC"
        );
        (coins / U256::from(WEI_OF_ONE)).to()
    } else {
        rpc.view(token, "balanceOf(address)", &[word_of(owner)])
            .await?
            .word(0)?
            .to()
    };
    Ok(Account {
        balance,
        stake: at_hub.word(0)?.to(),
        locked: at_hub.word(1)?.to(),
    })
}

/// What a completed task of the classic flow was, as far as money is concerned.
#[derive(Debug, Clone)]
pub struct PaidTask {
    /// Who pays.
    pub requester: Address,
    /// Who owns the application.
    pub app_owner: Address,
    /// Who owns the pool.
    pub pool_owner: Address,
    /// Price of the application for one task, nRLC.
    pub app_price: u64,
    /// Price of the pool for one task, nRLC.
    pub pool_price: u64,
    /// Share of the pot that the pool keeps, percent.
    pub scheduler_ratio: u64,
    /// Who contributed and revealed, all with the same weight.
    pub workers: Vec<Address>,
}

/// The change of every account's free stake after these tasks: price out of the requester, application's price to its owner, the pool's
/// price shared between workers and pool. Every lock is released, so locked stakes do not change. The kitty is taken to be empty.
#[must_use]
pub fn stake_changes(tasks: &[PaidTask]) -> BTreeMap<Address, i128> {
    let mut changes: BTreeMap<Address, i128> = BTreeMap::new();
    let mut add = |who: Address, amount: i128| *changes.entry(who).or_default() += amount;
    for task in tasks {
        add(
            task.requester,
            -i128::from(task.app_price + task.pool_price),
        );
        add(task.app_owner, i128::from(task.app_price));
        let for_workers = task.pool_price * (100 - task.scheduler_ratio) / 100;
        let share = for_workers / task.workers.len().max(1) as u64;
        for worker in &task.workers {
            add(*worker, i128::from(share));
        }
        add(
            task.pool_owner,
            i128::from(task.pool_price - share * task.workers.len() as u64),
        );
    }
    changes
}

/// An amount of nRLC as people write it.
#[must_use]
pub fn rlc(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let amount = amount.unsigned_abs();
    let fraction = format!("{:09}", amount % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        format!("{sign}{} RLC", amount / 1_000_000_000)
    } else {
        format!("{sign}{}.{fraction} RLC", amount / 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_without_idle_zeros() {
        assert_eq!(rlc(1_980_000_000), "1.98 RLC");
        assert_eq!(rlc(-3_000_000_000), "-3 RLC");
        assert_eq!(rlc(0), "0 RLC");
    }

    #[test]
    fn what_one_pays_the_others_get() {
        let who = |n: u8| Address::repeat_byte(n);
        let changes = stake_changes(&[PaidTask {
            requester: who(1),
            app_owner: who(2),
            pool_owner: who(3),
            app_price: 1_000_000_000,
            pool_price: 2_000_000_000,
            scheduler_ratio: 1,
            workers: vec![who(4), who(5)],
        }]);
        assert_eq!(changes.values().sum::<i128>(), 0);
        assert_eq!(changes[&who(4)], 990_000_000);
        assert_eq!(changes[&who(3)], 20_000_000);
    }
}
