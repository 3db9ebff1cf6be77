//! Tasks that one worker finishes with one transaction, when the chain takes blocks back. Bought, paid and downloaded they are in the main
//! job, killed at every step in the kill tests.

use std::time::Duration;

use alloy_primitives::B256;
use e2e::process::until;
use e2e::sdk::{self, Wish};
use e2e::world::{Plan, World};
use e2e::{audit, image};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(60);

/// What a task is at when the blocks go.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Uploading,
    Finalized,
    Completed,
}

impl Phase {
    async fn reached(self, world: &World, task: B256) {
        let ongoing = "CONTRIBUTE_AND_FINALIZE_ONGOING";
        let reached = match self {
            Self::Uploading => world.replicate_reaches(task, ongoing, A_WHILE).await,
            Self::Finalized => {
                let rpc = world.rpc();
                until("TaskFinalize", A_WHILE, || async {
                    let event = "TaskFinalize(bytes32,bytes)";
                    let found = rpc.logs(world.chain.hub, event, task).await?;
                    Ok((!found.is_empty()).then_some(()))
                })
                .await
            }
            Self::Completed => world.reaches(task, &["COMPLETED"], A_WHILE).await.map(drop),
        };
        reached.unwrap_or_else(|error| panic!("{self:?}: {error:#}\n{}", world.logs()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_finished_alone_survives_a_reorganisation_in_each_of_its_phases() {
    let _turn = turn().await;
    let world = World::start(Plan {
        workers: 1,
        app: (image::FAULTS, "workerpool/faults:1".into()),
        ..Plan::default()
    })
    .await
    .unwrap();
    let rpc = world.rpc();
    let rows = [
        (Phase::Uploading, [1, 12]),
        (Phase::Finalized, [1, 6]),
        (Phase::Completed, [2, 11]),
    ];
    for (phase, depths) in rows {
        for depth in depths {
            let chain_dir = world.dir().join("chain");
            let wishes = [Wish::one("ok", 0)];
            let deals = sdk::buy(&chain_dir, "1 RLC", "2 RLC", &wishes)
                .await
                .unwrap();
            let task = deals[0].tasks[0];
            // The purchase, and what was paid in for it, stays.
            rpc.mine(12).await.unwrap();
            phase.reached(&world, task).await;
            rpc.reorganise(depth, &[deals[0].tx_hash]).await.unwrap();
            until("the chain's own end", A_WHILE, || async {
                let status = audit::task_status(&rpc, world.chain.hub, task).await?;
                Ok((status == 3).then_some(()))
            })
            .await
            .unwrap_or_else(|error| panic!("{phase:?}, {depth} deep: {error:#}\n{}", world.logs()));
            world.completes(task, A_WHILE).await.unwrap();
        }
    }
    world.audit().await.unwrap();
}
