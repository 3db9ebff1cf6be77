//! The main job, as the demo shows it and the test asserts it: a bag of three tasks at trust 1 and one task at trust 3, bought with the
//! SDK, computed, finalized, paid, downloaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, ensure};

use crate::audit;
use crate::money::{self, Account};
use crate::progress::{self, Followed, Timeline};
use crate::report::{AccountReport, Report, TaskReport};
use crate::sdk::{self, Deal, Wish};
use crate::world::World;

/// Price of the application for one task, nRLC.
pub const APP_PRICE: u64 = 1_000_000_000;

/// Price of the pool for one task, nRLC.
pub const POOL_PRICE: u64 = 2_000_000_000;

/// The roles whose money is shown.
const PARTIES: [&str; 5] = [
    "requester",
    "app-provider",
    "scheduler",
    "worker1",
    "worker2",
];

/// What the demo buys.
#[must_use]
pub fn wishes() -> Vec<Wish> {
    vec![
        Wish {
            volume: 3,
            trust: 1,
            category: 0,
            args: "hello world".into(),
        },
        Wish {
            volume: 1,
            trust: 3,
            category: 0,
            args: "how sure are you".into(),
        },
    ]
}

/// One bought task and all that came of it.
#[derive(Debug, Clone)]
pub struct Bought {
    /// Its id.
    pub task: B256,
    /// Its deal.
    pub deal: B256,
    /// Its index in the deal.
    pub index: u64,
    /// Its trust.
    pub trust: u64,
    /// The application's arguments.
    pub args: String,
    /// The chain's status.
    pub chain_status: u8,
    /// Who contributed, in order.
    pub workers: Vec<Address>,
    /// `/ipfs/<cid>`.
    pub location: String,
    /// The result's text.
    pub text: String,
}

/// What came of everything.
#[derive(Debug)]
pub struct Outcome {
    /// The tasks.
    pub tasks: Vec<Bought>,
    /// When each step was seen.
    pub timeline: Timeline,
    /// Every party's account before the purchase.
    pub before: BTreeMap<String, Account>,
    /// Every party's account after the last task.
    pub after: BTreeMap<String, Account>,
}

/// Buys, follows, downloads. `tell` hears every step in words. Results are put into `out`.
pub async fn run(
    world: &mut World,
    out: &Path,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Outcome> {
    let chain_dir = world.dir().join("chain");
    let before = accounts(world).await?;
    tell(
        "the requester buys with the iExec SDK: a bag of 3 tasks at trust 1, and 1 task at trust 3",
    );
    let deals = sdk::buy(&chain_dir, "1 RLC", "2 RLC", &wishes()).await?;
    let since = Instant::now();
    let names = followed(&deals);
    let followed = progress::follow(
        &world.scheduler_url,
        &names,
        since,
        Duration::from_secs(180),
        &mut tell,
    )
    .await;
    let timeline = followed.map_err(|error| error.context(world.logs()))?;

    let rpc = world.rpc();
    let mut tasks = Vec::new();
    for (deal, wish) in deals.iter().zip(wishes()) {
        for (offset, task) in deal.tasks.iter().enumerate() {
            tasks.push(Bought {
                task: *task,
                deal: deal.dealid,
                index: deal.first + offset as u64,
                trust: deal.trust,
                args: wish.args.clone(),
                chain_status: audit::task_status(&rpc, world.chain.hub, *task).await?,
                workers: audit::contributors(&rpc, world.chain.hub, *task).await?,
                location: String::new(),
                text: String::new(),
            });
        }
    }
    for task in &tasks {
        ensure!(
            task.chain_status == 3,
            "task {} ended with chain status {}\n{}",
            task.task,
            task.chain_status,
            world.logs()
        );
    }
    let wanted: Vec<(B256, bool)> = tasks
        .iter()
        .map(|task| (task.task, task.workers.len() == 1))
        .collect();
    let downloads = sdk::fetch(&chain_dir, out, &wanted).await?;
    for task in &mut tasks {
        let download = downloads
            .iter()
            .find(|download| download.task == task.task)
            .context("a download is missing")?;
        task.location.clone_from(&download.location);
        task.text = sdk::text_in(&download.file, "result.txt")?;
    }
    let after = accounts(world).await?;
    Ok(Outcome {
        tasks,
        timeline,
        before,
        after,
    })
}

fn followed(deals: &[Deal]) -> Vec<Followed> {
    let mut names = Vec::new();
    for deal in deals {
        for (offset, task) in deal.tasks.iter().enumerate() {
            let name = if deal.volume > 1 {
                format!("bag task {}", deal.first + offset as u64)
            } else {
                format!("trust {}", deal.trust)
            };
            names.push(Followed { task: *task, name });
        }
    }
    names
}

async fn accounts(world: &World) -> anyhow::Result<BTreeMap<String, Account>> {
    let rpc = world.rpc();
    let mut all = BTreeMap::new();
    for role in PARTIES {
        let owner = world.chain.party(role)?.address;
        all.insert(
            role.to_owned(),
            money::account(&rpc, world.chain.hub, world.chain.rlc, owner).await?,
        );
    }
    Ok(all)
}

impl Outcome {
    /// The report for programs.
    pub fn report(&self, world: &World) -> anyhow::Result<Report> {
        let tasks = self
            .tasks
            .iter()
            .map(|task| TaskReport {
                task: task.task,
                deal: task.deal,
                index: task.index,
                trust: task.trust,
                chain_status: task.chain_status,
                workers: task.workers.clone(),
                cid: task.location.strip_prefix("/ipfs/").map(str::to_owned),
                seconds: self.timeline.get(&task.task).cloned().unwrap_or_default(),
            })
            .collect();
        let mut accounts = BTreeMap::new();
        for (role, before) in &self.before {
            let after = self.after.get(role).copied().unwrap_or_default();
            accounts.insert(
                role.clone(),
                AccountReport {
                    address: world.chain.party(role)?.address,
                    before: *before,
                    after,
                },
            );
        }
        Ok(Report { tasks, accounts })
    }
}

/// What the application must have written for these arguments and this task: recomputed, not read.
#[must_use]
pub fn expected_text(args: &str, task: B256) -> String {
    use sha2::Digest as _;
    let sum = sha2::Sha256::digest(format!("{args}\n{task}"));
    format!(
        "arguments: {args}\ntask:      {task}\nsha256:    {}\n",
        alloy_primitives::hex::encode(sum)
    )
}
