//! What the engine shows of itself.

use engine::{Input, Unfit};
use poco::tag::Tag;
use wire::status::ReplicateStatus::Computing;
use wire::status::TaskStatus;

use crate::world::{DealWords, World, minutes, seconds, standard, task, wallet};

#[test]
fn a_task_on_offer_is_explained_by_what_keeps_each_worker_from_it() {
    let mut world = World::new().workers(["ann"]).deal(standard().tag(Tag::GPU));
    world.register("gpu", 1, true);
    let explained = world.engine.explain(world.now, task(0)).unwrap();
    assert_eq!(explained.status, TaskStatus::Initialized);
    let of = |name| {
        let found = explained
            .workers
            .iter()
            .find(|(one, _)| *one == wallet(name));
        found.unwrap().1.clone()
    };
    assert_eq!(of("ann"), Err(Unfit::TagMissing(Tag::GPU)));
    assert_eq!(of("gpu"), Ok(()));
}

#[test]
fn a_covered_task_says_how_many_are_at_it() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    let explained = world.engine.explain(world.now, task(0)).unwrap();
    assert_eq!(
        explained.because,
        ["1 replicate(s) under way and 0 contributed are enough for trust 1"]
    );
    assert!(explained.next_look.is_some_and(|at| at > world.now));
}

#[test]
fn a_transaction_that_does_not_go_through_is_explained_with_its_reason() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let key = world.undone.pop_front().unwrap().key;
    let reason = "insufficient funds".to_owned();
    let outcome = engine::Outcome::Refused { reason };
    world.input(Input::Done { key, outcome });
    let explained = world.engine.explain(world.now, task(0)).unwrap();
    let told = explained
        .because
        .iter()
        .any(|line| line.contains("insufficient funds"));
    assert!(told, "{:?}", explained.because);
}

#[test]
fn figures_count_living_workers_and_what_they_compute() {
    let mut world = World::new().workers(["ann"]).deal(standard().tasks(2));
    world.register("bob", 3, false);
    world.register("gpu", 8, true);
    let id = world.ask("ann").given();
    world.goes_to("ann", id, Computing);
    world.ask("gpu").given();
    let figures = world.engine.figures(world.now);
    assert_eq!(figures.alive_workers, 3);
    assert_eq!((figures.registered_cpus, figures.computing_cpus), (4, 1));
    assert_eq!((figures.registered_gpus, figures.computing_gpus), (1, 1));
    assert_eq!(figures.tasks_by_status[&TaskStatus::Running], 1);
    world.silence("ann").pass(minutes(1)).pass(seconds(5));
    assert_eq!(world.engine.figures(world.now).alive_workers, 2);
}

#[test]
fn every_step_is_recorded_in_words_with_who_and_which() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.does_it_all("ann", task(0));
    let texts: Vec<&str> = world
        .stored
        .events
        .iter()
        .filter(|event| event.task == Some(task(0)))
        .map(|event| event.text.as_str())
        .collect();
    for expected in [
        "RECEIVED -> INITIALIZING: initialize is sent",
        "given to the worker",
        "RUNNING -> CONSENSUS_REACHED: consensus on the chain",
        "FINALIZING -> FINALIZED, COMPLETED: finalised on the chain",
    ] {
        assert!(
            texts.contains(&expected),
            "{expected:?} is missing in {texts:#?}"
        );
    }
}
