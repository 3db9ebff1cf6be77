//! The accounts of the standard test mnemonic and who they are (spec devnet.md §7). Their keys are public knowledge: never use them elsewhere.

use std::fmt;

use alloy_primitives::Address;
use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};

use crate::DevnetError;

/// The mnemonic that anvil funds, path `m/44'/60'/0'/0/i`.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Who an account plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Deployer; owner of the contracts and of the RLC token.
    Admin,
    /// Owner of the workerpool: signs authorizations and finalizes.
    Scheduler,
    /// Buys.
    Requester,
    /// Owns the application.
    AppProvider,
    /// Owns datasets.
    DatasetProvider,
    /// Computes; counted from 1.
    Worker(u32),
    /// Receives results.
    Beneficiary,
    /// Has gas money but no RLC, for negative tests.
    Poor,
}

impl Role {
    /// The role of the account with this index of the mnemonic.
    #[must_use]
    pub const fn of(index: u32) -> Self {
        match index {
            0 => Self::Admin,
            1 => Self::Scheduler,
            2 => Self::Requester,
            3 => Self::AppProvider,
            4 => Self::DatasetProvider,
            5..=7 => Self::Worker(index - 4),
            8 => Self::Beneficiary,
            9 => Self::Poor,
            _ => Self::Worker(index - 6),
        }
    }

    pub(crate) const fn needs_stake(self) -> bool {
        matches!(self, Self::Scheduler | Self::Worker(_))
    }

    pub(crate) const fn gets_rlc(self) -> bool {
        !matches!(self, Self::Admin | Self::Poor)
    }
}

impl fmt::Display for Role {
    /// The name used for files: `scheduler`, `app-provider`, `worker1`, …
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("admin"),
            Self::Scheduler => f.write_str("scheduler"),
            Self::Requester => f.write_str("requester"),
            Self::AppProvider => f.write_str("app-provider"),
            Self::DatasetProvider => f.write_str("dataset-provider"),
            Self::Worker(number) => write!(f, "worker{number}"),
            Self::Beneficiary => f.write_str("beneficiary"),
            Self::Poor => f.write_str("poor"),
        }
    }
}

/// One account: index in the mnemonic, role and key.
#[derive(Debug, Clone)]
pub struct Account {
    /// Index in the mnemonic.
    pub index: u32,
    /// Who it plays.
    pub role: Role,
    /// Its key.
    pub key: PrivateKeySigner,
}

impl Account {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }
}

/// All accounts of a local chain.
#[derive(Debug, Clone)]
pub struct Accounts {
    admin: Account,
    others: Vec<Account>,
}

impl Accounts {
    /// The first `count` accounts of the mnemonic.
    pub(crate) fn derive(count: u32) -> Result<Self, DevnetError> {
        Ok(Self {
            admin: account(0)?,
            others: (1..count).map(account).collect::<Result<_, _>>()?,
        })
    }

    /// All of them, in the order of their index.
    pub fn all(&self) -> impl Iterator<Item = &Account> {
        std::iter::once(&self.admin).chain(&self.others)
    }

    /// The account with this role, if there are that many.
    #[must_use]
    pub fn find(&self, role: Role) -> Option<&Account> {
        self.all().find(|account| account.role == role)
    }

    /// The account that deploys and owns the contracts.
    #[must_use]
    pub const fn admin(&self) -> &Account {
        &self.admin
    }

    /// The workers, by their number.
    pub fn workers(&self) -> impl Iterator<Item = &Account> {
        self.all()
            .filter(|account| matches!(account.role, Role::Worker(_)))
    }
}

fn account(index: u32) -> Result<Account, DevnetError> {
    let key = MnemonicBuilder::<English>::default()
        .phrase(MNEMONIC)
        .index(index)
        .and_then(|builder| builder.build())
        .map_err(|error| DevnetError::Key {
            why: error.to_string(),
        })?;
    Ok(Account {
        index,
        role: Role::of(index),
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_the_addresses_of_the_table() {
        // spec devnet.md §7
        let accounts = Accounts::derive(12).unwrap();
        let address = |role| accounts.find(role).unwrap().address().to_string();
        assert_eq!(
            address(Role::Admin),
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        );
        assert_eq!(
            address(Role::Scheduler),
            "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
        );
        assert_eq!(
            address(Role::Requester),
            "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
        );
        assert_eq!(
            address(Role::AppProvider),
            "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
        );
        assert_eq!(
            address(Role::DatasetProvider),
            "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
        );
        assert_eq!(
            address(Role::Worker(1)),
            "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
        );
        assert_eq!(
            address(Role::Worker(3)),
            "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"
        );
        assert_eq!(
            address(Role::Beneficiary),
            "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"
        );
        assert_eq!(
            address(Role::Poor),
            "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"
        );
    }

    #[test]
    fn accounts_past_the_tenth_are_workers_counted_on() {
        let accounts = Accounts::derive(12).unwrap();
        let names: Vec<String> = accounts
            .workers()
            .map(|worker| worker.role.to_string())
            .collect();
        assert_eq!(
            names,
            ["worker1", "worker2", "worker3", "worker4", "worker5"]
        );
        assert_eq!(accounts.find(Role::Worker(4)).unwrap().index, 10);
    }
}
