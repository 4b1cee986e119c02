//! Hosts that lie in audits, played with what is shipped: the draw, the challenge, the proof and its judgement. Each is found out as often
//! as was computed, within the error of so many audits.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_engine::audits::{Draw, challenges_for, detection};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::slice::{GROUP_LEN, Outboard, make};
use nuthatch_format::{LabelId, ShardId};
use nuthatch_wire::audit::{Challenge, Proof, Verdict, group_count};
use nuthatch_wire::bounded::Opaque;

/// Shards that the host signed for (count), and groups of each; the last one is shorter than the others.
const SHARDS: u64 = 8;
const GROUPS: u64 = 64;
const SHARD_LEN: u64 = GROUPS * GROUP_LEN - 1000;
const ALL: u64 = SHARDS * GROUPS;

/// Audits of each liar (count).
const AUDITS: u32 = 300;

struct Shard {
    bytes: Vec<u8>,
    tree: Outboard,
}

fn shards() -> Vec<Shard> {
    let shard = |number: u64| {
        let bytes: Vec<u8> = (0..SHARD_LEN)
            .map(|at| (at / GROUP_LEN * 31 + at % 251 + number * 7) as u8)
            .collect();
        let tree = Outboard::of(&bytes);
        Shard { bytes, tree }
    };
    (0..SHARDS).map(shard).collect()
}

/// Where a place among all groups lies.
fn challenge(place: u64) -> (usize, Challenge) {
    let shard = place / GROUPS;
    let challenge = Challenge {
        label: LabelId::from_bytes([shard as u8; 32]),
        index: ShardIndex(0),
        group: (place % GROUPS) as u32,
    };
    (shard as usize, challenge)
}

fn slice(bytes: &[u8], tree: &Outboard, challenge: Challenge) -> Option<Proof> {
    let range = challenge.range(SHARD_LEN)?;
    Some(Proof::Slice(Opaque::new(make(bytes, tree, range).ok()?).ok()?))
}

fn honest(shards: &[Shard], place: u64) -> Option<Proof> {
    let (shard, challenge) = challenge(place);
    let shard = shards.get(shard)?;
    slice(&shard.bytes, &shard.tree, challenge)
}

/// The true hashes over other bytes.
fn garbled(shards: &[Shard], place: u64) -> Option<Proof> {
    let Some(Proof::Slice(slice)) = honest(shards, place) else {
        return None;
    };
    let mut bytes = slice.into_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    Some(Proof::Slice(Opaque::new(bytes).ok()?))
}

/// How often (a share of `AUDITS`) so many challenges find out a host with these answers.
fn found(shards: &[Shard], challenges: u32, answer: impl Fn(u64) -> Option<Proof>) -> f64 {
    let roots: Vec<ShardId> = shards.iter().map(|shard| shard.tree.root()).collect();
    let mut chance = Draw::new([3; 32]);
    let is_wrong = |place: u64| {
        let (shard, challenge) = challenge(place);
        // Without an answer nothing is concluded.
        let verdict = answer(place).and_then(|proof| challenge.judge(roots.get(shard)?, SHARD_LEN, &proof));
        matches!(verdict, Some(Verdict::Wrong | Verdict::Missing))
    };
    let found = (0..AUDITS).filter(|_| chance.places(ALL, challenges).into_iter().any(is_wrong));
    found.count() as f64 / f64::from(AUDITS)
}

/// Within four standard errors, which are wide enough for one run in ten thousand.
#[track_caller]
fn assert_as_computed(share: f64, challenges: u32, lost: u64) {
    let computed = detection(challenges, lost as f64 / ALL as f64);
    let error = 4.0 * (computed * (1.0 - computed) / f64::from(AUDITS)).sqrt() + 0.002;
    assert!(
        (share - computed).abs() <= error,
        "{share} found, {computed} computed, of {lost} lost"
    );
}

#[test]
fn hosts_that_lost_one_five_or_twenty_percent_are_found_as_often_as_computed() {
    assert_eq!(group_count(SHARD_LEN), GROUPS);
    let shards = shards();
    for (lost, challenges) in [(5, 60), (26, 20), (102, 6)] {
        // Deleted, here and there.
        let gone: BTreeSet<u64> = (0..lost).map(|number| number * ALL / lost).collect();
        let deletes = |place| {
            if gone.contains(&place) {
                Some(Proof::Missing)
            } else {
                honest(&shards, place)
            }
        };
        assert_as_computed(found(&shards, challenges, deletes), challenges, lost);
        // Chosen bytes changed, in one stretch.
        let changes = |place| {
            if place < lost {
                garbled(&shards, place)
            } else {
                honest(&shards, place)
            }
        };
        assert_as_computed(found(&shards, challenges, changes), challenges, lost);
    }
    let enough = challenges_for(0.99, 5.0 / ALL as f64);
    let share = found(&shards, enough, |place| {
        if place < 5 {
            garbled(&shards, place)
        } else {
            honest(&shards, place)
        }
    });
    assert!(share >= 0.97, "{share}");
}

#[test]
fn a_host_that_answers_from_what_it_recorded_is_found_by_what_it_did_not_record() {
    let shards = shards();
    let (recorded_in, challenges) = (200, 8);
    let recorded: BTreeMap<u64, Proof> = Draw::new([9; 32])
        .places(ALL, recorded_in)
        .into_iter()
        .filter_map(|place| Some((place, honest(&shards, place)?)))
        .collect();
    let any = recorded.values().next().cloned();
    // Another answer, of the same shard or not, is none.
    let replays = |place: u64| recorded.get(&place).cloned().or_else(|| any.clone());
    assert_as_computed(
        found(&shards, challenges, replays),
        challenges,
        ALL - recorded.len() as u64,
    );
}

#[test]
fn an_honest_host_is_never_blamed_and_one_that_keeps_silent_about_half_proves_nothing_of_it() {
    let shards = shards();
    assert!(found(&shards, 60, |place| honest(&shards, place)) == 0.0);
    // It answers only what it still has: no loss is found, and the challenges for the rest stay unanswered in nearly every audit.
    let half = |place: u64| {
        if place.is_multiple_of(2) {
            honest(&shards, place)
        } else {
            None
        }
    };
    assert!(found(&shards, 60, half) == 0.0);
    let mut chance = Draw::new([4; 32]);
    let owes = (0..AUDITS).filter(|_| {
        chance
            .places(ALL, 10)
            .into_iter()
            .any(|place| half(place).is_none())
    });
    let share = owes.count() as f64 / f64::from(AUDITS);
    assert_as_computed(share, 10, ALL / 2);
}
