//! What the fuzzer found worth keeping, once more: see `fuzz/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test stops at once on what cannot happen; the targets are public in their own crate"
)]

#[path = "../../../fuzz/src/challenge.rs"]
mod challenge;
#[path = "../../../fuzz/src/json.rs"]
mod json;
#[path = "../../../fuzz/src/jwt.rs"]
mod jwt;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/sockjs.rs"]
mod sockjs;
#[path = "../../../fuzz/src/stomp.rs"]
mod stomp;

use replay::replay;

#[test]
fn sockjs_keeps_its_promises() {
    replay("sockjs", sockjs::run);
}

#[test]
fn stomp_keeps_its_promises() {
    replay("stomp", stomp::run);
}

#[test]
fn tokens_keep_their_promises() {
    replay("jwt", jwt::run);
}

#[test]
fn challenges_keep_their_promises() {
    replay("challenge", challenge::run);
}

#[test]
fn bodies_and_queries_keep_their_promises() {
    replay("json", json::run);
}
