//! Which images are kept. What this worker pulled is written down, before and after, so that a kill at any instant leaves no image that
//! nobody knows of. Above the watermark those go that were not used for the longest time; never one that a container uses, that a task
//! wants, or that somebody else brought here.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use bollard::query_parameters::{ListContainersOptions, RemoveImageOptions};
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Batch, Collection, Store, StoreError};
use tokio::sync::{Notify, RwLock};

use super::image::{Found, is_pinned, with_tag};
use super::pull::PullError;
use super::{DockerError, Engine};
use crate::config::{Images, UNSEEN_DISK_BYTES, Watermark};
use crate::{clock, journal};

/// The document that says which images were pulled.
const KEY: &str = "images";
/// How often it is looked whether images must go.
const CHECK: Duration = Duration::from_secs(60);
/// When an image was used last is written down this coarsely.
const COARSE: Duration = Duration::from_secs(60);

/// An image that this worker pulled, or is pulling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Its reference, as it was asked for.
    reference: String,
    /// The image's id; while it is being pulled what was there before, if anything.
    id: Option<String>,
    /// The pull is not over.
    pulling: bool,
    /// What it takes.
    bytes: u64,
    /// When it was used last.
    used: Timestamp,
}

/// The images of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ImageCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    store: Store,
    settings: Images,
    records: std::sync::Mutex<Vec<Record>>,
    /// One writer of the document at a time.
    writing: tokio::sync::Mutex<()>,
    /// Held for reading by who fetches an image, for writing by who removes some: so what was just seen is still there.
    gate: RwLock<()>,
    pulled: Notify,
}

