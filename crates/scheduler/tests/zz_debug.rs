//! debug
mod support;
#[tokio::test]
async fn dbg() {
    let t = std::time::Instant::now();
    let node = support::FakeNode::start().await;
    let w = support::World::not_in_service(node, &[]).await;
    eprintln!("started {:?}", t.elapsed());
    for _ in 0..3 {
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    eprintln!("{:?} {}", t.elapsed(), w.get("/actuator/health").await.text);
    eprintln!("{}", w.get("/metrics").await.text);
    }
}
