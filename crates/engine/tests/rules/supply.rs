//! Who is given which task, and why not.

use engine::{Order, Reply, Unfit};
use poco::tag::Tag;
use poco::units::BlockNumber;
use wire::status::ReplicateStatus::{Aborted, AppDownloadFailed, Computed, Computing, Started};
use wire::status::TaskNotificationType::{PleaseContribute, PleaseWait};
use wire::status::{ReplicateStatus, ReplicateStatusCause, TaskStatus};

use crate::world::{DealWords, World, deal_id, hash, minutes, seconds, standard, task, wallet};

#[test]
fn a_worker_that_asks_is_given_a_task_of_a_deal() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    assert_eq!(world.replicate("ann", task(0)), [ReplicateStatus::Created]);
    assert_eq!(world.free_slots("ann"), 0);
}

#[test]
fn one_worker_suffices_for_trust_one() {
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.ask("bob").is_nothing();
}

#[test]
fn no_more_replicates_are_given_than_consensus_needs() {
    // Weight 2 each: trust 5 needs a product above 4, three workers (spec scheduler-logic §6).
    let mut world = World::new()
        .workers(["ann", "bob", "cat", "dan"])
        .deal(standard().trust(5));
    for name in ["ann", "bob", "cat"] {
        world.ask(name).is_given(task(0));
    }
    world.ask("dan").is_nothing();
}

#[test]
fn a_worker_that_disagrees_makes_room_for_more() {
    let mut world = World::new()
        .workers(["ann", "bob", "cat", "dan"])
        .deal(standard().trust(3));
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "good");
    world
        .computes("bob", task(0))
        .contributes("bob", task(0), "bad");
    world.computes("cat", task(0));
    world.computes("dan", task(0));
}

#[test]
fn a_worker_gets_a_task_once_for_ever() {
    let mut world = World::new().workers(["ann"]).deal(standard().trust(5));
    world.computes("ann", task(0));
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
    world.pass(seconds(6));
    world
        .ask("ann")
        .is_nothing_because(&Unfit::AlreadyTookPart { replicate: Aborted });
}

#[test]
fn a_full_worker_is_given_nothing_more() {
    let mut world = World::new().workers(["ann"]).deal(standard().tasks(2));
    world.ask("ann").given();
    world.pass(seconds(6));
    world.ask("ann").is_nothing_because(&Unfit::NoFreeSlot {
        running: 1,
        slots: 1,
    });
}

#[test]
fn a_slot_is_free_again_once_the_result_is_computed() {
    let mut world = World::new().workers(["ann"]).deal(standard().tasks(2));
    let first = world.ask("ann").given();
    world.goes_to("ann", first, Computed).pass(seconds(6));
    assert_ne!(world.ask("ann").given(), first);
}

#[test]
fn a_worker_has_as_many_slots_as_processors_and_one_with_a_gpu() {
    let mut world = World::new();
    world.register("four", 4, false);
    world.register("gpu", 4, true);
    // scheduler-api Q29: less than one processor is no capacity.
    world.register("none", -3, false);
    assert_eq!(world.free_slots("four"), 4);
    assert_eq!(world.free_slots("gpu"), 1);
    assert_eq!(world.free_slots("none"), 0);
}

#[test]
fn a_gpu_deal_goes_to_workers_with_a_gpu_only() {
    // scheduler-api Q26: the original never looked at this bit.
    let mut world = World::new().workers(["ann"]).deal(standard().tag(Tag::GPU));
    world
        .ask("ann")
        .is_nothing_because(&Unfit::TagMissing(Tag::GPU));
    world.register("gpu", 4, true);
    world.ask("gpu").is_given(task(0));
}

