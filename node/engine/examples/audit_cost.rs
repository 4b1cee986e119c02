//! What audits cost for an archive of 1 TiB, by the shipped rules: `cargo run --release -p nuthatch-engine --example audit_cost`.
//!
//! A month of rounds is ordered as the engine orders it; each kind of message is encoded as it travels and counted, with a real slice of a
//! real shard. Then months are played with a host that has lost one part in a hundred of its groups, in a stretch and scattered.

use nuthatch_engine::Scheme;
use nuthatch_engine::audits::{AuditOrder, Draw, challenges_per_round, detection};
use nuthatch_engine::boundary::PackKind;
use nuthatch_engine::durability::shape_for;
use nuthatch_engine::rules::AuditRules;
use nuthatch_erasure::ShardIndex;
use nuthatch_format::codec;
use nuthatch_format::padding::PACK_LEN;
use nuthatch_format::slice::{GROUP_LEN, Outboard, make};
use nuthatch_format::{ArchiveId, LabelId};
use nuthatch_wire::audit::{
    AuditReply, AuditRequest, CHALLENGES_PER_QUESTION_MAX, Challenge, Proof, group_count,
};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::message::{Reply, Request};

/// Packs of 1 TiB (count), all full.
const PACKS: u64 = (1 << 40) / PACK_LEN as u64;
/// Of them metadata (count): one in a hundred.
const META: u64 = PACKS / 100;
const DAYS: u64 = 30;
const MONTHS: u32 = 2000;

/// Bytes of a question and of its answer, and what its host reads: the groups, each shard's hash tree and label.
struct Cost {
    question: u64,
    answer: u64,
    read: u64,
}

fn cost(scheme: Scheme) -> Option<Cost> {
    let shard_len = scheme.shard_len(PACK_LEN as u64);
    let shard = vec![7; usize::try_from(shard_len).ok()?];
    let tree = Outboard::of(&shard);
    let range = 0..shard_len.min(GROUP_LEN);
    let slice = make(shard.as_slice(), &tree, range.clone()).ok()?;
    let challenge = Challenge {
        label: LabelId::from_bytes([1; 32]),
        index: ShardIndex(1),
        group: 100,
    };
    let question = Request::Audit(AuditRequest {
        archive: ArchiveId::from_bytes([2; 32]),
        challenges: List::first_of([challenge; CHALLENGES_PER_QUESTION_MAX]),
    });
    let proof = Proof::Slice(Opaque::new(slice).ok()?);
    let answer = AuditReply::Proofs(List::first_of(vec![proof; CHALLENGES_PER_QUESTION_MAX]));
    // A label names each shard by 34 bytes; the rest of it, with its signature, is about 300.
    let label_len = 34 * u64::from(scheme.total()) + 300;
    let read = range.end + tree.as_bytes().len() as u64 + label_len;
    Some(Cost {
        question: codec::encode(&question).len() as u64,
        answer: codec::encode(&Reply::Audit(answer)).len() as u64,
        read: read * CHALLENGES_PER_QUESTION_MAX as u64,
    })
}

/// Which share of months finds a loss of one part in a hundred, in a stretch or scattered, by the challenges at random alone.
fn found(rules: &AuditRules, groups: u64, is_lost: impl Fn(u64) -> bool) -> f64 {
    let mut chance = Draw::new([7; 32]);
    let per_round = challenges_per_round(rules);
    let mut finds = || (0..DAYS).any(|_| chance.places(groups, per_round).into_iter().any(&is_lost));
    let found = (0..MONTHS).filter(|_| finds()).count();
    found as f64 / f64::from(MONTHS)
}

fn main() {
    let rules = AuditRules::default();
    println!(
        "hosts  shape  shards a host  challenges  at random  wire MB  host reads MB  all hosts MB  of stored"
    );
    for hosts in [2_usize, 3, 6, 12] {
        let Some(scheme) = shape_for(
            hosts,
            nuthatch_engine::durability::target_for(hosts, None),
            PackKind::Data,
        ) else {
            continue;
        };
        let Some(cost) = cost(scheme) else { continue };
        let order = AuditOrder::round(&rules, hosts as u64, false);
        let counts = order.counts(PACKS - META, META, 0);
        let challenges = DAYS * u64::from(counts.random + counts.meta + counts.data);
        let questions = challenges.div_ceil(CHALLENGES_PER_QUESTION_MAX as u64);
        let (wire, read) = (questions * (cost.question + cost.answer), questions * cost.read);
        let stored = PACKS * scheme.shard_len(PACK_LEN as u64) * hosts as u64;
        println!(
            "{hosts:>5}  {:>5}  {PACKS:>13}  {challenges:>10}  {:>9}  {:>7.1}  {:>13.1}  {:>12.1}  {:>8.4} %",
            format!("{}+{}", scheme.data(), scheme.parity()),
            DAYS * u64::from(counts.random),
            wire as f64 / 1e6,
            read as f64 / 1e6,
            (wire * hosts as u64) as f64 / 1e6,
            100.0 * (wire * hosts as u64) as f64 / stored as f64,
        );
    }
    let groups = 65_536 * group_count(2 << 20);
    let (lost, asked) = (
        groups / 100,
        u32::try_from(DAYS).unwrap_or(0) * challenges_per_round(&rules),
    );
    println!(
        "\na loss of 1 % within {DAYS} days, found in {MONTHS} months by the {asked} challenges at random alone:"
    );
    println!("computed {:.4}", detection(asked, 0.01));
    println!(
        "in one stretch {:.4}",
        found(&rules, groups, |place| place < lost)
    );
    println!(
        "one group in a hundred {:.4}",
        found(&rules, groups, |place| place % 100 == 7)
    );
}
