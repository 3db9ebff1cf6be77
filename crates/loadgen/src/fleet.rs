//! Workers that a scheduler takes for real ones: each logs in with a key of its own, registers, and says that it lives.

use std::time::Duration;

use alloy_primitives::{Address, keccak256};
use alloy_signer_local::PrivateKeySigner;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use poco::units::BlockNumber;
use url::Url;
use wire::error::ClientError;
use wire::features::Features;
use wire::message::{Signature, WorkerModel};
use wire::scheduler::{SchedulerClient, Supply};
use wire::token::Token;

/// Logins under way at a time.
const AT_ONCE: usize = 16;
/// How often each says that it lives.
const PING: Duration = Duration::from_secs(10);

/// Why the fleet is not whole.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The scheduler refused, or did not answer.
    #[error(transparent)]
    Scheduler(#[from] ClientError),
    /// A key that does not sign.
    #[error("a login cannot be signed: {0}")]
    Signing(#[from] poco::signing::SigningError),
    /// No key can be made from this number.
    #[error("worker {number} has no usable key: {problem}")]
    Key {
        /// Which.
        number: u64,
        /// Why.
        problem: String,
    },
}

/// The key of worker `number`: always the same, so that a fleet can come back.
///
/// # Errors
/// When the number's hash is no key, which has never been seen.
pub fn key(number: u64) -> Result<PrivateKeySigner, FleetError> {
    let secret = keccak256(format!("workerpool load generator, worker {number}"));
    PrivateKeySigner::from_bytes(&secret).map_err(|error| FleetError::Key {
        number,
        problem: error.to_string(),
    })
}

/// One worker that is logged in.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its wallet.
    pub wallet: Address,
    /// What its login brought.
    pub token: Token,
}

/// Workers of one scheduler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    client: SchedulerClient,
    members: Vec<Member>,
}

impl Fleet {
    /// Logs `keys` in and registers each as a worker with `slots` slots, in the order given.
    ///
    /// # Errors
    /// The first login or registration that fails.
    pub async fn join(
        scheduler: Url,
        keys: impl IntoIterator<Item = PrivateKeySigner>,
        slots: i32,
    ) -> Result<Self, FleetError> {
        let client = SchedulerClient::new(scheduler)?;
        let members = stream::iter(keys)
            .map(|key| login(client.clone(), key, slots))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self { client, members })
    }

    /// Who is in it.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The scheduler's client.
    #[must_use]
    pub const fn client(&self) -> &SchedulerClient {
        &self.client
    }

    /// Says again and again that everybody lives; never ends by itself.
    ///
    /// # Errors
    /// The first ping that is refused.
    pub async fn live(&self) -> Result<(), FleetError> {
        let mut beat = tokio::time::interval(PING);
        loop {
            beat.tick().await;
            stream::iter(&self.members)
                .map(|member| self.client.ping(&member.token))
                .buffer_unordered(AT_ONCE)
                .try_for_each(|_| async { Ok(()) })
                .await?;
        }
    }

    /// `member` asks for work and is ready to wait for it, as an idle worker is.
    ///
    /// # Errors
    /// When the scheduler does not answer.
    pub async fn ask(&self, member: &Member, head: BlockNumber) -> Result<Supply, FleetError> {
        let answer = self
            .client
            .available(&member.token, head, Features::ALL)
            .await;
        Ok(answer?)
    }
}

async fn login(
    client: SchedulerClient,
    key: PrivateKeySigner,
    slots: i32,
) -> Result<Member, FleetError> {
    let wallet = key.address();
    let challenge = client.challenge(wallet).await?;
    let signature = poco::signing::sign_raw(&key, poco::login::digest(&challenge))?;
    let token = client.login(wallet, &Signature::from(signature)).await?;
    let model = WorkerModel {
        name: Some(format!("load-{}", poco::hex::lower(&wallet))),
        wallet_address: Some(poco::hex::lower(&wallet)),
        os: Some("Linux".to_owned()),
        cpu: Some("amd64".to_owned()),
        cpu_nb: slots,
        memory_size: 1,
        ..WorkerModel::default()
    };
    client.register(&token, &model, Features::ALL).await?;
    Ok(Member { wallet, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_the_same_key_every_time_and_nobody_elses() {
        let addresses: Vec<_> = (0..100)
            .map(|number| key(number).unwrap().address())
            .collect();
        assert_eq!(addresses[7], key(7).unwrap().address());
        let different: std::collections::BTreeSet<_> = addresses.iter().collect();
        assert_eq!(different.len(), addresses.len());
    }
}
