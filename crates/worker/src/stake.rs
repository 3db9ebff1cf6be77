//! Remembers that a task was given up because the wallet had too little stake. Until it has enough, no work is asked for: another worker
//! could do what this one would only give up. It never moves stake itself.

use std::sync::{Mutex, PoisonError};

use alloy_primitives::{Address, U256};
use poco::ids::TaskId;

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

    fn wanted(&self) -> std::sync::MutexGuard<'_, Option<U256>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
