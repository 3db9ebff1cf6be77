//! Reorganisations of the chain.

use engine::{Input, Outcome, Purpose};
use poco::status::ChainTaskStatus;
use wire::status::ReplicateStatus::Contributed;
use wire::status::TaskNotificationType::PleaseWait;
use wire::status::TaskStatus::{
    self, Completed, ConsensusReached, Failed, Initialized, Initializing, Running,
};

use crate::world::{DealWords, Tx, World, deal_id, minutes, seconds, standard, task};

#[test]
fn a_dropped_initialisation_takes_the_task_back_until_it_is_there_again() {
    // I4: never ahead of the chain.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.reorganise(3, |_| false);
    assert_eq!(world.status(task(0)), Initializing);
    assert_eq!(world.chain.status(task(0)), ChainTaskStatus::Unset);
    assert!(world.commanded(Purpose::ReadTask) > 0);
    world.ask("ann").is_nothing();
    world.pass(seconds(30));
    assert_eq!(world.status(task(0)), Initialized);
    world.ask("ann").is_given(task(0));
}

#[test]
fn a_dropped_consensus_takes_the_task_back_and_the_same_consensus_brings_it_on_again() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    assert_eq!(world.status(task(0)), ConsensusReached);
    world.reorganise(1, |_| true);
    assert_eq!(world.status(task(0)), Running);
    assert_eq!(world.replicate("ann", task(0)).last(), Some(&Contributed));
    world.mine();
    assert_eq!(world.status(task(0)), ConsensusReached);
    world
        .reveals("ann", task(0))
        .uploads("ann", task(0))
        .pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn a_reveal_dropped_late_takes_the_task_back_to_its_consensus() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    world.reveals("ann", task(0));
    assert_eq!(world.status(task(0)), TaskStatus::ResultUploading);
    world.reorganise(1, |_| true);
    assert_eq!(world.status(task(0)), ConsensusReached);
    world.mine();
    assert_eq!(world.status(task(0)), TaskStatus::ResultUploading);
}

#[test]
fn a_deal_that_vanished_is_not_worked_on_and_comes_back_with_its_new_start() {
    let mut world = World::new().workers(["ann"]);
    world.matched(standard());
    let before = world.stored.tasks[&task(0)].final_deadline;
    world.reorganise(1, |_| true);
    assert!(world.stored.deals[&deal_id(1)].vanished);
    world.now = world.now.saturating_add(seconds(7));
    world.mine();
    assert!(!world.stored.deals[&deal_id(1)].vanished);
    let after = world.stored.tasks[&task(0)].final_deadline;
    assert_eq!(after.since(before), seconds(7));
    world.pass(seconds(30));
    world.ask("ann").is_given(task(0));
}

#[test]
fn a_deal_that_vanished_for_good_ends_for_that_reason() {
    let mut world = World::new();
    world.matched(standard());
    world.reorganise(1, |tx| !matches!(tx, Tx::Match(_)));
    world.pass(minutes(36));
    assert_eq!(world.status(task(0)), Failed);
    let failure = world.stored.tasks[&task(0)].failure.clone().unwrap();
    assert!(failure.contains("vanished"), "{failure}");
    world.pass(minutes(30));
    assert_eq!(world.commanded(Purpose::Claim), 0);
}

#[test]
fn a_completed_task_stays_completed_and_its_finalisation_is_sent_again() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.does_it_all("ann", task(0));
    let finalized_at = world
        .chain
        .blocks
        .iter()
        .rposition(|block| !block.facts.is_empty())
        .unwrap();
    let depth = world.chain.blocks.len() - finalized_at;
    world.reorganise(depth, |_| false);
    assert_eq!(world.status(task(0)), Completed);
    assert_eq!(world.chain.status(task(0)), ChainTaskStatus::Revealing);
    world.pass(minutes(1));
    assert_eq!(world.chain.status(task(0)), ChainTaskStatus::Completed);
}

#[test]
fn a_fact_told_twice_counts_once() {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(5));
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    let block = world.chain.blocks.last().unwrap().clone();
    let facts = world.stored.tasks[&task(0)].facts.len();
    world.input(Input::Advanced {
        to: block.block,
        head: block.block.number,
        facts: block.facts,
    });
    assert_eq!(world.stored.tasks[&task(0)].facts.len(), facts);
}

#[test]
fn a_contribution_still_under_way_when_its_block_is_dropped_is_accepted_when_it_is_back() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.computes("ann", task(0));
    let block = world.sends_contribution("ann", task(0), "result");
    world.reorganise(1, |_| true);
    let waiting = world
        .report_with("ann", task(0), Contributed, crate::world::at_block(block))
        .has_no_answer_yet();
    world.mine();
    assert_eq!(
        world.reply(waiting),
        Some(&engine::Reply::Accepted(PleaseWait))
    );
}

/// The numbers of the tries given out for a deed.
fn tries(world: &World, purpose: Purpose) -> Vec<u32> {
    let commands = world.commands.iter();
    commands
        .filter(|command| command.key.purpose == purpose)
        .map(|command| command.key.attempt)
        .collect()
}

#[test]
fn a_transaction_in_a_dropped_block_is_waited_for_under_its_own_key() {
    // Under another key there were two transactions for one deed, as the first is sent again too.
    let mut world = World::new().workers(["ann"]).deal(standard());
    assert_eq!(tries(&world, Purpose::Initialize), [1]);
    // Three blocks of the same height come without it.
    world.reorganise(3, |tx| matches!(tx, Tx::Match(_)));
    for _ in 0..3 {
        world.mine();
    }
    world.pass(seconds(30));
    assert_eq!(tries(&world, Purpose::Initialize), [1, 1]);
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn a_transaction_mined_long_ago_without_its_fact_is_sent_anew() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let block = world.chain.head().unwrap().number;
    let mut asked_at = Vec::new();
    for _ in 0..80 {
        for command in std::mem::take(&mut world.undone) {
            let key = command.key;
            asked_at.push((key.attempt, world.chain.head().unwrap().number.0 - block.0));
            let outcome = Outcome::Mined { block };
            world.input(Input::Done { key, outcome });
        }
        world.pass(seconds(5));
    }
    let anew = asked_at.iter().position(|(attempt, _)| *attempt == 2);
    let (before, after) = asked_at.split_at(anew.unwrap());
    assert!(before.len() > 1 && before.iter().all(|(attempt, _)| *attempt == 1));
    assert!(after[0].1 >= 64, "{asked_at:?}");
}
