//! Tasks about which the chain does not say enough to begin.

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall;
use devnet::Role;
use poco::contracts::{Deal, Hub};
use poco::ids::TaskId;
use serde_json::json;
use wire::message::WorkerpoolAuthorization;
use wire::status::{ReplicateStatus as Is, ReplicateStatusCause as Cause};

use crate::counter::Instead;
use crate::script;
use crate::world::{World, signed};

const GIVEN_UP: [Is; 3] = [Is::Starting, Is::StartFailed, Is::Aborted];

/// Gives that work to the worker, which has none, and waits until it is given up; why it was.
async fn given_up(world: &World, work: WorkerpoolAuthorization) -> Option<Cause> {
    world.scheduler.told.send_replace(Vec::new());
    world.scheduler.work.lock().unwrap().push_back(work);
    world.until_told(Is::Aborted).await;
    assert_eq!(world.scheduler.statuses(), GIVEN_UP);
    assert_eq!(world.containers().await, [""; 0]);
    world.scheduler.details(Is::StartFailed).cause
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_description_is_not_on_chain_is_given_up_with_that_cause_and_another_is_taken()
{
    // Q19: the original is stuck with it.
    let world = World::new("undescribed", &script("")).await;
    let own = world.scheduler.work.lock().unwrap().pop_front().unwrap();
    let unknown = WorkerpoolAuthorization {
        chain_task_id: TaskId(B256::repeat_byte(0x77)),
        ..own.clone()
    };
    let unknown = signed(&world.chain, Role::Scheduler, unknown);
    let (running, shutdown) = world.start().await;
    let nowhere = Some(Cause::TaskDescriptionNotFound);
    assert_eq!(given_up(&world, unknown).await, nowhere);

    // The task is there, and its deal is not: a hub answers so about a deal that it does not know.
    let zeros = Hub::viewDealCall::abi_encode_returns(&Deal::default());
    let no_deal = Instead::Gives(json!(Bytes::from(zeros)));
    world.asked.answer("deal", Some(no_deal));
    assert_eq!(given_up(&world, own.clone()).await, nowhere);

    // A node that cannot say is another thing than a deal that is not there.
    world.asked.answer("deal", Some(Instead::Fails));
    let unreachable = Some(Cause::ChainUnreachable);
    assert_eq!(given_up(&world, own.clone()).await, unreachable);

    world.asked.answer("deal", None);
    world.scheduler.told.send_replace(Vec::new());
    world.scheduler.work.lock().unwrap().push_back(own);
    world.until_told(Is::Completed).await;
    assert_eq!(world.chain_status().await, 3);
    world.end(running, shutdown).await;
}
