//! Takes result archives: who may store what, when (spec result-proxy §5), and in which order it becomes durable. What comes before the
//! contribution is judged in [`crate::early`].
//!
//! An archive streams to the disk while its CID is computed, is checked against the chain, and only then kept: the file
//! first, the entry in the database after it. A refused or failed upload leaves nothing. TEE uploads are refused by this
//! version.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use axum::body::Body;
use chain::NodeError;
use futures_util::StreamExt as _;
use poco::ids::{DealId, TaskId};
use poco::status::{ChainContributionStatus, ChainTaskStatus};
use poco::tag::Tag;
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Batch, Collection, Store, StoreError};
use tokio::sync::{Mutex, Semaphore};

use crate::archive::{self, ArchiveError, Limits};
use crate::blocks::{Arrived, Blocks};
use crate::cid::Cid;
use crate::clock;
use crate::early::MOST_REPLACED;
use crate::fairness::{Pools, UPLOADS_EACH, Underway};
use crate::right_chain::{ChainError, RightChain};
use crate::upload_body::{BodyError, UploadBody};

/// Longest silence of a client in the middle of an upload.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time for a whole upload, however steadily it trickles.
const LONGEST: Duration = Duration::from_secs(1800);
/// Archives that are decompressed at the same time; others wait.
const CHECKS_AT_ONCE: usize = 4;

/// What is remembered of a result; its key is the task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResultRecord {
    /// Where the archive is.
    pub(crate) cid: Cid,
    /// Who uploaded it.
    #[serde(with = "poco::hex::lower_address")]
    pub(crate) wallet: Address,
    /// Bytes of the archive.
    pub(crate) size: u64,
    /// When it was stored.
    pub(crate) at: Timestamp,
    /// It came before the chain had a hash to compare it with.
    #[serde(default)]
    pub(crate) early: bool,
    /// How many other archives it took the place of.
    #[serde(default)]
    pub(crate) replaced: u32,
}

/// By what right an archive is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// Its hash is the one that its worker revealed.
    Revealed,
    /// Its worker is to finish the task with one transaction, and nothing is on the chain yet.
    Early,
}

/// Why an upload is not allowed. Clients are told no more than that it is not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0:?} is not a task id")]
    NotATask(String),
    #[error("the chain has no such task")]
    NoTask,
    #[error("the chain has no deal of that task")]
    NoDeal,
    #[error(
        "the deal is one of workerpool {0:#x}, which WORKERPOOL_RESULT_PROXY_WORKERPOOLS does not name"
    )]
    OtherPool(Address),
    #[error(
        "the deal wants an enclave (tag {0}), and results of enclaves are not taken by this version"
    )]
    Enclave(Tag),
    #[error(
        "the task is {0:?} on the chain; a standard result is taken only while it is Revealing, or while one worker alone may finish it"
    )]
    TaskStatus(ChainTaskStatus),
    #[error("somebody contributed to the task already, so that no worker can finish it alone")]
    Contributed,
    #[error("no authorization of {0:#x} for the task is on file")]
    NotAuthorized(Address),
    #[error("the task has had {0} different results already, and none is on the chain")]
    TooManyResults(u32),
    #[error("the wallet's contribution is {0:?} on the chain; it must be Proved (revealed) first")]
    ContributionStatus(ChainContributionStatus),
    #[error("the chain returned a status that this version does not know: {0}")]
    UnknownStatus(#[from] poco::status::Unknown),
    #[error("{0}")]
    Archive(ArchiveError),
    #[error(
        "the archive's digest {digest:#x} makes the result hash {computed:#x}, and the wallet contributed {contributed:#x}"
    )]
    OtherResult {
        digest: B256,
        computed: B256,
        contributed: B256,
    },
}

/// An upload that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the upload is refused: {0}")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the wallet has {UPLOADS_EACH} uploads under way already")]
    TooMany,
    #[error("the upload stopped in the middle: {0}")]
    Interrupted(String),
    #[error("the archive is too large: {0}")]
    TooLarge(ArchiveError),
    #[error("the chain could not be asked about the upload: {0}")]
    Chain(#[from] ChainError),
    #[error("the archive could not be stored: {0}")]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NodeError> for UploadError {
    fn from(error: NodeError) -> Self {
        Self::Chain(error.into())
    }
}