#[test]
fn running_tasks_come_first_and_then_the_earliest_deadline() {
    let mut world = World::new().workers(["ann", "bob", "cat"]);
    world.matched(standard().trust(3));
    world.pass(minutes(1));
    world.matched(standard().trust(3));
    world.pass(minutes(1));
    let task_of = |deal| poco::ids::TaskId::of(deal_id(deal), 0);
    let first = world.ask("ann").is_given(task_of(1));
    first.goes_to("ann", task_of(1), Started);
    world.ask("bob").is_given(task_of(1));
    world.ask("cat").is_given(task_of(2));
}

#[test]
fn asks_are_limited_to_one_a_period_with_half_a_second_of_slack() {
    let mut world = World::new().workers(["ann"]);
    world.ask("ann").is_nothing();
    let free_at = world.now.saturating_add(seconds(5));
    world.pass(seconds(2));
    world.ask("ann").is(&Reply::RateLimited { until: free_at });
    world.pass(std::time::Duration::from_millis(2_501));
    world.ask("ann").is_nothing();
}

#[test]
fn asks_that_may_wait_are_not_limited_and_are_answered_when_a_task_comes() {
    let mut world = World::new().workers(["ann"]);
    world.ask("ann").is_nothing();
    let waiting = world
        .ask_with("ann", |ask| ask.wait = true)
        .has_no_answer_yet();
    world.matched(standard());
    world.pass(seconds(15));
    assert!(matches!(world.reply(waiting), Some(Reply::Given(given)) if given.task == task(0)));
}

#[test]
fn an_ask_waits_25_seconds_and_no_longer() {
    let mut world = World::new().workers(["ann"]);
    let waiting = world
        .ask_with("ann", |ask| ask.wait = true)
        .has_no_answer_yet();
    world.pass(seconds(24));
    assert_eq!(world.reply(waiting), None);
    world.pass(seconds(1));
    assert_eq!(
        world.reply(waiting),
        Some(&Reply::NothingNow { because: None })
    );
}

#[test]
fn waiting_asks_share_what_comes_and_nobody_gets_too_much() {
    let mut world = World::new().workers(["ann", "bob", "cat"]);
    let asks: Vec<_> = ["ann", "bob", "cat"]
        .into_iter()
        .map(|name| {
            world
                .ask_with(name, |ask| ask.wait = true)
                .has_no_answer_yet()
        })
        .collect();
    world.matched(standard().tasks(2));
    world.pass(seconds(15));
    let given = |ticket| matches!(world.reply(ticket), Some(Reply::Given(_)));
    assert_eq!(
        asks.into_iter().map(given).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[test]
fn a_second_waiting_ask_of_a_worker_ends_the_first() {
    let mut world = World::new().workers(["ann"]);
    let first = world
        .ask_with("ann", |ask| ask.wait = true)
        .has_no_answer_yet();
    let second = world
        .ask_with("ann", |ask| ask.wait = true)
        .has_no_answer_yet();
    assert_eq!(
        world.reply(first),
        Some(&Reply::NothingNow { because: None })
    );
    assert_eq!(world.reply(second), None);
}

#[test]
fn nothing_is_given_without_registration_gas_or_a_synchronised_node() {
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    let worker = wallet("eve");
    world
        .ask("eve")
        .is_nothing_because(&Unfit::NotRegistered { worker });
    world
        .ask_with("ann", |ask| ask.block = BlockNumber(0))
        .is_nothing_because(&Unfit::NodeNotSynced);
    world
        .ask_with("bob", |ask| ask.gas = false)
        .is_nothing_because(&Unfit::NoGas);
}

#[test]
fn only_allowed_workers_are_given_work() {
    // I8
    let settings = engine::Settings {
        allowed_workers: [wallet("ann")].into(),
        ..engine::Settings::default()
    };
    let mut world = World::with(settings)
        .workers(["ann", "bob"])
        .deal(standard());
    let worker = wallet("bob");
    world
        .ask("bob")
        .is_nothing_because(&Unfit::NotAllowed { worker });
    world.ask("ann").is_given(task(0));
}

#[test]
fn nothing_is_given_while_the_chain_cannot_be_read() {
    //
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.input(engine::Input::ChainHealth { up: false });
    world.ask("ann").is(&Reply::OutOfService);
    world.input(engine::Input::ChainHealth { up: true });
    world.ask("ann").is_given(task(0));
}

#[test]
fn nothing_is_given_when_too_little_time_is_left_to_compute() {
    // R-16, with a reserve: contributions close after 35 minutes and a computation may take 5.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.pass(minutes(30));
    world.ask("ann").is_nothing();
    assert!(matches!(
        world.engine.fit(world.now, wallet("ann"), task(0)),
        Err(Unfit::WindowCloses { .. })
    ));
}

#[test]
fn what_the_chain_s_clock_leaves_no_time_for_is_off_the_offer_though_ours_is_behind() {
    let mut world = World::new().workers(["ann"]).deal(standard().tasks(3));
    assert_eq!(world.engine.figures(world.now).open_tasks, 3);
    let block = world.chain.mine(world.now.saturating_add(minutes(30)));
    world.input(engine::Input::Advanced {
        to: block.block,
        head: block.block.number,
        facts: block.facts,
    });
    assert_eq!(world.engine.figures(world.now).open_tasks, 0);
}

#[test]
fn a_draining_pool_and_a_cordoned_worker_get_nothing_new_until_resumed() {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().tasks(2));
    world.order(Order::Drain);
    let since = world.now;
    world
        .ask("ann")
        .is_nothing_because(&Unfit::PoolDraining { since });
    world.order(Order::Resume);
    world.order(Order::Cordon(wallet("ann")));
    world.pass(seconds(6));
    world
        .ask("ann")
        .is_nothing_because(&Unfit::WorkerCordoned { since });
    world.ask("bob").given();
    world.order(Order::Uncordon(wallet("ann")));
    world.pass(seconds(6));
    world.ask("ann").given();
}

#[test]
fn an_aborted_replicate_frees_its_slot_and_makes_room_at_once() {
    // the original kept slot and place for one whole period.
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Computing);
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
    assert_eq!(world.free_slots("ann"), 1);
    world.ask("bob").is_given(task(0));
}

