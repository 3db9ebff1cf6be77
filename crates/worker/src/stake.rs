//! Remembers that a task was given up because the wallet had too little stake. Until it has enough, no work is asked for: another worker
//! could do what this one would only give up. And remembers what gas money and stake the wallet was seen to have, so that not every task
//! asks: what was enough stays enough for a while, and what was too little is asked for again. It never moves stake itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use poco::ids::TaskId;
use tokio::time::Instant;

/// For how long a wallet that had gas money is taken to have some. The outbox looks what is really there before it sends.
const GAS: Duration = Duration::from_secs(120);
/// For how long stake that was free is taken to be free, less what was locked since. The contract looks before it locks.
const STAKE: Duration = Duration::from_secs(60);

/// What the wallet was seen to have.
#[derive(Debug, Default)]
pub struct Seen {
    gas: Mutex<Option<Instant>>,
    stake: Mutex<Option<(Instant, U256)>>,
}

impl Seen {
    /// Whether there was gas money of late.
    #[must_use]
    pub fn had_gas(&self) -> bool {
        let at = *lock(&self.gas);
        at.is_some_and(|at| at.elapsed() < GAS)
    }

    /// There is gas money, or there is too little.
    pub fn note_gas(&self, enough: bool) {
        *lock(&self.gas) = enough.then(Instant::now);
    }

    /// The free stake that was there of late, in nRLC, if it covers `wanted`.
    #[must_use]
    pub fn stake_for(&self, wanted: U256) -> Option<U256> {
        let (at, free) = (*lock(&self.stake))?;
        (at.elapsed() < STAKE && free >= wanted).then_some(free)
    }

    /// So much stake is free.
    pub fn note_stake(&self, free: U256) {
        *lock(&self.stake) = Some((Instant::now(), free));
    }

    /// A contribution locked so much of it.
    pub fn lock_stake(&self, locked: U256) {
        if let Some((_, free)) = lock(&self.stake).as_mut() {
            *free = free.saturating_sub(locked);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a task locked for which there was too little stake, in nRLC (wei where stakes are the chain's coin).
#[derive(Debug, Default)]
pub struct StakeWanted(Mutex<Option<U256>>);

impl StakeWanted {
    /// A task locks `wanted`, and the wallet has `free`.
    pub fn note(&self, task: TaskId, wallet: Address, free: U256, wanted: U256) {
        tracing::error!(%task, reason = text(wallet, free, wanted), "a task is given up");
        let mut most = self.wanted();
        *most = Some(most.unwrap_or_default().max(wanted));
    }

    /// Whether more stake is needed, as far as is known.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.wanted().is_some()
    }

    /// Forgets the want when `free` covers it.
    ///
    /// # Errors
    /// What the operator has to do.
    pub fn judge(&self, wallet: Address, free: U256) -> Result<(), String> {
        let mut most = self.wanted();
        match *most {
            Some(wanted) if free < wanted => Err(text(wallet, free, wanted)),
            Some(_) => {
                tracing::info!(worker = poco::hex::lower(&wallet), %free, "there is enough stake again: work is asked for");
                *most = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Option<U256>> {
        lock(&self.0)
    }
}

fn text(wallet: Address, free: U256, wanted: U256) -> String {
    format!(
        "the wallet {} has {free} nRLC of free stake at the hub, and a task of this pool locks {wanted} nRLC: deposit more for it",
        poco::hex::lower(&wallet)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gas_money_that_was_there_is_there_for_a_while_and_what_was_missing_is_not() {
        let seen = Seen::default();
        assert!(!seen.had_gas());
        seen.note_gas(true);
        assert!(seen.had_gas());
        tokio::time::advance(GAS).await;
        assert!(!seen.had_gas());
        seen.note_gas(true);
        seen.note_gas(false);
        assert!(!seen.had_gas());
    }

    #[tokio::test(start_paused = true)]
    async fn stake_that_was_seen_is_good_for_what_it_covers_less_what_was_locked_since() {
        let (seen, five) = (Seen::default(), U256::from(5));
        assert_eq!(seen.stake_for(five), None);
        seen.note_stake(U256::from(9));
        assert_eq!(seen.stake_for(five), Some(U256::from(9)));
        seen.lock_stake(five);
        assert_eq!(seen.stake_for(five), None, "it is asked for again");
        seen.note_stake(U256::from(9));
        tokio::time::advance(STAKE).await;
        assert_eq!(seen.stake_for(five), None);
    }

    #[test]
    fn no_work_is_asked_for_until_the_stake_covers_the_dearest_task_that_was_given_up() {
        let (wanted, wallet) = (StakeWanted::default(), Address::repeat_byte(7));
        assert!(!wanted.is_any());
        assert_eq!(wanted.judge(wallet, U256::ZERO), Ok(()));
        for locks in [5, 3] {
            wanted.note(TaskId::default(), wallet, U256::ZERO, U256::from(locks));
        }
        assert!(wanted.is_any());
        let text = wanted.judge(wallet, U256::from(4)).unwrap_err();
        assert!(text.contains("0x0707") && text.contains("4 nRLC") && text.contains("deposit"));
        assert_eq!(wanted.judge(wallet, U256::from(5)), Ok(()));
        assert!(!wanted.is_any());
    }
}
