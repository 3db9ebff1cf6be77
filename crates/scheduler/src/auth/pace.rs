//! Slowing down whoever is refused again and again.
//!
//! A Java worker whose login is answered with an error never tries again (spec scheduler-api §10), and one that reads `Retry-After`
//! begins a loop of its own (§1.2). So nobody is told to come later: whoever is refused, and was often before, has to wait for the answer,
//! each time another while, and never longer than its patience. Who is not refused is answered at once, from whatever address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Refusals that are forgotten one after the other, each after this.
const FORGOTTEN: Duration = Duration::from_secs(6);
/// Refusals that slow nobody down: a farm behind one address may have some wrong wallets.
const FREE: u32 = 10;
/// First wait; doubles with every further refusal.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait. With the jitter it stays far below the minute that Java workers wait for an answer.
const LONGEST: Duration = Duration::from_secs(8);
/// Callers that are remembered.
const MOST_CALLERS: usize = 10_000;
/// Callers that wait at a time. Further ones do not, so that a flood does not fill memory.
const MOST_WAITING: usize = 256;

/// Who was refused how often.
pub(crate) struct Pace {
    /// When the last refusal of each caller is forgotten.
    forgotten_at: Mutex<HashMap<IpAddr, Instant>>,
    waiting: Semaphore,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            forgotten_at: Mutex::default(),
            waiting: Semaphore::new(MOST_WAITING),
        }
    }

    /// Notes that the caller is refused, and waits as long as it has to before it is told.
    pub(crate) async fn refuse(&self, caller: IpAddr) {
        let now = Instant::now();
        let wait = self.owes(caller, now);
        self.refused_at(caller, now);
        let (Some(wait), Ok(_place)) = (wait, self.waiting.try_acquire()) else {
            return;
        };
        tracing::debug!(%caller, wait_ms = wait.as_millis() as u64, "refused often; it is told later");
        tokio::time::sleep(jittered(wait)).await;
    }

    fn refused_at(&self, caller: IpAddr, now: Instant) {
        let caller = household(caller);
        let mut callers = self.callers();
        if callers.len() >= MOST_CALLERS && !callers.contains_key(&caller) {
            let slowed_down = now + FORGOTTEN * FREE;
            callers.retain(|_, at| *at > slowed_down);
            if callers.len() >= MOST_CALLERS {
                callers.clear();
            }
        }
        let at = callers.entry(caller).or_insert(now);
        // No more than what it takes to reach the longest wait, so that a mended worker is soon as quick as others.
        let most = now + FORGOTTEN * (FREE + 6);
        *at = ((*at).max(now) + FORGOTTEN).min(most);
    }

    fn owes(&self, caller: IpAddr, now: Instant) -> Option<Duration> {
        let at = self.callers().get(&household(caller)).copied()?;
        let left = at.saturating_duration_since(now).as_millis();
        let refusals = u32::try_from(left.div_ceil(FORGOTTEN.as_millis())).unwrap_or(u32::MAX);
        let over = refusals.checked_sub(FREE).filter(|over| *over > 0)?;
        let doubled = FIRST.saturating_mul(1 << (over - 1).min(16));
        Some(doubled.min(LONGEST))
    }

    fn callers(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.forgotten_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// So that those who were refused together do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.5..1.5))
}

/// Addresses that one caller has for the asking count as one.
fn household(caller: IpAddr) -> IpAddr {
    match caller.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_refused_often_waits_and_nobody_else() {
        let (pace, now) = (Pace::new(), Instant::now());
        let (ann, bob) = (caller("192.0.2.1"), caller("192.0.2.2"));
        for _ in 0..FREE {
            pace.refused_at(ann, now);
        }
        assert_eq!(pace.owes(ann, now), None);
        pace.refused_at(ann, now);
        assert_eq!(pace.owes(ann, now), Some(FIRST));
        pace.refused_at(ann, now);
        assert_eq!(pace.owes(ann, now), Some(FIRST * 2));
        for _ in 0..1000 {
            pace.refused_at(ann, now);
        }
        assert_eq!(pace.owes(ann, now), Some(LONGEST));
        assert_eq!(pace.owes(bob, now), None);
        // However often it was.
        assert_eq!(pace.owes(ann, now + FORGOTTEN * 6), None);
    }

    #[test]
    fn waits_differ() {
        let waits: Vec<_> = (0..20).map(|_| jittered(LONGEST)).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        assert!(waits.iter().all(|wait| *wait <= LONGEST * 2), "{waits:?}");
    }

    #[tokio::test]
    async fn a_flood_fills_neither_the_line_nor_the_memory() {
        let (pace, now) = (Pace::new(), Instant::now());
        let ann = caller("192.0.2.1");
        for _ in 0..=FREE {
            pace.refused_at(ann, now);
        }
        let all = u32::try_from(MOST_WAITING).unwrap();
        let line = pace.waiting.acquire_many(all).await.unwrap();
        let began = Instant::now();
        pace.refuse(ann).await;
        assert!(began.elapsed() < FIRST / 2, "nobody waits in a full line");
        drop(line);
        pace.refuse(ann).await;
        assert!(began.elapsed() >= FIRST / 2);
        for number in 0..20_000u32 {
            pace.refused_at(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(pace.callers().len() <= MOST_CALLERS);
    }

    #[test]
    fn a_network_of_addresses_is_one_caller() {
        let one = household(caller("2001:db8::1"));
        assert_eq!(one, household(caller("2001:db8::ffff:1")));
        assert_ne!(one, household(caller("2001:db8:0:1::1")));
        assert_eq!(household(caller("::ffff:192.0.2.1")), caller("192.0.2.1"));
    }
}