#[test]
fn a_failed_download_that_is_a_result_still_counts_as_work_under_way() {
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), ReplicateStatus::AppDownloading);
    let details = engine::ReportDetails {
        cause: Some(ReplicateStatusCause::AppImageDownloadFailed),
        ..engine::ReportDetails::default()
    };
    world
        .report_with("ann", task(0), AppDownloadFailed, details)
        .is_accepted(PleaseContribute);
    assert_eq!(world.free_slots("ann"), 1);
    world.ask("bob").is_nothing();
    world.contributes("ann", task(0), "error");
    assert_eq!(world.status(task(0)), TaskStatus::ConsensusReached);
}

#[test]
fn a_replicate_older_than_the_longest_execution_makes_room_for_another() {
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Computing);
    world.pass(minutes(4));
    world.ask("bob").is_nothing();
    world.pass(minutes(1)).pass(seconds(1));
    world.ask("bob").is_given(task(0));
}

#[test]
fn a_worker_that_never_got_the_answer_is_given_the_same_replicate_again() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.pass(seconds(6));
    world.ask("ann").is_nothing();
    world.pass(seconds(25));
    world.ask("ann").is_given(task(0));
    assert_eq!(world.replicate("ann", task(0)), [ReplicateStatus::Created]);
    world.goes_to("ann", task(0), Started).pass(minutes(1));
    world.ask("ann").is_nothing();
}

#[test]
fn a_worker_that_contributed_without_us_knowing_is_given_nothing() {
    let mut world = World::new().workers(["ann"]).deal(standard().trust(5));
    world.send(crate::world::Tx::Contribute(
        task(0),
        wallet("ann"),
        hash("a"),
    ));
    world.mine();
    world.ask("ann").is_nothing();
}

