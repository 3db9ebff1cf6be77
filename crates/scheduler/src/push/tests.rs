use super::*;
use alloy_primitives::{Address, B256};
use engine::{Engine, Notice, Recipients};
use poco::units::Timestamp;
use store::{Batch, Identity, Store};
use wire::sockjs::session::Next;
use wire::status::TaskNotificationType;

const CONNECT: &str = "CONNECT\naccept-version:1.1,1.2\n\n\0";

fn task(n: u8) -> TaskId {
    TaskId(B256::repeat_byte(n))
}

fn told(task: TaskId, workers: usize) -> TaskNotification {
    TaskNotification {
        chain_task_id: task,
        workers_address: Some(vec![Address::repeat_byte(1); workers]),
        task_notification_type: TaskNotificationType::PleaseReveal,
        task_notification_extra: None,
    }
}

fn listener(push: &Push, id: &str, tasks: &[TaskId]) -> Receiving {
    let receiving = push.take(id, Transport::Streaming).unwrap();
    assert_eq!(receiving.next(), Next::Frame("o".into()));
    assert!(push.hear(receiving.line(), CONNECT, |_| false).is_empty());
    for (number, task) in tasks.iter().enumerate() {
        let text = format!("SUBSCRIBE\ndestination:{TOPIC}{task}\nid:{number}\n\n\0");
        assert_eq!(push.hear(receiving.line(), &text, |_| false), [*task]);
    }
    let Next::Frame(answer) = receiving.next() else {
        panic!("no answer to CONNECT")
    };
    assert!(
        answer.starts_with(r#"a["CONNECTED\nversion:1.2"#),
        "{answer}"
    );
    receiving
}

fn messages(receiving: &Receiving) -> Vec<String> {
    std::iter::from_fn(|| match receiving.next() {
        Next::Frame(frame) => Some(frame),
        _ => None,
    })
    .collect()
}

#[test]
fn a_notification_comes_to_whoever_listens_to_its_task_and_to_nobody_else() {
    let push = Push::new(10);
    let one = listener(&push, "one", &[task(1), task(2)]);
    let other = listener(&push, "other", &[task(2)]);
    push.publish(&told(task(1), 0));
    push.publish(&told(task(2), 1));
    push.publish(&told(task(3), 1));
    let (to_one, to_other) = (messages(&one), messages(&other));
    assert_eq!((to_one.len(), to_other.len()), (2, 1));
    assert!(
        to_one[0].contains(r"subscription:0\nmessage-id:one-0\n"),
        "{to_one:?}"
    );
    assert!(
        to_one[1].contains(r"subscription:1\nmessage-id:one-1\n"),
        "{to_one:?}"
    );
    assert!(to_other[0].contains("PLEASE_REVEAL"), "{to_other:?}");
    push.hear(one.line(), "UNSUBSCRIBE\nid:1\n\n\0", |_| false);
    push.publish(&told(task(2), 1));
    assert!(messages(&one).is_empty());
    assert_eq!(messages(&other).len(), 1);
}

#[test]
fn a_notification_to_very_many_comes_in_parts_that_a_frame_has_room_for() {
    let push = Push::new(10);
    let one = listener(&push, "one", &[task(2)]);
    push.publish(&told(task(2), 2_500));
    let parts = messages(&one);
    assert_eq!(parts.len(), 3);
    let named = |part: &String| part.matches("0x0101010101").count();
    assert_eq!(
        parts.iter().map(named).collect::<Vec<_>>(),
        [1_000, 1_000, 500]
    );
    assert!(
        parts
            .iter()
            .all(|part| part.len() < wire::stomp::LONGEST_FRAME)
    );
}

#[test]
fn sessions_are_forgotten_with_what_they_listened_to_when_their_clients_are_gone() {
    let push = Push::new(1);
    let one = listener(&push, "one", &[task(1)]);
    let full = push.take("two", Transport::Streaming);
    assert_eq!(full.map(|_| ()), Err(NotServed::Full));
    push.sweep(Instant::now());
    assert!(push.find("one").is_some());
    drop(one);
    let held = push.find("one").unwrap();
    push.sweep(Instant::now() + Duration::from_secs(6));
    assert!(push.find("one").is_none() && push.topics.all().is_empty());
    // What was on its way to it comes too late, and leaves nothing behind.
    let late = format!("SUBSCRIBE\ndestination:{TOPIC}{}\nid:7\n\n\0", task(2));
    assert!(push.hear(&held, &late, |_| true).is_empty() && push.topics.all().is_empty());
    assert!(push.take("two", Transport::Streaming).is_ok());
}

#[test]
fn a_token_must_be_right_where_one_is_sent() {
    let push = Push::new(10);
    for (id, header, is_right) in [("a", "Bearer good", true), ("b", "Bearer bad", false)] {
        let receiving = push.take(id, Transport::Streaming).unwrap();
        receiving.next();
        let text = format!("CONNECT\naccept-version:1.2\nAuthorization:{header}\n\n\0");
        push.hear(receiving.line(), &text, |header| header == "Bearer good");
        let said = messages(&receiving).concat();
        assert_eq!(said.contains("CONNECTED"), is_right, "{said}");
        assert_eq!(matches!(receiving.next(), Next::Last(_)), !is_right);
    }
}

/// So many notices about a task, stored, and then told to whoever listens.
async fn tell(notices: &Notices, store: &Store, task: TaskId, count: usize) {
    let notice = Notice {
        task,
        to: Recipients::Everyone,
        kind: TaskNotificationType::PleaseReveal,
        block: None,
        abort_cause: None,
    };
    let engine = Engine::new(engine::Settings::default());
    let prepared = notices.prepare(&vec![notice; count], &engine);
    let batch = prepared.record(Batch::new(), Timestamp::from_secs(1_000));
    let committed = store.commit(batch).await.unwrap();
    notices.push(prepared.numbered(&committed.sequences));
}

#[tokio::test]
async fn a_channel_that_falls_behind_at_once_repeats_nothing_of_before_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity {
        role: "scheduler".into(),
        chain_id: 1,
        hub: Address::ZERO,
        pool: None,
    };
    let store = Store::open(folder.path(), &identity).unwrap();
    let notices = Notices::new(store.clone());
    tell(&notices, &store, task(1), 3).await;
    let push = Arc::new(Push::new(10));
    let one = listener(&push, "one", &[task(1)]);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn({
        let (push, notices) = (Arc::clone(&push), notices.clone());
        async move { push.serve(&notices, async { ended.await.unwrap() }).await }
    });
    // Until it listens.
    while notices.listeners() == 0 {
        tokio::task::yield_now().await;
    }
    // More than it can be behind, before it takes the first.
    tell(&notices, &store, task(1), 1_100).await;
    let mut said = Vec::new();
    while said.len() < 1_100 {
        one.something().await;
        said.extend(messages(&one));
    }
    end.send(()).unwrap();
    serving.await.unwrap().unwrap();
    said.extend(messages(&one));
    assert_eq!(said.len(), 1_100);
}
