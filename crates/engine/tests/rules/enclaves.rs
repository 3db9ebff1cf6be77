//! Deals that demand an enclave: its challenge is asked of the SMS once the task is on the chain, and only machines with such
//! an enclave are given the task.

use engine::{Enclave, Purpose, Settings, Unfit, WorkerProfile};
use poco::tag::{Tag, TeeFramework};
use wire::status::ReplicateStatus::{
    Aborted, AppDownloadFailed, AppDownloading, ComputeFailed, Computed, Computing,
    ContributeAndFinalizeOngoing,
};
use wire::status::ReplicateStatusCause;
use wire::status::TaskNotificationType::{
    PleaseAbort, PleaseContinue, PleaseContribute, PleaseContributeAndFinalize, PleaseWait,
};
use wire::status::TaskStatus::{
    Completed, Failed, Finalized, InitializeFailed, Initialized, Initializing, Received, Running,
    RunningFailed,
};

use crate::world::{
    DealWords, World, at_block, deal_id, minutes, seconds, standard, task, wallet, with_link,
};

fn serving(frameworks: &[TeeFramework]) -> World {
    World::with(Settings {
        frameworks: frameworks.iter().copied().collect(),
        ..Settings::default()
    })
}

trait Machines {
    /// A worker that says it can do SGX, TDX.
    fn machine(self, name: &str, sgx: bool, tdx: bool) -> Self;
}

impl Machines for World {
    fn machine(mut self, name: &str, sgx: bool, tdx: bool) -> Self {
        let profile = WorkerProfile {
            cpu_nb: 1,
            sgx,
            tdx,
            ..WorkerProfile::default()
        };
        self.register_as(name, profile);
        self
    }
}

fn scone() -> World {
    serving(&[TeeFramework::Scone])
        .machine("ann", true, false)
        .deal(standard().tag(Tag::SCONE))
}

#[test]
fn a_task_is_offered_once_its_enclave_is_known_and_carries_it() {
    let mut world = serving(&[TeeFramework::Scone]).machine("ann", true, false);
    world.sms_down = true;
    let mut world = world.deal(standard().tag(Tag::SCONE));
    world.pass(seconds(20));
    assert_eq!(world.path(task(0)), [Received, Initializing]);
    assert!(
        world.commanded(Purpose::EnclaveChallenge) > 1,
        "it is asked again"
    );
    world.ask("ann").is_nothing();

    world.sms_down = false;
    world.pass(seconds(60));
    assert_eq!(world.path(task(0)), [Received, Initializing, Initialized]);
    let enclave = Enclave {
        challenge: wallet(&format!("enclave of {}", task(0))),
        sms_url: "https://SCONE.example".to_owned(),
    };
    assert_eq!(world.stored.tasks[&task(0)].enclave, Some(enclave.clone()));
    world.ask("ann").is_given(task(0));
    let missed = world.interrupted("ann", Default::default()).missed_one();
    assert_eq!(missed.assignment.enclave, Some(enclave));
}