#[test]
fn a_worker_whose_contribution_the_chain_drops_may_have_the_task_again() {
    let mut world = World::new().workers(["ann"]).deal(standard().trust(5));
    let contribution = crate::world::Tx::Contribute(task(0), wallet("ann"), hash("a"));
    world.send(contribution.clone());
    world.mine();
    world
        .ask("ann")
        .is_nothing_because(&Unfit::AlreadyTookPart {
            replicate: ReplicateStatus::Contributed,
        });
    let waiting = world
        .ask_with("ann", |ask| ask.wait = true)
        .has_no_answer_yet();
    world.reorganise(1, |tx| *tx != contribution);
    assert!(matches!(world.reply(waiting), Some(Reply::Given(given)) if given.task == task(0)));
}

#[test]
fn no_more_tasks_are_initialised_ahead_than_allowed() {
    let settings = engine::Settings {
        initialize_ahead: 3,
        ..engine::Settings::default()
    };
    let mut world = World::with(settings)
        .workers(["ann"])
        .deal(standard().tasks(9));
    let count = |world: &World| world.commanded(engine::Purpose::Initialize);
    assert_eq!(count(&world), 3);
    for (index, initialised) in (0..).zip([3, 5, 5, 7]) {
        world.pass(seconds(10));
        world.ask("ann").is_given(task(index));
        world.goes_to("ann", task(index), ReplicateStatus::Computed);
        assert_eq!(count(&world), initialised);
    }
}

#[test]
fn tasks_of_a_bag_are_given_in_the_order_of_their_indexes_and_initialised_several_at_a_time() {
    let mut world = World::new().deal(standard().tasks(60));
    world.register("ann", 2, false);
    let mut times = Vec::new();
    for index in 0..60 {
        world.pass(seconds(10));
        world.ask("ann").is_given(task(index));
        world.goes_to("ann", task(index), ReplicateStatus::Computed);
        times.push(world.commanded(engine::Purpose::Initialize));
    }
    times.dedup();
    assert_eq!(times, [32, 48, 60]);
}

#[test]
fn a_bag_is_initialised_as_workers_come_free_for_it() {
    let mut world = World::new().deal(standard().tasks(300));
    let count = |world: &World| world.commanded(engine::Purpose::Initialize);
    world.pass(minutes(1));
    assert_eq!(count(&world), 16, "with nobody there");
    world.register("ten", 10, false);
    world.pass(seconds(10));
    assert_eq!(count(&world), 160, "sixteen for each slot");
    world.silence("ten").pass(minutes(2));
    world.register("eve", 1, false);
    world.ask("eve").given();
    world.pass(seconds(10));
    assert_eq!(count(&world), 160, "those that are gone count no more");
}

#[test]
fn tasks_for_a_machine_that_is_not_there_keep_no_others_waiting() {
    let mut world = World::new()
        .workers(["ann"])
        .deal(standard().tag(Tag::GPU).tasks(50))
        .deal(standard());
    world.pass(seconds(10));
    assert_eq!(world.commanded(engine::Purpose::Initialize), 17);
    let given = world.ask("ann").given();
    assert_eq!(world.stored.tasks[&given].deal, deal_id(2));
}

#[test]
fn who_hung_up_while_waiting_is_given_nothing() {
    let mut world = World::new().workers(["ann", "bob"]);
    let ticket = world
        .ask_with("ann", |ask| ask.wait = true)
        .has_no_answer_yet();
    world.input(engine::Input::HungUp { ticket });
    let mut world = world.deal(standard());
    assert_eq!(world.reply(ticket), None);
    world.ask("bob").is_given(task(0));
}

#[test]
fn an_absurd_trust_overflows_nothing() {
    // 32-bit products wrapped around.
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(u64::MAX));
    world.ask("ann").is_given(task(0));
    world
        .ask_with("bob", |ask| ask.weight = Some(u64::MAX))
        .is_given(task(0));
    world.register("cat", 1, false);
    world.ask("cat").is_nothing();
}
