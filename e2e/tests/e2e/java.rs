//! Workers of the original beside ours: they log in once, hold a session of the push channel, and come back by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::process::until;
use e2e::sdk::{self, Wish};
use e2e::world::{Plan, World};
use loadgen::{Fleet, Listener, Member};
use poco::ids::TaskId;
use url::Url;

use crate::turn;

const WORKERS: u64 = 100;
const KILLS: usize = 20;
const A_WHILE: Duration = Duration::from_secs(60);
/// As the original looks again after its session, but sooner.
const AGAIN: Duration = Duration::from_millis(500);

/// One Java worker's session, as it is now.
#[derive(Debug, Default)]
struct Session {
    opened: AtomicUsize,
    is_open: AtomicBool,
}

/// Opens a session again and again, and listens.
async fn hold(scheduler: Url, task: TaskId, session: Arc<Session>) {
    let client = reqwest::Client::new();
    loop {
        if let Ok(mut listener) = Listener::open(&client, &scheduler).await
            && listener.subscribe(task).await.is_ok()
        {
            session.opened.fetch_add(1, Ordering::SeqCst);
            session.is_open.store(true, Ordering::SeqCst);
            while listener.next().await.is_ok() {}
            session.is_open.store(false, Ordering::SeqCst);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sessions_come_back_after_each_of_twenty_kills_and_no_task_is_lost() {
    let _turn = turn().await;
    let mut world = World::start(Plan {
        workers: 2,
        slots: 2,
        ..Plan::default()
    })
    .await
    .unwrap();
    let wish = Wish {
        volume: 60,
        trust: 1,
        category: 0,
        args: "through it all".into(),
    };
    let chain_dir = world.dir().join("chain");
    let deals = sdk::buy(&chain_dir, "1 RLC", "2 RLC", &[wish])
        .await
        .unwrap();
    let tasks = deals[0].tasks.clone();

    let scheduler: Url = world.scheduler_url.parse().unwrap();
    let keys: Vec<_> = (0..WORKERS).map(|n| loadgen::key(n).unwrap()).collect();
    let fleet = Fleet::join(scheduler.clone(), keys, 1).await.unwrap();
    let sessions: Vec<Arc<Session>> = (0..WORKERS).map(|_| Arc::default()).collect();
    let holding: Vec<_> = sessions
        .iter()
        .map(|session| {
            tokio::spawn(hold(
                scheduler.clone(),
                TaskId(tasks[59]),
                Arc::clone(session),
            ))
        })
        .collect();
    for kill in 0..=KILLS {
        until("every session", A_WHILE, || async {
            let is_back = |session: &Arc<Session>| {
                session.is_open.load(Ordering::SeqCst)
                    && session.opened.load(Ordering::SeqCst) > kill
            };
            Ok(sessions.iter().all(is_back).then_some(()))
        })
        .await
        .unwrap_or_else(|error| panic!("after kill {kill}: {error:#}\n{}", world.logs()));
        // Nobody has to log in again.
        for member in fleet.members() {
            ping(&fleet, member).await;
        }
        if kill < KILLS {
            world.pool.kill_and_restart().unwrap();
        }
    }
    world
        .all_complete(&tasks, Duration::from_secs(300))
        .await
        .unwrap();
    world.audit().await.unwrap();
    for one in holding {
        one.abort();
    }
}

async fn ping(fleet: &Fleet, member: &Member) {
    fleet
        .client()
        .ping(&member.token)
        .await
        .unwrap_or_else(|error| panic!("{:#x}: {error}", member.wallet));
}
