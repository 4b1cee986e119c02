//! Who stands for whom, so that the loads are as even as they can be: each domain stands for one of the shards that it has.
//! Knows nothing of losses; durability counts with it.

/// How many domains stand for each of `shards` shards (counts, in the order of the shards), where `held` says for each domain which
/// shards it has (numbers below `shards`; others count for nothing, and a domain without any stands for none).
///
/// No other choice has a smaller sum of its `n` largest loads, for any `n`. It is reached when no chain of domains, each passing on to
/// another of its shards, leads from a shard to one with two fewer: Harvey, Ladner, Lovász and Tamir, "Semi-matchings for bipartite
/// graphs and load balancing", 2003. Deterministic.
pub(crate) fn level(shards: usize, held: &[Vec<usize>]) -> Vec<usize> {
    let mut loads = vec![0_usize; shards];
    let mut stands_for: Vec<Option<usize>> = Vec::with_capacity(held.len());
    for shards_of in held {
        let least = shards_of
            .iter()
            .copied()
            .filter(|shard| *shard < shards)
            .min_by_key(|shard| loads.get(*shard).copied());
        if let Some(load) = least.and_then(|shard| loads.get_mut(shard)) {
            *load += 1;
        }
        stands_for.push(least);
    }
    // Each chain makes the sum of the squares smaller, so this ends.
    while (0..shards).any(|shard| pass_on(shard, held, &mut stands_for, &mut loads)) {}
    loads
}

/// Moves one domain's worth of load from a shard to one with two fewer, where a chain leads there.
fn pass_on(from: usize, held: &[Vec<usize>], stands_for: &mut [Option<usize>], loads: &mut [usize]) -> bool {
    let Some(much) = loads.get(from).copied().filter(|load| *load >= 2) else {
        return false;
    };
    // How each shard was come upon: the domain that passes on to it. The one it came from is what that domain stands for.
    let mut by: Vec<Option<usize>> = vec![None; loads.len()];
    let mut reached = vec![from];
    let mut at = 0;
    while let Some(shard) = reached.get(at).copied() {
        at += 1;
        if loads.get(shard).is_some_and(|load| load + 2 <= much) {
            follow(shard, from, &by, stands_for);
            for (end, change) in [(from, -1), (shard, 1)] {
                if let Some(load) = loads.get_mut(end) {
                    *load = load.saturating_add_signed(change);
                }
            }
            return true;
        }
        for (domain, shards_of) in held.iter().enumerate() {
            if stands_for.get(domain) != Some(&Some(shard)) {
                continue;
            }
            for &next in shards_of {
                if next != from
                    && let Some(unknown @ None) = by.get_mut(next)
                {
                    *unknown = Some(domain);
                    reached.push(next);
                }
            }
        }
    }
    false
}

/// Goes back along a chain; each domain on it stands for the next shard from now on.
fn follow(mut shard: usize, from: usize, by: &[Option<usize>], stands_for: &mut [Option<usize>]) {
    while shard != from {
        let Some(domain) = by.get(shard).copied().flatten() else {
            return;
        };
        let Some(stands) = stands_for.get_mut(domain) else {
            return;
        };
        match stands.replace(shard) {
            Some(before) => shard = before,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARDS: usize = 4;

    /// Sums of the largest, the two largest, the three largest loads, and so on.
    fn sums(mut loads: Vec<usize>) -> Vec<usize> {
        loads.sort_unstable_by(|one, other| other.cmp(one));
        let mut sum = 0;
        loads
            .into_iter()
            .map(|load| {
                sum += load;
                sum
            })
            .collect()
    }

    /// The slow twin: for each number of shards, the smallest sum that any choice reaches.
    fn smallest_sums(held: &[Vec<usize>], loads: &mut [usize; SHARDS]) -> Vec<usize> {
        let Some((first, rest)) = held.split_first() else {
            return sums(loads.to_vec());
        };
        let mut best: Option<Vec<usize>> = None;
        let choices: Vec<Option<usize>> = if first.is_empty() {
            vec![None]
        } else {
            first.iter().copied().map(Some).collect()
        };
        for choice in choices {
            if let Some(shard) = choice {
                loads[shard] += 1;
            }
            let found = smallest_sums(rest, loads);
            best = Some(match best {
                None => found,
                Some(best) => best
                    .into_iter()
                    .zip(found)
                    .map(|(one, other)| one.min(other))
                    .collect(),
            });
            if let Some(shard) = choice {
                loads[shard] -= 1;
            }
        }
        best.unwrap_or_default()
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        // The first two can only stand for shard 0 as long as the third does not pass on, and the fourth after it.
        let held = [vec![0], vec![0, 1], vec![1, 2], vec![2, 3], vec![0]];
        let mut loads = level(SHARDS, &held);
        loads.sort_unstable();
        assert_eq!(loads, [1, 1, 1, 2]);
    }

    #[test]
    fn what_is_out_of_range_or_empty_counts_for_nothing() {
        assert_eq!(level(2, &[vec![7], vec![], vec![1, 7]]), [0, 1]);
        assert_eq!(level(0, &[vec![0]]), Vec::<usize>::new());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_choice_is_more_even(held in prop::collection::vec(prop::collection::vec(0..SHARDS, 0..4), 0..7)) {
            prop_assert_eq!(sums(level(SHARDS, &held)), smallest_sums(&held, &mut [0; SHARDS]));
        }
    }
}