/// Why images could not be kept within their bounds.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The engine does not do its part.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// What was pulled cannot be written down, or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImageCache {
    /// What an earlier life of this worker pulled is known again.
    ///
    /// # Errors
    /// The store cannot read.
    pub async fn open(
        engine: &Engine,
        store: &Store,
        settings: &Images,
    ) -> Result<Self, StoreError> {
        let records: Option<Vec<Record>> = store.get(Collection::Meta, KEY).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                store: store.clone(),
                settings: settings.clone(),
                records: std::sync::Mutex::new(records.unwrap_or_default()),
                writing: tokio::sync::Mutex::default(),
                gate: RwLock::default(),
                pulled: Notify::new(),
            }),
        })
    }

    /// Pulls the image, with the credentials of its registry, within `limit`.
    ///
    /// # Errors
    /// Why it did not come. It may be here all the same, from earlier.
    pub async fn pull(&self, reference: &str, limit: Duration) -> Result<(), PullError> {
        let inner = &self.inner;
        if inner.engine.image(reference).await?.is_none() {
            // A disk that is full already would fail the pull.
            self.make_room().await;
        }
        let _gate = inner.gate.read().await;
        let before = inner.engine.image(reference).await?;
        if before.is_some() && is_pinned(reference) {
            self.note_use(reference).await;
            return Ok(());
        }
        if before.is_none() {
            self.keep_record(Record {
                reference: reference.to_owned(),
                id: None,
                pulling: true,
                bytes: 0,
                used: clock::now(),
            })
            .await;
        }
        let credentials = inner.settings.registries.credentials(reference);
        let pulled = inner
            .engine
            .pull(reference, limit, inner.settings.pull_stall, credentials)
            .await;
        match inner.engine.image(reference).await {
            Ok(after) => self.settle(reference, before.as_ref(), after).await,
            Err(error) => {
                tracing::debug!(image = reference, %error, "what the pull brought is seen later")
            }
        }
        inner.pulled.notify_one();
        pulled
    }

    /// What to run for this reference: the reference itself, or, where the worker checks digests, the id of the image that has the one on
    /// chain. `None` when it is not here, or another image is.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn runnable(
        &self,
        reference: &str,
        digest: B256,
    ) -> Result<Option<String>, DockerError> {
        let Some(found) = self.inner.engine.image(reference).await? else {
            return Ok(None);
        };
        self.note_use(reference).await;
        if !self.inner.settings.check_digest || digest.is_zero() {
            return Ok(Some(reference.to_owned()));
        }
        if found.has_digest(digest) {
            return Ok(Some(found.id));
        }
        tracing::warn!(
            image = reference, %digest, id = found.id, digests = ?found.digests,
            "the image is not the one whose digest stands on chain; it is not run (WORKERPOOL_WORKER_CHECK_IMAGE_DIGEST)"
        );
        Ok(None)
    }

    /// True when the engine has the image.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn has(&self, reference: &str) -> Result<bool, DockerError> {
        self.inner.engine.has_image(reference).await
    }

    /// Looks, now and again and after each pull, whether images must go. Never ends.
    pub async fn keep(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(CHECK) => {}
                () = self.inner.pulled.notified() => {}
            }
            self.make_room().await;
        }
    }

    async fn make_room(&self) {
        if let Err(error) = self.evict().await {
            tracing::warn!(%error, "images could not be kept within their bounds");
        }
    }

    /// Removes images until the watermark is reached, or none is left that may go; which ones went.
    ///
    /// # Errors
    /// The engine or the store does not do its part.
    pub async fn evict(&self) -> Result<Vec<String>, CacheError> {
        let inner = &self.inner;
        let _gate = inner.gate.write().await;
        let mut gone = Vec::new();
        self.settle_all().await?;
        if !self.is_over().await? {
            return Ok(gone);
        }
        let wanted: HashSet<String> = journal::all(&inner.store)
            .await?
            .into_iter()
            .filter_map(|journal| journal.image)
            .collect();
        let used = self.in_use().await?;
        let mut oldest = self.records().clone();
        oldest.sort_by_key(|record| record.used);
        for record in oldest {
            let is_free = record
                .id
                .as_ref()
                .is_some_and(|id| !used.contains(id) && !wanted.contains(&record.reference));
            if !is_free {
                continue;
            }
            if self.remove(&record).await? {
                tracing::info!(
                    image = record.reference,
                    bytes = record.bytes,
                    "an image that was not used for the longest time is removed"
                );
                gone.push(record.reference);
            }
            if !self.is_over().await? {
                return Ok(gone);
            }
        }
        tracing::warn!(
            removed = gone.len(),
            "images and what else is on the disk are above WORKERPOOL_WORKER_IMAGES_WATERMARK, and nothing more of this worker's may be removed"
        );
        Ok(gone)
    }

    /// False when images must go, or the engine does not say whether they must: then nothing is brought here before it is needed.
    pub async fn has_room(&self) -> bool {
        matches!(self.is_over().await, Ok(false))
    }

    /// True when images must go.
    async fn is_over(&self) -> Result<bool, DockerError> {
        let bytes = match self.inner.settings.watermark {
            Watermark::Off => return Ok(false),
            Watermark::Bytes(bytes) => bytes,
            Watermark::Percent(percent) => match self.inner.engine.disk_use().await? {
                Some(used) => return Ok(used > f64::from(percent)),
                None => UNSEEN_DISK_BYTES,
            },
        };
        let mut seen = HashSet::new();
        let records = self.records().clone();
        let taken: u64 = records
            .iter()
            .filter(|record| seen.insert(record.id.clone()))
            .map(|record| record.bytes)
            .sum();
        Ok(taken > bytes)
    }

    /// The ids of images that containers, running or not, were made from.
    async fn in_use(&self) -> Result<HashSet<String>, DockerError> {
        let options = ListContainersOptions {
            all: true,
            ..ListContainersOptions::default()
        };
        let engine = &self.inner.engine;
        let found = engine.docker.list_containers(Some(options)).await;
        let found = found.map_err(|error| engine.error("list its containers", error))?;
        Ok(found.into_iter().filter_map(|one| one.image_id).collect())
    }

    /// Takes the reference away, and the image with it if that was its last; false when somebody still needs it.
    async fn remove(&self, record: &Record) -> Result<bool, CacheError> {
        let engine = &self.inner.engine;
        let found = engine.image(&record.reference).await?;
        // Somebody gave the name to another image since, or removed it: then it is not ours any more.
        if found.map(|found| found.id) == record.id {
            let options = RemoveImageOptions {
                force: false,
                noprune: false,
                ..RemoveImageOptions::default()
            };
            let removed = engine
                .docker
                .remove_image(&with_tag(&record.reference), Some(options), None)
                .await;
            if let Err(error) = removed {
                let error = engine.error(format!("remove the image {}", record.reference), error);
                match error {
                    DockerError::Refused {
                        status: Some(409), ..
                    } => return Ok(false),
                    error if error.is_not_found() => {}
                    error => return Err(error.into()),
                }
            }
        }
        self.drop_record(&record.reference).await?;
        Ok(true)
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        self.inner
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what became of a pull: what is new is ours, what was there already and not ours stays another's.
    async fn settle(&self, reference: &str, before: Option<&Found>, after: Option<Found>) {
        let known = self
            .records()
            .iter()
            .find(|record| record.reference == reference)
            .cloned();
        let is_new = after.as_ref().map(|found| &found.id) != before.map(|found| &found.id);
        match (after, known) {
            (Some(found), known) if is_new || known.is_some() => {
                self.keep_record(Record {
                    reference: reference.to_owned(),
                    id: Some(found.id),
                    pulling: false,
                    bytes: found.bytes,
                    used: clock::now(),
                })
                .await;
            }
            (None, Some(_)) => {
                if let Err(error) = self.drop_record(reference).await {
                    tracing::warn!(%error, "which images were pulled cannot be written down");
                }
            }
            _ => {}
        }
    }

    /// Pulls that a kill cut short: what they brought is ours.
    async fn settle_all(&self) -> Result<(), CacheError> {
        let open: Vec<Record> = self
            .records()
            .iter()
            .filter(|record| record.pulling)
            .cloned()
            .collect();
        for record in open {
            let after = self.inner.engine.image(&record.reference).await?;
            self.settle(&record.reference, None, after).await;
        }
        Ok(())
    }

    async fn note_use(&self, reference: &str) {
        let now = clock::now();
        let known = self
            .records()
            .iter()
            .find(|record| record.reference == reference)
            .cloned();
        if let Some(record) = known
            && now.since(record.used) >= COARSE
        {
            self.keep_record(Record {
                used: now,
                ..record
            })
            .await;
        }
    }

    /// Writes the record down. A store that cannot write ends the worker elsewhere; here the image only stays for ever.
    async fn keep_record(&self, record: Record) {
        {
            let mut records = self.records();
            records.retain(|other| other.reference != record.reference);
            records.push(record);
        }
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "which images were pulled cannot be written down");
        }
    }

    async fn drop_record(&self, reference: &str) -> Result<(), StoreError> {
        self.records()
            .retain(|record| record.reference != reference);
        self.write().await
    }

    async fn write(&self) -> Result<(), StoreError> {
        let _writing = self.inner.writing.lock().await;
        let records = self.records().clone();
        let batch = Batch::new().put(Collection::Meta, KEY, &records);
        self.inner.store.commit(batch).await.map(drop)
    }
}

impl Engine {
    /// How much of the disk that holds the images is in use, in hundredths; `None` when that disk cannot be seen from here.
    async fn disk_use(&self) -> Result<Option<f64>, DockerError> {
        if !self.host().starts_with("unix://") {
            return Ok(None);
        }
        let info = self.docker.info().await;
        let info = info.map_err(|error| self.error("describe its machine", error))?;
        let Some(root) = info.docker_root_dir else {
            return Ok(None);
        };
        let stat = tokio::task::spawn_blocking(move || rustix::fs::statvfs(root)).await;
        Ok(match stat {
            Ok(Ok(stat)) => {
                // As `df` counts: what only root may use counts for neither side.
                let used = stat.f_blocks.saturating_sub(stat.f_bfree) as f64;
                let all = used + stat.f_bavail as f64;
                (all > 0.0).then(|| 100.0 * used / all)
            }
            _ => None,
        })
    }
}
