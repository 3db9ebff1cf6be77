//! A local chain with the real PoCo contracts, funded accounts and the files everything else needs.
//!
//! [`Devnet::start`] finds or starts anvil, deploys PoCo in token or native mode, checks it, funds the roles and registers an application and a pool;
//! [`TestChain`] is the same for one test. Nothing here is meant for a public chain: the keys are the world's.

mod abi;
mod accounts;
mod anvil;
mod check;
mod deploy;
mod errors;
pub mod files;
mod funding;
mod guard;
mod market;
mod package;
mod rpc;
mod running;
mod search;
mod sender;
mod settings;
mod snapshot;
mod test_chain;

pub use accounts::{Account, Accounts, MNEMONIC, Role};
pub use deploy::Contracts;
pub use errors::DevnetError;
pub use package::CONTRACTS_VERSION;
pub use running::{Addresses, Devnet};
pub use search::Search;
pub use settings::{
    AnvilSettings, App, CHAIN_ID, NodeChoice, Profile, Services, Settings, TokenMode,
};
pub use test_chain::TestChain;
