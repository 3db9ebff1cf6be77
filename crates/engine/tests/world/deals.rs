//! Deals as a requester would order them.

use alloy_primitives::B256;
use engine::DealDetails;
use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use poco::units::Timestamp;

use super::{minutes, wallet};

pub(crate) fn deal_id(n: u64) -> DealId {
    DealId(B256::from(alloy_primitives::U256::from(0xdea1_0000 + n)))
}

/// Task `index` of the first deal.
pub(crate) fn task(index: u64) -> TaskId {
    TaskId::of(deal_id(1), index)
}

/// A standard deal of one task: trust 1, T = 5 minutes, result on IPFS.
pub(crate) fn standard() -> DealDetails {
    DealDetails {
        id: deal_id(0),
        requester: wallet("requester"),
        beneficiary: wallet("requester"),
        app: wallet("app"),
        app_image: "docker.io/library/busybox:1.36".to_owned(),
        dataset: None,
        callback: None,
        tag: Tag::NONE,
        trust: 1,
        category: 0,
        max_execution: minutes(5),
        start_time: Timestamp::default(),
        contribution_ratio: 7,
        final_ratio: 10,
        bot_first: 0,
        bot_size: 1,
        arguments: None,
        storage_provider: Some("ipfs".to_owned()),
        storage_proxy: None,
        refused: None,
    }
}

/// Changes to a deal that read like a sentence.
pub(crate) trait DealWords {
    fn trust(self, trust: u64) -> Self;
    fn tasks(self, size: u64) -> Self;
    fn tag(self, tag: Tag) -> Self;
    fn with_callback(self) -> Self;
}

impl DealWords for DealDetails {
    fn trust(self, trust: u64) -> Self {
        Self { trust, ..self }
    }

    fn tasks(self, bot_size: u64) -> Self {
        Self { bot_size, ..self }
    }

    fn tag(self, tag: Tag) -> Self {
        Self { tag, ..self }
    }

    fn with_callback(self) -> Self {
        Self {
            callback: Some(wallet("callback")),
            storage_provider: None,
            ..self
        }
    }
}
