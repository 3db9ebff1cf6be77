//! Who is asking: workers prove their wallet once and then carry a token (spec scheduler-api §2); requesters sign a challenge
//! to read their tasks' logs (§4.2).
//!
//! Challenges and the key that signs tokens lie in the store, so that a restart logs nobody out. Nothing here decides what a
//! caller may have; it only says who the caller is.

mod answered;
mod challenges;
mod pace;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::Address;
use poco::challenge::{Challenge, Token};
use poco::signing;
use store::{Collection, Store, StoreError};

use crate::clock::now;
use crate::crash;
use answered::Answered;
use challenges::{Challenges, Purpose};
use pace::Pace;
pub(crate) use tokens::{TokenError, Tokens};

/// Logins of workers and of requesters.
pub(crate) struct Auth {
    allowed: BTreeSet<Address>,
    chain_id: u64,
    logins: Challenges,
    logs: Challenges,
    tokens: Tokens,
    store: Store,
    /// Logins that may come again.
    answered: Answered,
    /// How long those wait who are refused again and again.
    pub(crate) pace: Pace,
}

/// What a login brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// The token.
    Token(String),
    /// The wallet may not join, or the signature is not its own.
    Refused,
}

/// Why a logs token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogsDenied {
    /// It is no token, or its signature is not its address's: 401.
    NotProven,
    /// It speaks for somebody who did not buy the task: 403.
    NotTheRequester,
}

impl Auth {
    /// Loads challenges and the token key, making the key on the first start.
    pub(crate) async fn open(
        store: Store,
        chain_id: u64,
        allowed: BTreeSet<Address>,
        version: &str,
    ) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Self {
            allowed,
            chain_id,
            logins: Challenges::open(store.clone(), Purpose::WorkerLogin).await?,
            logs: Challenges::open(store.clone(), Purpose::TaskLogs).await?,
            tokens: Tokens::open(&store, version).await?,
            store,
            answered: Answered::default(),
            pace: Pace::new(),
        }))
    }

    /// Whether this wallet may work here. Letter case does not matter (spec scheduler-api Q4).
    pub(crate) fn is_allowed(&self, wallet: Address) -> bool {
        self.allowed.is_empty() || self.allowed.contains(&wallet)
    }

    /// The text that a worker has to sign; none when it may not join. The same for 5 minutes.
    pub(crate) async fn worker_challenge(
        &self,
        wallet: Address,
    ) -> Result<Option<String>, StoreError> {
        if !self.is_allowed(wallet) {
            return Ok(None);
        }
        let challenge = self.logins.of(wallet, now()).await?;
        chassis::crash::point(crash::CHALLENGED);
        Ok(Some(challenge))
    }

    /// Takes the signature over the wallet's challenge. A challenge is good for one login, which may be sent again when its answer
    /// was lost.
    pub(crate) async fn login(
        &self,
        wallet: Address,
        signature: &str,
    ) -> Result<Login, StoreError> {
        if !self.is_allowed(wallet) {
            return Ok(Login::Refused);
        }
        if !self.answered.has(wallet, signature, now()) {
            let Some(challenge) = self.logins.present(wallet, now()) else {
                return Ok(Login::Refused);
            };
            let digest = poco::login::digest(&challenge);
            if !signing::matches_any_recovery_id(digest, signature, wallet) {
                return Ok(Login::Refused);
            }
            self.answered.note(wallet, signature, now());
            self.logins.remove(wallet, &challenge).await?;
            chassis::crash::point(crash::LOGGED_IN);
        }
        Ok(self
            .tokens
            .issue(wallet, now())
            .map_or(Login::Refused, Login::Token))
    }

    /// The wallet that a worker's `Authorization` header speaks for. Tokens outlive a restart, and the list may be another since: a wallet
    /// that was taken off it is let in no more, as with the original, whose tokens end with the process.
    pub(crate) fn worker(&self, header: &str) -> Result<Address, TokenError> {
        let wallet = self.tokens.wallet(header, now())?;
        if self.is_allowed(wallet) {
            Ok(wallet)
        } else {
            Err(TokenError::TakenOff)
        }
    }

    /// The challenge for reading logs, good for 60 minutes and for any number of reads (spec scheduler-api Q3).
    pub(crate) async fn logs_challenge(&self, reader: Address) -> Result<Challenge, StoreError> {
        let text = self.logs.of(reader, now()).await?;
        Ok(Challenge::of_scheduler(self.chain_id, text))
    }

    /// Whether this header speaks for the task's requester, in the order of spec scheduler-api §4.2. `requester` is none for a
    /// task that nobody bought here.
    pub(crate) fn may_read_logs(
        &self,
        header: &str,
        requester: Option<Address>,
    ) -> Result<(), LogsDenied> {
        let token: Token = header.parse().map_err(|_| LogsDenied::NotProven)?;
        let requester = requester
            .filter(|requester| token.is_for(*requester))
            .ok_or(LogsDenied::NotTheRequester)?;
        let text = self
            .logs
            .present(requester, now())
            .ok_or(LogsDenied::NotProven)?;
        if token.signs(&Challenge::of_scheduler(self.chain_id, text)) {
            Ok(())
        } else {
            Err(LogsDenied::NotProven)
        }
    }

    /// Forgets challenges that nobody answered in time.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let expired = store::Batch::new().expire(Collection::Challenges, now());
        self.answered.sweep(now());
        self.logins.sweep(now());
        self.logs.sweep(now());
        self.store.commit(expired).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
