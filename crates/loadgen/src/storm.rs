//! Asks for work as fast as they are answered: every member on a connection of its own, one question under way on each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::connection::{Connection, ConnectionError};
use crate::fleet::Member;

/// What to ask, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// Where the scheduler listens.
    pub address: SocketAddr,
    /// The newest block that the workers say they know.
    pub head: u64,
    /// Asked before anything is counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Weather {
    /// Connections.
    pub connections: usize,
    /// Seconds that were counted.
    pub seconds: f64,
    /// Answers in that time.
    pub answers: u64,
    /// Those of them with 204, nothing to give.
    pub nothing: u64,
    /// Answers a second.
    pub rate: f64,
    /// Milliseconds from question to answer, half of them at most.
    pub p50_ms: f64,
    /// Milliseconds from question to answer, 99 % of them at most.
    pub p99_ms: f64,
}

/// Lets all members ask until the time is over.
///
/// # Errors
/// The first connection that breaks.
pub async fn storm(members: &[Member], storm: Storm) -> Result<Weather, ConnectionError> {
    let begin = Instant::now() + storm.warm_up;
    let end = begin + storm.duration;
    let mut all = JoinSet::new();
    for member in members {
        let request = request(storm.address, member, storm.head);
        all.spawn(async move { ask(storm.address, &request, begin, end).await });
    }
    let (mut waits, mut nothing) = (Vec::new(), 0);
    while let Some(one) = all.join_next().await {
        let one = one.map_err(|error| ConnectionError::Broken(std::io::Error::other(error)))??;
        waits.extend(one.waits);
        nothing += one.nothing;
    }
    waits.sort_unstable();
    let seconds = storm.duration.as_secs_f64();
    Ok(Weather {
        connections: members.len(),
        seconds,
        answers: waits.len() as u64,
        nothing,
        rate: waits.len() as f64 / seconds,
        p50_ms: share(&waits, 0.5),
        p99_ms: share(&waits, 0.99),
    })
}

/// What one member counted.
#[derive(Default)]
struct Counted {
    /// Microseconds of each exchange.
    waits: Vec<u32>,
    nothing: u64,
}

async fn ask(
    address: SocketAddr,
    request: &[u8],
    begin: Instant,
    end: Instant,
) -> Result<Counted, ConnectionError> {
    let mut connection = Connection::open(address).await?;
    let mut counted = Counted::default();
    loop {
        let asked = Instant::now();
        if asked >= end {
            return Ok(counted);
        }
        let status = connection.exchange(request).await?;
        let answered = Instant::now();
        if answered >= begin && answered < end {
            let wait = answered.duration_since(asked).as_micros();
            counted.waits.push(u32::try_from(wait).unwrap_or(u32::MAX));
            counted.nothing += u64::from(status == 204);
        }
    }
}

/// The bytes of the question, the same every time.
fn request(address: SocketAddr, member: &Member, head: u64) -> Vec<u8> {
    format!(
        "GET /replicates/available?blockNumber={head} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nAccept: */*\r\n\r\n",
        member.token.reveal()
    )
    .into_bytes()
}

fn share(sorted: &[u32], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    let micros = sorted.get(place.saturating_sub(1)).copied();
    f64::from(micros.unwrap_or_default()) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use wire::token::Token;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let waits: Vec<u32> = (1..=100).map(|millis| millis * 1000).collect();
        assert_eq!((share(&waits, 0.5), share(&waits, 0.99)), (50.0, 99.0));
        assert_eq!((share(&waits[..1], 0.99), share(&[], 0.5)), (1.0, 0.0));
    }

    #[tokio::test]
    async fn every_member_asks_with_its_own_token_until_the_time_is_over() {
        let answer = |headers: HeaderMap| async move {
            match headers
                .get("authorization")
                .map(|value| value.to_str().unwrap())
            {
                Some("Bearer good") => StatusCode::NO_CONTENT,
                _ => StatusCode::UNAUTHORIZED,
            }
        };
        let router = axum::Router::new().route("/replicates/available", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let member = |token: &str| Member {
            wallet: Default::default(),
            token: Token::new(token),
        };
        let plan = Storm {
            address,
            head: 1,
            warm_up: Duration::ZERO,
            duration: Duration::from_millis(200),
        };
        let calm = storm(&[member("good"), member("good")], plan)
            .await
            .unwrap();
        assert!(calm.answers > 2 && calm.nothing == calm.answers, "{calm:?}");
        assert!(calm.p50_ms <= calm.p99_ms && calm.connections == 2);
        let refused = storm(&[member("bad")], plan).await.unwrap();
        assert!(refused.answers > 1 && refused.nothing == 0);
    }
}
