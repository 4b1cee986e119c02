//! Maximum matching in a bipartite graph: who gets whom, so that as many as possible get one and nobody gets two.
//! Knows nothing of shards or hosts; placement counts with it.

/// A matching under construction: left vertices `0..left` (at most 255), right vertices `0..right`.
///
/// Grown by augmenting paths (Kuhn 1955): each takes time linear in the edges and raises the size by one, and a vertex that is matched
/// stays matched. Deterministic: edges are tried in the order given.
#[derive(Debug, Clone)]
pub(crate) struct Matching {
    of_left: Vec<Option<usize>>,
    of_right: Vec<Option<usize>>,
}

impl Matching {
    /// Nobody has anybody.
    pub(crate) fn empty(left: usize, right: usize) -> Self {
        Self {
            of_left: vec![None; left],
            of_right: vec![None; right],
        }
    }

    /// Enlarges this matching, whose pairs must all be edges, to a largest one of `edges`: for each left vertex its right ones,
    /// most wanted first. Out-of-range right vertices are no edges.
    pub(crate) fn enlarge(&mut self, edges: &[Vec<usize>]) {
        for left in 0..self.of_left.len().min(edges.len()) {
            if self.of_left.get(left).is_some_and(Option::is_none) {
                let mut visited = vec![false; self.of_right.len()];
                self.augment(left, edges, &mut visited);
            }
        }
    }

    /// The right vertex that this left one has.
    pub(crate) fn of_left(&self, left: usize) -> Option<usize> {
        self.of_left.get(left).copied().flatten()
    }

    /// Looks for a path that gives `left` a partner: first one that is free, else one whose present partner can be given another.
    fn augment(&mut self, left: usize, edges: &[Vec<usize>], visited: &mut [bool]) -> bool {
        let Some(rights) = edges.get(left) else {
            return false;
        };
        for &right in rights {
            if self.of_right.get(right).is_some_and(Option::is_none) {
                self.pair(left, right);
                return true;
            }
        }
        for &right in rights {
            match visited.get_mut(right) {
                Some(seen) if !*seen => *seen = true,
                Some(_) | None => continue,
            }
            let Some(rival) = self.of_right.get(right).copied().flatten() else {
                continue;
            };
            if self.augment(rival, edges, visited) {
                self.pair(left, right);
                return true;
            }
        }
        false
    }

    fn pair(&mut self, left: usize, right: usize) {
        if let (Some(mine), Some(its)) = (self.of_left.get_mut(left), self.of_right.get_mut(right)) {
            *mine = Some(right);
            *its = Some(left);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow twin: tries every right vertex, and none, for every left one.
    pub(crate) fn largest_by_trying_all(edges: &[Vec<usize>], taken: &mut Vec<usize>) -> usize {
        let Some((first, rest)) = edges.split_first() else {
            return 0;
        };
        let mut best = largest_by_trying_all(rest, taken);
        for &right in first {
            if !taken.contains(&right) {
                taken.push(right);
                best = best.max(1 + largest_by_trying_all(rest, taken));
                taken.pop();
            }
        }
        best
    }

    fn len(matching: &Matching) -> usize {
        matching.of_left.iter().flatten().count()
    }

    fn graphs() -> impl Strategy<Value = Vec<Vec<usize>>> {
        prop::collection::vec(prop::collection::vec(0..6_usize, 0..5), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_matching_is_larger(edges in graphs()) {
            let mut matching = Matching::empty(edges.len(), 6);
            matching.enlarge(&edges);
            prop_assert_eq!(len(&matching), largest_by_trying_all(&edges, &mut Vec::new()));
        }

        #[test]
        fn pairs_are_edges_and_nobody_is_in_two(edges in graphs()) {
            let mut matching = Matching::empty(edges.len(), 6);
            matching.enlarge(&edges);
            let mut taken = std::collections::BTreeSet::new();
            for (left, rights) in edges.iter().enumerate() {
                if let Some(right) = matching.of_left(left) {
                    prop_assert!(rights.contains(&right));
                    prop_assert!(taken.insert(right));
                }
            }
        }

        #[test]
        fn enlarging_keeps_everybody_matched(few in graphs(), more in graphs()) {
            let mut matching = Matching::empty(few.len(), 6);
            matching.enlarge(&few);
            let before: Vec<bool> = (0..few.len()).map(|left| matching.of_left(left).is_some()).collect();
            let both: Vec<Vec<usize>> = few
                .iter()
                .enumerate()
                .map(|(left, rights)| rights.iter().chain(more.get(left).into_iter().flatten()).copied().collect())
                .collect();
            matching.enlarge(&both);
            for (left, was) in before.into_iter().enumerate() {
                prop_assert!(!was || matching.of_left(left).is_some());
            }
            prop_assert_eq!(len(&matching), largest_by_trying_all(&both, &mut Vec::new()));
        }
    }
}
