//! Drawing challenges: at random by group, so that each byte is as likely as any other, and along a sweep by shard. Goes over the host's
//! holdings twice and keeps none of them.

use std::collections::BTreeSet;

use nuthatch_disk::catalogue::{AuditBook, Catalogue, HeldShard, OpenChallenge, ShardShape};
use nuthatch_engine::audits::{AuditOrder, Draw};
use nuthatch_format::NodeId;
use nuthatch_format::pack::PackKind;
use nuthatch_wire::audit::{CHALLENGES_PER_QUESTION_MAX, group_count};

use super::{Asked, labelled};
use crate::clock;

/// The host's book with new challenges by the order, written; and how many shards a sweep over all has still to come to.
pub(super) fn draw(
    catalogue: &Catalogue,
    host: &NodeId,
    order: AuditOrder,
) -> Result<(AuditBook, u64), String> {
    let text = |error: nuthatch_disk::IndexError| error.to_string();
    let mut book = catalogue.audit_book(host).map_err(text)?;
    if order == AuditOrder::AGAIN {
        let unswept = book.sweep_left.unwrap_or(0);
        return Ok((book, unswept));
    }
    let (mut groups, mut data, mut meta) = (0, 0, 0);
    let count = |_: HeldShard, shape: ShardShape| {
        groups += group_count(shape.len.0);
        *(if shape.kind == PackKind::Meta {
            &mut meta
        } else {
            &mut data
        }) += 1;
    };
    catalogue.each_held(host, count).map_err(text)?;
    let open = u32::try_from(book.open.len()).unwrap_or(u32::MAX);
    let counts = order.counts(data, meta, open);
    let mut chance = Draw::new(clock::entropy().map_err(|error| error.to_string())?);
    let places = chance.places(groups, counts.random);
    let mut drawn: BTreeSet<OpenChallenge> = book.open.iter().copied().collect();
    let mut at_random = AtRandom {
        places,
        next: 0,
        passed: 0,
    };
    let mut sweeps = [
        Sweep::new(book.meta_after, counts.meta),
        Sweep::new(book.data_after, counts.data),
    ];
    let take = |shard: HeldShard, shape: ShardShape| {
        let groups = group_count(shape.len.0);
        drawn.extend(at_random.pass(groups).map(|group| OpenChallenge { shard, group }));
        let [of_meta, of_data] = &mut sweeps;
        let sweep = if shape.kind == PackKind::Meta {
            of_meta
        } else {
            of_data
        };
        sweep.pass(shard, groups);
    };
    catalogue.each_held(host, take).map_err(text)?;
    let [of_meta, of_data] = sweeps;
    for (sweep, after) in [(of_meta, &mut book.meta_after), (of_data, &mut book.data_after)] {
        for (shard, groups) in sweep.taken() {
            let group = group_of(chance.place(groups));
            drawn.insert(OpenChallenge { shard, group });
            *after = Some(shard);
        }
    }
    let swept = u64::from(counts.meta) + u64::from(counts.data);
    let left = order
        .is_of_all()
        .then(|| book.sweep_left.unwrap_or(data + meta).saturating_sub(swept));
    book.sweep_left = left.filter(|left| *left > 0);
    book.open = drawn.into_iter().collect();
    catalogue
        .set_audit_book(host, &book, &BTreeSet::new(), clock::now())
        .map_err(text)?;
    Ok((book, left.unwrap_or(0)))
}

/// Challenges at random for one shard of which an audit has shown that the host does not have it; `None` when none has.
pub(super) fn of_shard(
    catalogue: &Catalogue,
    host: &NodeId,
    shard: HeldShard,
) -> Result<Option<Vec<Asked>>, String> {
    let text = |error: nuthatch_disk::IndexError| error.to_string();
    if !catalogue.is_disproven(shard, host).map_err(text)? {
        return Ok(None);
    }
    let first = OpenChallenge { shard, group: 0 };
    let asked = labelled(catalogue, first)
        .map_err(text)?
        .ok_or("no such stripe")?;
    let mut chance = Draw::new(clock::entropy().map_err(|error| error.to_string())?);
    let mut groups = chance.places(group_count(asked.shard_len), CHALLENGES_PER_QUESTION_MAX as u32);
    groups.dedup();
    let with_group = |place: u64| Asked {
        open: OpenChallenge {
            shard,
            group: group_of(place),
        },
        ..asked
    };
    Ok(Some(groups.into_iter().map(with_group).collect()))
}

/// Groups of a shard are few.
fn group_of(place: u64) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Places among the groups of all shards, one shard behind the other.
struct AtRandom {
    /// Ascending.
    places: Vec<u64>,
    next: usize,
    /// Groups of the shards that were passed.
    passed: u64,
}

impl AtRandom {
    /// The groups of the next shard that were drawn.
    fn pass(&mut self, groups: u64) -> impl Iterator<Item = u32> {
        let (start, end) = (self.passed, self.passed + groups);
        let first = self.next;
        while self.places.get(self.next).is_some_and(|place| *place < end) {
            self.next += 1;
        }
        self.passed = end;
        let drawn = self.places.get(first..self.next).unwrap_or_default();
        drawn.iter().map(move |place| group_of(place - start))
    }
}

/// The next shards of one kind behind the last one, and from the first one again when there are no more.
struct Sweep {
    after: Option<HeldShard>,
    count: usize,
    behind: Vec<(HeldShard, u64)>,
    first: Vec<(HeldShard, u64)>,
}

impl Sweep {
    fn new(after: Option<HeldShard>, count: u32) -> Self {
        Self {
            after,
            count: count as usize,
            behind: Vec::new(),
            first: Vec::new(),
        }
    }

    fn pass(&mut self, shard: HeldShard, groups: u64) {
        let is_behind = self.after.is_none_or(|after| shard > after);
        let list = if is_behind {
            &mut self.behind
        } else {
            &mut self.first
        };
        if list.len() < self.count {
            list.push((shard, groups));
        }
    }

    fn taken(self) -> impl Iterator<Item = (HeldShard, u64)> {
        self.behind.into_iter().chain(self.first).take(self.count)
    }
}

#[cfg(test)]
mod tests {
    use nuthatch_erasure::ShardIndex;
    use nuthatch_format::LabelId;

    use super::*;

    fn shard(number: u8) -> HeldShard {
        HeldShard {
            label: LabelId::from_bytes([number; 32]),
            index: ShardIndex(0),
        }
    }

    #[test]
    fn every_place_lies_in_one_group_of_one_shard() {
        let lens = [3, 1, 5, 2];
        let mut all = AtRandom {
            places: (0..11).collect(),
            next: 0,
            passed: 0,
        };
        for len in lens {
            let groups: Vec<u32> = all.pass(len).collect();
            assert_eq!(groups, (0..len as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sweeps_come_to_every_shard_in_turn_and_begin_again() {
        let mut after = None;
        let mut seen = Vec::new();
        for _ in 0..5 {
            let mut sweep = Sweep::new(after, 2);
            for number in 0..5 {
                sweep.pass(shard(number), 1);
            }
            let taken: Vec<HeldShard> = sweep.taken().map(|(shard, _)| shard).collect();
            after = taken.last().copied();
            seen.extend(taken.iter().map(|shard| shard.label.as_bytes()[0]));
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
        let mut all = Sweep::new(Some(shard(3)), 9);
        (0..5).for_each(|number| all.pass(shard(number), 1));
        assert_eq!(all.taken().count(), 5, "no shard twice in one round");
    }
}