/// An upload that came to nothing, and the task that it was for, as far as that was read.
#[derive(Debug)]
pub(crate) struct FailedUpload {
    pub(crate) task: Option<TaskId>,
    pub(crate) error: UploadError,
}

impl From<ArchiveError> for UploadError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Disk(error) => Self::Disk(error),
            error if error.is_too_large() => Self::TooLarge(error),
            error => Self::Refused(Refusal::Archive(error)),
        }
    }
}

/// The results of all tasks.
#[derive(Clone)]
pub(crate) struct Results {
    inner: Arc<Inner>,
}

struct Inner {
    chain: RightChain,
    store: Store,
    blocks: Blocks,
    pools: Pools,
    underway: Underway,
    most: u64,
    limits: Limits,
    checks: Semaphore,
    /// Of two uploads for one task at once, the second must see the first.
    keeping: Mutex<()>,
}

impl Results {
    /// Results of tasks of `pools`, kept in `store` and `blocks`; an archive has at most `most` bytes.
    pub(crate) fn new(
        chain: RightChain,
        store: Store,
        blocks: Blocks,
        pools: Pools,
        most: u64,
        limits: Limits,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                chain,
                store,
                blocks,
                pools,
                underway: Underway::default(),
                most,
                limits,
                checks: Semaphore::new(CHECKS_AT_ONCE),
                keeping: Mutex::new(()),
            }),
        }
    }

    /// The result of a task, if its archive is here too. A lost archive is as good as none, and may be uploaded again.
    pub(crate) async fn find(&self, task: TaskId) -> Result<Option<ResultRecord>, UploadError> {
        let record: Option<ResultRecord> = self.inner.store.get(Collection::Results, task).await?;
        match self.present(record).await? {
            Some(record) if record.early => self.settled(task, record).await,
            other => Ok(other),
        }
    }

    async fn present(
        &self,
        record: Option<ResultRecord>,
    ) -> Result<Option<ResultRecord>, UploadError> {
        match record {
            Some(record) if self.inner.blocks.has(record.cid).await? => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    pub(crate) fn chain(&self) -> &RightChain {
        &self.inner.chain
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.inner.blocks
    }

    /// Takes the upload in `body` from `wallet`, and returns where the task's result is. An upload that repeats a
    /// successful one gets the same answer (spec result-proxy §11.5).
    pub(crate) async fn take(&self, wallet: Address, body: Body) -> Result<Cid, FailedUpload> {
        let unnamed = |error| FailedUpload { task: None, error };
        let _counted = self
            .inner
            .underway
            .begin(wallet)
            .ok_or_else(|| unnamed(UploadError::TooMany))?;
        let late = || {
            let reason = format!("it was not whole within {} s", LONGEST.as_secs());
            Err(UploadError::Interrupted(reason))
        };
        let received = tokio::time::timeout(LONGEST, self.receive(body)).await;
        let (named, archive) = received.unwrap_or_else(|_| late()).map_err(unnamed)?;
        let named = named.unwrap_or_default();
        let Ok(task) = named.parse::<TaskId>() else {
            let shortened = named.chars().take(80).collect();
            return Err(unnamed(Refusal::NotATask(shortened).into()));
        };
        let kept = async {
            let right = self.may_upload(task, wallet, &archive).await?;
            self.keep(task, wallet, archive, right).await
        };
        kept.await.map_err(|error| FailedUpload {
            task: Some(task),
            error,
        })
    }

    async fn receive(&self, body: Body) -> Result<(Option<String>, Arrived), UploadError> {
        let mut reader = UploadBody::new(self.inner.most);
        let mut arriving = self.inner.blocks.arrive().await?;
        let mut pieces = body.into_data_stream();
        loop {
            let piece = tokio::time::timeout(PATIENCE, pieces.next())
                .await
                .map_err(|_| {
                    UploadError::Interrupted(format!("nothing came for {} s", PATIENCE.as_secs()))
                })?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|error| UploadError::Interrupted(error.to_string()))?;
            reader.push(&piece)?;
            arriving.write(&reader.take_decoded()).await?;
        }
        let task = reader.finish()?;
        Ok((task, arriving.finish().await?))
    }

    /// The checks of a standard deal, 4a and 4d of the table. What is cheap to ask comes before what is not.
    async fn may_upload(
        &self,
        id: TaskId,
        wallet: Address,
        archive: &Arrived,
    ) -> Result<Right, UploadError> {
        let hub = self.inner.chain.hub().await?;
        let task = hub.task(id).await?.ok_or(Refusal::NoTask)?;
        let deal = hub
            .recent_deal(DealId(task.dealid))
            .await?
            .ok_or(Refusal::NoDeal)?;
        if !self.inner.pools.serve(deal.workerpool.pointer) {
            return Err(Refusal::OtherPool(deal.workerpool.pointer).into());
        }
        let tag = Tag(deal.tag);
        if tag.tee_framework().is_some() {
            return Err(Refusal::Enclave(tag).into());
        }
        let status = ChainTaskStatus::try_from(task.status).map_err(Refusal::from)?;
        if status == ChainTaskStatus::Active {
            self.may_come_early(id, &task, &deal, wallet, clock::now())
                .await?;
            // It must be one whose hash the chain can have.
            self.digest(archive).await?;
            return Ok(Right::Early);
        }
        if status != ChainTaskStatus::Revealing {
            return Err(Refusal::TaskStatus(status).into());
        }
        let contribution = hub.contribution(id, wallet).await?;
        let status = contribution
            .as_ref()
            .map_or(0, |contribution| contribution.status);
        let status = ChainContributionStatus::try_from(status).map_err(Refusal::from)?;
        let Some(contribution) = contribution.filter(|_| status == ChainContributionStatus::Proved)
        else {
            return Err(Refusal::ContributionStatus(status).into());
        };
        let digest = self.digest(archive).await?;
        let computed = poco::contribution::result_hash(id, digest);
        if computed != contribution.resultHash {
            return Err(Refusal::OtherResult {
                digest,
                computed,
                contributed: contribution.resultHash,
            }
            .into());
        }
        Ok(Right::Revealed)
    }

    async fn digest(&self, archive: &Arrived) -> Result<B256, UploadError> {
        let _turn = self
            .inner
            .checks
            .acquire()
            .await
            .map_err(io::Error::other)?;
        let (path, limits) = (archive.path(), self.inner.limits);
        let digest = tokio::task::spawn_blocking(move || archive::digest(&path, limits));
        Ok(digest.await.map_err(io::Error::other)??)
    }

    async fn keep(
        &self,
        task: TaskId,
        wallet: Address,
        archive: Arrived,
        right: Right,
    ) -> Result<Cid, UploadError> {
        let early = right == Right::Early;
        let _one_at_a_time = self.inner.keeping.lock().await;
        let stored: Option<ResultRecord> = self.inner.store.get(Collection::Results, task).await?;
        let replaced = stored.as_ref().map_or(0, |stored| stored.replaced);
        let there = self.present(stored).await?;
        // A revealed result stays; an early one stays as long as nobody has another, and is as good as revealed once it is.
        let same = |there: &ResultRecord| there.cid == archive.cid && there.early == early;
        let revealed = |there: &ResultRecord| !there.early && !early;
        if let Some(there) = there
            .as_ref()
            .filter(|there| same(there) || revealed(there))
        {
            tracing::info!(%task, wallet = %poco::hex::lower(&wallet), cid = %there.cid, "the result is here already");
            return Ok(there.cid);
        }
        let another = there.is_some_and(|there| there.cid != archive.cid);
        if early && another && replaced >= MOST_REPLACED {
            return Err(Refusal::TooManyResults(replaced).into());
        }
        let record = ResultRecord {
            cid: archive.cid,
            wallet,
            size: archive.size,
            at: clock::now(),
            early,
            replaced: replaced.saturating_add(u32::from(another)),
        };
        self.inner.blocks.keep(archive).await?;
        let batch = Batch::new().put(Collection::Results, task, &record);
        self.inner.store.commit(batch).await?;
        tracing::info!(%task, wallet = %poco::hex::lower(&wallet), cid = %record.cid, bytes = record.size, early, "stored a result");
        Ok(record.cid)
    }
}
