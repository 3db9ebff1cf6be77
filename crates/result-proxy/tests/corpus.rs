//! What the fuzzer found worth keeping, once more: see `fuzz/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test stops at once on what cannot happen; the targets are public in their own crate"
)]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/upload.rs"]
mod upload;

#[test]
fn uploads_keep_their_promises() {
    replay::replay("upload", upload::run);
}