#[test]
fn nothing_is_asked_before_the_chain_shows_the_task() {
    let mut world = serving(&[TeeFramework::Scone]).machine("ann", true, false);
    world.outbox_stuck = true;
    let mut world = world.deal(standard().tag(Tag::SCONE));
    world.pass(minutes(1));
    assert_eq!(world.commanded(Purpose::EnclaveChallenge), 0);
    world.outbox_stuck = false;
    world.pass(minutes(1));
    assert_eq!(world.commanded(Purpose::EnclaveChallenge), 1);
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn a_question_under_way_at_a_restart_is_put_again_and_an_answer_is_kept() {
    let mut world = serving(&[TeeFramework::Scone]).machine("ann", true, false);
    world.sms_down = true;
    let mut world = world.deal(standard().tag(Tag::SCONE));
    world.pass(seconds(15));
    world.sms_down = false;
    world.restart();
    world.pass(seconds(60));
    assert_eq!(world.status(task(0)), Initialized);
    let asked = world.commanded(Purpose::EnclaveChallenge);
    world.restart();
    world.pass(seconds(60));
    assert_eq!(world.commanded(Purpose::EnclaveChallenge), asked);
    world.ask("ann").is_given(task(0));
}

#[test]
fn a_task_whose_sms_never_answers_fails_when_contributions_close_and_says_why() {
    let mut world = serving(&[TeeFramework::Scone]).machine("ann", true, false);
    world.sms_down = true;
    let mut world = world.deal(standard().tag(Tag::SCONE));
    world.pass(minutes(36));
    assert_eq!(
        world.path(task(0)),
        [Received, Initializing, InitializeFailed, Failed]
    );
    let failure = world.stored.tasks[&task(0)].failure.clone().unwrap();
    assert!(failure.contains("the SMS does not answer"), "{failure}");
}

#[test]
fn the_chain_may_drop_the_initialisation_and_the_enclave_stays() {
    let mut world = scone();
    world.pass(seconds(10));
    world.ask("ann").is_given(task(0));
    world.reorganise(100, |_| true);
    world.pass(minutes(2));
    assert!(world.stored.tasks[&task(0)].enclave.is_some());
    assert_eq!(world.commanded(Purpose::EnclaveChallenge), 1);
}

#[test]
fn only_machines_with_such_an_enclave_are_given_the_task() {
    let all = [
        TeeFramework::Scone,
        TeeFramework::Gramine,
        TeeFramework::Tdx,
    ];
    for (tag, whose) in [
        (Tag::SCONE, "sgx"),
        (Tag::GRAMINE, "sgx"),
        (Tag::TDX, "tdx"),
    ] {
        let mut world = serving(&all)
            .machine("none", false, false)
            .machine("sgx", true, false)
            .machine("tdx", false, true)
            .deal(standard().tag(tag));
        world.pass(seconds(10));
        for name in ["none", "sgx", "tdx"] {
            if name != whose {
                world.ask(name).is_nothing_because(&Unfit::TagMissing(tag));
            }
        }
        world.ask(whose).is_given(task(0));
    }
}

#[test]
fn a_machine_with_an_enclave_computes_standard_tasks_too() {
    let mut world = serving(&[TeeFramework::Tdx])
        .machine("ann", false, true)
        .machine("bob", false, false)
        .deal(standard().tag(Tag::TDX))
        .deal(standard());
    world.pass(seconds(10));
    let standard = poco::ids::TaskId::of(deal_id(2), 0);
    world.ask("bob").is_given(standard);
    world.ask("ann").is_given(task(0));
    let mut world = serving(&[TeeFramework::Tdx])
        .machine("ann", false, true)
        .deal(self::standard());
    world.pass(seconds(10));
    world.ask("ann").is_given(task(0));
}

#[test]
fn a_framework_without_an_sms_is_refused_and_says_so() {
    let world = serving(&[TeeFramework::Tdx]).deal(standard().tag(Tag::SCONE));
    let refused = world.stored.deals[&deal_id(1)].refused.clone().unwrap();
    assert!(refused.contains("SCONE"), "{refused}");
    assert_eq!(world.commanded(Purpose::Initialize), 0);
}

#[test]
fn the_worker_of_a_task_of_trust_1_is_told_to_finish_it_with_one_transaction() {
    let mut world = scone();
    world.pass(seconds(10));
    world.ask("ann").is_given(task(0));
    world.goes_to("ann", task(0), Computing);
    world
        .report("ann", task(0), Computed)
        .is_accepted(PleaseContributeAndFinalize);
    // Its answer was lost.
    world
        .report("ann", task(0), Computed)
        .is_known(PleaseContributeAndFinalize);
    world
        .report("ann", task(0), ContributeAndFinalizeOngoing)
        .is_accepted(PleaseContinue);
    world.uploaded.insert(task(0));
    world.send(crate::world::alone(task(0), "ann", "result"));
    world.now = world.now.saturating_add(seconds(1));
    let block = world.mine();
    let details = engine::ReportDetails {
        block: Some(block),
        ..with_link()
    };
    let done = wire::status::ReplicateStatus::ContributeAndFinalizeDone;
    let ticket = world.report_with("ann", task(0), done, details).ticket;
    world.carry_out();
    assert_eq!(
        world.reply(ticket),
        Some(&engine::Reply::Accepted(PleaseWait))
    );
    assert_eq!(
        world.path(task(0)),
        [
            Received,
            Initializing,
            Initialized,
            Running,
            Finalized,
            Completed
        ]
    );
}

#[test]
fn a_task_of_higher_trust_goes_the_classic_way() {
    let mut world = serving(&[TeeFramework::Scone])
        .machine("ann", true, false)
        .machine("bob", true, false)
        .deal(standard().tag(Tag::SCONE).trust(3));
    world.pass(seconds(10));
    for name in ["ann", "bob"] {
        world.ask(name).is_given(task(0));
        world.goes_to(name, task(0), Computing);
        world
            .report(name, task(0), Computed)
            .is_accepted(PleaseContribute);
        let block = world.sends_contribution(name, task(0), "result");
        world
            .report_with(
                name,
                task(0),
                wire::status::ReplicateStatus::Contributed,
                at_block(block),
            )
            .is_accepted(PleaseWait);
    }
    assert!(
        world
            .path(task(0))
            .contains(&wire::status::TaskStatus::ConsensusReached)
    );
}

#[test]
fn a_task_is_given_up_when_every_machine_that_could_run_it_failed() {
    // in the original also with nobody there, and never with other workers in the pool.
    let mut world = scone()
        .machine("bob", true, false)
        .machine("standard", false, true);
    world.pass(seconds(10));
    for name in ["ann", "bob"] {
        assert_ne!(world.status(task(0)), Failed);
        world.ask(name).is_given(task(0));
        world.goes_to(name, task(0), Computing);
        world
            .report(name, task(0), ComputeFailed)
            .is_accepted(PleaseAbort);
        world.report(name, task(0), Aborted).is_accepted(PleaseWait);
    }
    world.pass(seconds(5));
    assert_eq!(
        world.path(task(0)),
        [
            Received,
            Initializing,
            Initialized,
            Running,
            RunningFailed,
            Failed
        ]
    );
}

#[test]
fn nobody_there_is_not_everybody_failed() {
    let mut world = scone();
    world.pass(seconds(10));
    world.ask("ann").is_given(task(0));
    world.goes_to("ann", task(0), Computing);
    world.silence("ann");
    world.pass(minutes(5));
    assert_eq!(world.status(task(0)), Running);
}

#[test]
fn a_question_is_put_again_when_the_chain_dropped_the_task_and_the_process_ended_meanwhile() {
    let mut world = serving(&[TeeFramework::Scone]).machine("ann", true, false);
    world.sms_silent = true;
    let mut world = world.deal(standard().tag(Tag::SCONE));
    world.pass(seconds(20));
    assert_eq!(world.status(task(0)), Initializing);
    world.reorganise(2, |_| true);
    world.restart();
    world.sms_silent = false;
    world.pass(minutes(2));
    assert_eq!(world.status(task(0)), Initialized);
    world.ask("ann").is_given(task(0));
}

#[test]
fn an_sms_that_is_away_is_asked_less_and_less_often() {
    let mut world = serving(&[TeeFramework::Scone]).machine("ann", true, false);
    world.unreachable.insert(task(0));
    let mut world = world.deal(standard().tag(Tag::SCONE));
    world.pass(minutes(5));
    let asked = world.commanded(Purpose::Initialize);
    assert!((20..60).contains(&asked), "{asked} in five minutes");
    world.unreachable.clear();
    world.pass(seconds(30));
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn a_failure_that_is_contributed_gives_nothing_up() {
    let mut world = scone();
    world.pass(minutes(2));
    world.ask("ann").is_given(task(0));
    world.goes_to("ann", task(0), AppDownloading);
    let details = engine::ReportDetails {
        cause: Some(ReplicateStatusCause::AppImageDownloadFailed),
        ..Default::default()
    };
    world
        .report_with("ann", task(0), AppDownloadFailed, details)
        .is_accepted(PleaseContribute);
    world.pass(minutes(1));
    assert_eq!(world.status(task(0)), Running);
}

#[test]
fn one_that_fell_silent_may_come_back_with_its_result() {
    let mut world = scone().machine("bob", true, false);
    world.pass(minutes(2));
    world.ask("bob").is_given(task(0));
    world.goes_to("bob", task(0), Computing);
    world.silence("bob");
    world.pass(minutes(2));
    world.ask("ann").is_given(task(0));
    world.goes_to("ann", task(0), Computing);
    world
        .report("ann", task(0), ComputeFailed)
        .is_accepted(PleaseAbort);
    world.pass(seconds(30));
    assert_eq!(world.status(task(0)), Running);
}

#[test]
fn after_a_start_nobody_has_failed_who_had_no_time_to_show() {
    let mut world = scone().machine("bob", true, false);
    world.pass(minutes(2));
    world.ask("ann").is_given(task(0));
    world.goes_to("ann", task(0), Computing);
    world
        .report("ann", task(0), ComputeFailed)
        .is_accepted(PleaseAbort);
    world.restart();
    world.pass(seconds(5));
    assert_eq!(world.status(task(0)), Running);
    world.ask("bob").is_given(task(0));
}
