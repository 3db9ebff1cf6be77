//! The scheduler as Java workers see it.
//!
//! What the original programs said to each other on a devnet is said to ours: every status code and every decoded value is the same, but for
//! what `DIFFERENCES.md` lists with its reason. And workers of versions 8 and 9 are played through what no recording shows, with ears as strict
//! as theirs; `VERSIONS.md` says where the two differ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod aborts;
mod again;
mod channel;
mod compare;
mod interrupted;
mod jackson;
mod life;
mod player;
mod reconnects;
mod recording;
mod retries;
#[path = "../support/mod.rs"]
mod support;
mod worker;

use std::collections::BTreeSet;

use compare::Differences;
use jackson::Bodies;
use player::Story;
use recording::{Exchange, exchanges};

const STORIES: [(&str, &str); 6] = [
    (
        "1",
        include_str!("recorded/1-start-login-register-ping-ask-with-nothing-to-do.jsonl"),
    ),
    ("2", include_str!("recorded/2-one-task-trust-1.jsonl")),
    ("3", include_str!("recorded/3-one-task-trust-3.jsonl")),
    (
        "4",
        include_str!("recorded/4-an-application-that-fails.jsonl"),
    ),
    (
        "5",
        include_str!("recorded/5-worker-killed-and-restarted-in-the-middle.jsonl"),
    ),
    (
        "6",
        include_str!("recorded/6-scheduler-restarted-while-workers-are-idle.jsonl"),
    ),
];

/// The rows of the table, without their reasons.
fn listed() -> BTreeSet<String> {
    let rows = include_str!("DIFFERENCES.md").lines();
    rows.filter(|row| row.starts_with("| `"))
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recording_is_answered_as_the_original_answered_it() {
    let mut differences = Differences::default();
    let mut bodies = Bodies::default();
    for (name, text) in STORIES {
        let exchanges = exchanges(text);
        let trust = if name == "3" { 3 } else { 1 };
        let mut story = Story::begin(name, trust, &exchanges).await;
        if name == "6" {
            story.world.restart().await;
        }
        for exchange in &exchanges {
            story.play(exchange, &mut differences, &mut bodies).await;
        }
        story.end(&mut differences, &mut bodies).await;
    }
    bodies.decode();
    let found = differences.found();
    let listed = listed();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "not in DIFFERENCES.md:\n{}\nonly there:\n{}",
        lines(&new),
        lines(&gone)
    );
}

fn lines(rows: &[&String]) -> String {
    rows.iter().map(|row| format!("  `{row}`\n")).collect()
}

#[test]
fn each_kind_of_exchange_was_recorded() {
    let all: Vec<Exchange> = STORIES
        .iter()
        .flat_map(|(_, text)| exchanges(text))
        .collect();
    for part in [
        "/workers/config",
        "/workers/challenge",
        "/workers/login",
        "/workers/register",
        "/workers/ping",
        "/version",
        "/replicates/available",
        "/replicates/interrupted",
        "/updateStatus",
        "/connect/info",
        "/xhr_streaming",
        "/xhr_send",
    ] {
        assert!(all.iter().any(|one| one.path.contains(part)), "{part}");
    }
}
