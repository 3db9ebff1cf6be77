//! Answers that never arrive: Feign sends the same request again, up to five times (spec scheduler-api §1.2, Q16).

use poco::ids::TaskId;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::jackson::Bodies;
use crate::support::{World, eventually};
use crate::worker::{JavaWorker, TO_COMPUTING, Variant, body, receipt};

/// The attempts that are left after the first one.
const MORE: usize = 4;

/// Posts a report and hangs up once it is taken, without a look at the answer.
async fn lost(world: &World, worker: &JavaWorker, task: TaskId, status: &str, report: &str) {
    let host = world.base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "POST /replicates/{task}/updateStatus HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Accept: */*\r\nUser-Agent: Java/17.0.15\r\nHost: {host}\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\r\n{report}",
        worker.token,
        report.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    eventually("the report is taken", async || {
        let model = world.get(&path).await.json();
        (model["currentStatus"] == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_answer_was_lost_is_answered_with_its_next_action_each_time() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let (computed, details) = Variant::Nine.ended(0);
    let mut steps: Vec<_> = TO_COMPUTING
        .iter()
        .map(|(status, next)| (*status, *next, Value::Null))
        .collect();
    steps.push((computed, "PLEASE_CONTRIBUTE", details));
    steps.push(("CONTRIBUTING", "PLEASE_CONTINUE", Value::Null));
    for (status, next, details) in steps {
        let report = body(status, &details);
        lost(&world, &worker, task, status, &report).await;
        for _ in 0..MORE {
            let again = worker.post_report(&world, task, &report).await;
            bodies.add_for(Variant::Nine, "/updateStatus", &again);
            assert_eq!(
                (again.status.as_u16(), again.text),
                (208, format!("\"{next}\"")),
                "{status}"
            );
        }
    }
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let model = world.get(&path).await.json();
    let history = model["statusUpdateList"].as_array().unwrap();
    assert_eq!(history.len(), 10, "each status is there once: {model}");
    bodies.decode();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_waits_for_its_block_may_come_twice_at_a_time() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    worker
        .reports(&world, task, &TO_COMPUTING, &mut bodies)
        .await;
    let (status, details) = Variant::Nine.ended(0);
    worker
        .report(&world, task, status, details, &mut bodies)
        .await;
    let steps = [("CONTRIBUTING", "PLEASE_CONTINUE")];
    worker.reports(&world, task, &steps, &mut bodies).await;
    let report = body("CONTRIBUTED", &receipt(world.node.head() + 1));
    let mined = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let result = alloy_primitives::B256::repeat_byte(1);
        world.node.contribute(task, worker.key.address(), result)
    };
    let (first, second, _) = tokio::join!(
        worker.post_report(&world, task, &report),
        worker.post_report(&world, task, &report),
        mined
    );
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 208]);
    assert_eq!(
        (&*first.text, &*second.text),
        ("\"PLEASE_WAIT\"", "\"PLEASE_WAIT\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_that_a_worker_posts_may_come_again_too() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let mut worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let model = json!({"name": "worker1", "cpuNb": 1}).to_string();
    let first = worker.post(&world, "/workers/register", &model).await;
    for _ in 0..MORE {
        let again = worker.post(&world, "/workers/register", &model).await;
        assert_eq!(
            (again.status.as_u16(), again.text),
            (200, first.text.clone())
        );
        assert_eq!(worker.post(&world, "/workers/ping", "").await.status, 200);
    }
    // Its login too (`login.rs`); and it may begin a new one.
    let token = worker.token.clone();
    worker.log_in(&world).await;
    for token in [token, worker.token.clone()] {
        worker.token = token;
        assert_eq!(worker.post(&world, "/workers/ping", "").await.status, 200);
    }
    // An ask whose answer was lost leaves the slot taken; the same task is not given to another, nor a second one to this.
    let tasks = world.deal(2, 1).await;
    worker.is_given(&world, tasks[0], &mut bodies).await;
    for _ in 0..MORE {
        assert_eq!(worker.ask(&world).await.status, 204);
    }
    let path = format!("/tasks/{}", tasks[1]);
    assert_eq!(world.get(&path).await.json()["replicates"], json!([]));
}
