//! The chain's I/O: node client, log cursor, transaction outbox, wallets.
//!
//! Everything that crosses the wire to an Ethereum node goes through here. This crate never decides what a deal, a task
//! or a worker should do next: it reads, it sends, it says what happened, and it never takes a failed read for an answer.

pub mod cursor;
pub mod facts;
pub mod heads;
pub mod hub;
pub mod node;
pub mod outbox;
pub mod revert;
pub mod wallet;

mod kind;

pub use cursor::{Cursor, CursorPosition, CursorSettings, CursorWaker, Progress};
pub use facts::{Fact, FactFilter, Located};
pub use heads::{Head, Heads};
pub use hub::Hub;
pub use kind::Kind;
pub use node::{Block, Fees, Log, Node, NodeError, Receipt, SendError, SendRefusal};
pub use outbox::{
    ArrayCall, GasPolicy, Intent, Joinable, MemoryOutboxStore, Outbox, OutboxError, OutboxHandle,
    OutboxRecord, OutboxSettings, OutboxStore, OutboxStoreError, Outcome,
};
pub use revert::Revert;
pub use wallet::{WalletError, open_keystore, write_keystore};
