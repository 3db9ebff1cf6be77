//! Pulling ahead. While all slots are busy for a while, new deals of the pool are read from the chain, and the images of those that this
//! worker could compute are pulled, one at a time, so that they are here when a slot comes free. While a slot is free nothing is asked: the
//! scheduler gives the task, and its image is pulled with it. It never takes anything from a task that runs but the line to the registry.

use std::collections::HashSet;
use std::time::Duration;

use alloy_primitives::Address;
use chain::{Cursor, CursorSettings, Fact, FactFilter, Progress};
use poco::contracts::Deal;
use poco::ids::DealId;
use poco::tag::Tag;
use poco::units::BlockNumber;

use crate::config::Settings;
use crate::pipeline::work::Shared;

/// Slots that are full for less than this are a bag of short tasks, which needs no second image.
const BUSY: Duration = Duration::from_secs(5);
/// How often the chain is asked at most.
const ASK: Duration = Duration::from_secs(10);
/// How far back deals are looked for that wait already.
const BACK: u64 = 50;
/// Applications that are not asked about again.
const SEEN: usize = 1000;

/// Pulls ahead as long as the worker works. Never ends.
pub(crate) async fn ahead(shared: &Shared) {
    if !shared.settings.images.prefetch {
        std::future::pending::<()>().await;
    }
    let mut seen = HashSet::new();
    loop {
        shared.slots.wait_full().await;
        tokio::select! {
            () = shared.slots.wait_free() => {}
            () = watch(shared, &mut seen) => {}
        }
    }
}

/// Reads deals until something goes wrong, which is taken up again after a rest.
async fn watch(shared: &Shared, seen: &mut HashSet<Address>) {
    tokio::time::sleep(BUSY).await;
    let rest = ASK.max(shared.block_time * 5);
    let Some(head) = shared.head_within(rest).await else {
        return tokio::time::sleep(rest).await;
    };
    let filter = FactFilter {
        hub: shared.hub.address(),
        deals_of: Some(shared.settings.pool),
    };
    let start = BlockNumber(head.0.saturating_sub(BACK));
    let settings = CursorSettings::new(start, rest);
    let mut cursor = Cursor::new(shared.hub.node().clone(), filter, settings, None);
    loop {
        let facts = match cursor.next().await {
            Ok(Progress::Advanced { facts, .. }) => facts,
            Ok(Progress::RolledBack { .. }) => continue,
            Err(error) => {
                tracing::debug!(%error, "deals cannot be read ahead");
                return tokio::time::sleep(rest).await;
            }
        };
        for fact in facts {
            if let Fact::Deal { deal, .. } = fact.fact {
                fetch(shared, seen, deal).await;
            }
        }
    }
}

/// Pulls the image of a deal, if this worker could compute it and has not got it.
async fn fetch(shared: &Shared, seen: &mut HashSet<Address>, deal: DealId) {
    let Ok(Some(found)) = shared.hub.recent_deal(deal).await else {
        return;
    };
    if !is_eligible(&found, &shared.settings) || seen.contains(&found.app.pointer) {
        return;
    }
    let Ok(Some(app)) = shared.hub.recent_app(found.app.pointer).await else {
        return;
    };
    let image = String::from_utf8_lossy(&app.m_appMultiaddr).into_owned();
    if !matches!(shared.images.has(&image).await, Ok(false)) {
        return;
    }
    // It would be the first to be removed again.
    if !shared.images.has_room().await {
        tracing::debug!(%deal, image, "an image is not pulled ahead while images have to go");
        return;
    }
    tracing::info!(%deal, image, "pulling the image of a deal ahead");
    match shared
        .images
        .pull(&image, shared.settings.images.pull_longest)
        .await
    {
        Ok(()) => tracing::info!(%deal, image, "the image is here before its task"),
        Err(error) => tracing::debug!(%deal, image, %error, "an image is not pulled ahead"),
    }
    if seen.len() >= SEEN {
        seen.clear();
    }
    seen.insert(found.app.pointer);
}

/// Whether this worker could be given a task of the deal.
fn is_eligible(deal: &Deal, settings: &Settings) -> bool {
    let tag = Tag(deal.tag);
    let enclave = tag.needs_enclave() || tag.tee_framework().is_some() || tag.is_impossible();
    deal.workerpool.pointer == settings.pool && !enclave && (settings.gpu || !tag.gpu())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::minimal;

    #[test]
    fn only_deals_that_this_worker_could_compute_are_read_ahead() {
        let settings = Settings::from_env(&minimal()).unwrap();
        let mut deal = Deal::default();
        assert!(!is_eligible(&deal, &settings), "another pool's");
        deal.workerpool.pointer = settings.pool;
        assert!(is_eligible(&deal, &settings));
        deal.tag = Tag::SCONE.0;
        assert!(!is_eligible(&deal, &settings), "in an enclave");
        let mut gpu = Tag::NONE.0;
        gpu.0[30] |= 1;
        deal.tag = gpu;
        assert!(!is_eligible(&deal, &settings), "without a GPU");
        let settings = Settings {
            gpu: true,
            ..settings
        };
        assert!(is_eligible(&deal, &settings));
    }
}
