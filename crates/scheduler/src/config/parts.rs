//! What the parts of a scheduler are told of its settings.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use chain::OutboxSettings;
use wire::message::PublicConfiguration;

use super::Settings;

impl Settings {
    pub(crate) fn of_engine(&self, block_time: Duration) -> engine::Settings {
        engine::Settings {
            allowed_workers: self.workers.allowed.clone(),
            ask_period: self.workers.ask_period,
            block_time,
            claim: self.claim,
            caf: self.caf,
            ..engine::Settings::default()
        }
    }

    pub(crate) fn of_outbox(&self, block_time: Duration) -> OutboxSettings {
        OutboxSettings {
            multiplier: self.chain.gas_price_multiplier,
            cap: self.chain.gas_price_cap,
            probe: Some(Arc::new(chassis::crash::point)),
            ..OutboxSettings::new(block_time)
        }
    }

    /// What workers are told before they log in; `owner` is the pool's.
    pub(crate) fn told_to_workers(&self, owner: Address) -> PublicConfiguration {
        PublicConfiguration {
            worker_pool_address: self.chain.pool.text.clone(),
            scheduler_public_address: poco::hex::lower(&owner),
            config_server_url: self.config_server.text.clone(),
            result_repository_url: self.result_repository.text.clone(),
            ask_for_replicate_period: u64::try_from(self.workers.ask_period.as_millis())
                .unwrap_or(u64::MAX),
            required_worker_version: self.workers.required_version.clone(),
        }
    }
}
