//! Who is still needed, and whether that is what the chain will say.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use poco::consensus::{Prediction, Tally, more_needed, weight};
use proptest::prelude::*;

#[test]
fn one_worker_is_enough_for_trust_0_1_and_2() {
    for trust in 0..=2 {
        assert!(more_needed(trust, [], []), "trust {trust}, nobody");
        assert!(!more_needed(trust, [], [2]), "trust {trust}, one at work");
        assert!(
            !more_needed(trust, [(hash(1), 2)], []),
            "trust {trust}, one done"
        );
    }
}

#[test]
fn weight_4_is_too_little_for_trust_5_and_weight_5_is_enough() {
    assert!(more_needed(5, [(hash(1), 4)], []));
    assert!(!more_needed(5, [(hash(1), 5)], []));
}

#[test]
fn a_disagreeing_worker_calls_for_more() {
    assert!(!more_needed(
        5,
        [(hash(1), 5), (hash(1), 5), (hash(2), 5)],
        []
    ));
    assert!(more_needed(5, [(hash(1), 5), (hash(2), 5)], []));
}

#[test]
fn workers_still_at_it_are_counted_with_the_best_result() {
    let prediction = Prediction::new([(hash(1), 5)], [5]);
    assert_eq!(prediction.best_prediction(), U256::from(25));
    for pending in [vec![], vec![7]] {
        let prediction = Prediction::new([(hash(1), 5), (hash(2), 10), (hash(3), 20)], pending);
        assert_eq!(
            (prediction.best, prediction.worst),
            (U256::from(20), U256::from(15))
        );
    }
}

#[test]
fn a_worker_of_unknown_weight_counts_as_nobody() {
    assert!(more_needed(1, [(hash(1), 0)], [0]));
    assert_eq!(
        Prediction::new([(hash(1), 0), (hash(1), 3)], [0, 4]).best_prediction(),
        U256::from(12)
    );
}

#[test]
fn many_heavy_workers_do_not_overflow() {
    // 32-bit arithmetic wrapped here and asked for workers for ever.
    let heavy = weight(u64::MAX);
    assert!(!more_needed(
        u64::MAX,
        std::iter::repeat_n((hash(1), heavy), 100),
        std::iter::repeat_n(heavy, 100)
    ));
    assert!(!more_needed(3, std::iter::repeat_n((hash(1), 2), 1000), []));
}

#[test]
fn a_reopened_group_leaves_the_tally_as_if_it_had_not_been() {
    let mut tally = Tally::default();
    tally.contribute(hash(2), 3);
    let before = tally.clone();
    tally.contribute(hash(1), 2);
    tally.contribute(hash(1), 2);
    assert!(!tally.reached(hash(1), 3));
    tally.reject(hash(1));
    assert_eq!(tally, before);
}

#[test]
fn a_hash_that_nobody_contributed_has_no_consensus() {
    for trust in [0, 1, 2, 3] {
        assert!(!Tally::default().reached(hash(1), trust));
    }
}

fn hash(number: u8) -> B256 {
    B256::with_last_byte(number)
}

/// Contributions of a few workers to three results.
fn contributions() -> impl Strategy<Value = Vec<(B256, u64)>> {
    prop::collection::vec((1_u8..=3, 0_u64..1000), 0..8).prop_map(|list| {
        list.into_iter()
            .map(|(number, score)| (hash(number), weight(score)))
            .collect()
    })
}

proptest! {
    /// `more` is wanted exactly when the definition says so: `NOT( best × t > (1 + worst + best) × (t − 1) )`, computed
    /// here in plain numbers that are wide enough for it.
    #[test]
    fn the_closed_form_is_the_definition(
        trust in 0_u64..200,
        done in contributions(),
        pending in prop::collection::vec(2_u64..100, 0..4),
    ) {
        let mut groups: BTreeMap<B256, u128> = BTreeMap::new();
        for (hash, weight) in &done {
            *groups.entry(*hash).or_insert(1) *= u128::from(*weight);
        }
        let best = groups.values().copied().max().unwrap_or(0);
        let worst = groups.values().sum::<u128>() - best;
        let at_it = if pending.is_empty() { 0 } else { pending.iter().map(|weight| u128::from(*weight)).product() };
        let predicted = match (best, at_it) {
            (0, only) | (only, 0) => only,
            (best, at_it) => best * at_it,
        };
        let t = u128::from(trust.max(1));
        let needed = predicted * t <= (1 + worst + predicted) * (t - 1);
        prop_assert_eq!(more_needed(trust, done, pending), needed);
    }

    /// When nobody is still at it, no more workers are wanted exactly when the chain has consensus on the best result.
    #[test]
    fn the_prediction_ends_where_the_chain_has_consensus(trust in 0_u64..200, done in contributions()) {
        let mut tally = Tally::default();
        for (hash, weight) in &done {
            tally.contribute(*hash, *weight);
        }
        let reached = done.iter().any(|(hash, _)| tally.reached(*hash, trust));
        prop_assert_eq!(!more_needed(trust, done, []), reached);
    }

    /// A worker that joins never makes the scheduler want more than before.
    #[test]
    fn one_more_at_work_never_calls_for_more(
        trust in 0_u64..200,
        done in contributions(),
        mut pending in prop::collection::vec(2_u64..100, 0..4),
        joining in 2_u64..100,
    ) {
        let before = more_needed(trust, done.clone(), pending.clone());
        pending.push(joining);
        let after = more_needed(trust, done, pending);
        prop_assert!(before || !after);
    }
}
