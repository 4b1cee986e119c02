//! Whether it is our own link that is cut, rather than our hosts that have gone. Pure; knows who came and went, and decides nothing else.
//!
//! When most members that were here vanish together, it is our own link: until one of them is back nobody's absence is counted, nothing
//! is repaired and nobody blamed.

use std::collections::BTreeSet;

use nuthatch_format::{NodeId, Span, Timestamp};

use crate::rules::{MEMBERS_MAX, PresenceRules};

/// Of those that were here, more than two parts in three must vanish. Sixty per cent that die at once are told from a cut link.
const MOST: (usize, usize) = (2, 3);

/// One that leaves alone is never our link (count).
const VANISHED_MIN: usize = 2;

/// Our own link, as far as members show.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Who left within the window, and when.
    departures: Vec<(Timestamp, NodeId)>,
    cut: Option<Cut>,
}

#[derive(Debug)]
struct Cut {
    vanished: BTreeSet<NodeId>,
    /// How long others were here without any of them: after a whole grace they are gone in earnest.
    doubted: Span,
    doubted_at: Timestamp,
}

impl Link {
    /// Whether it is taken for cut.
    pub(crate) const fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// A member left; `left_here` others are still here (count). Says who vanished when that looks like our own link, once.
    pub(crate) fn departed(
        &mut self,
        node: NodeId,
        left_here: usize,
        now: Timestamp,
        rules: &PresenceRules,
    ) -> Option<usize> {
        self.departures
            .retain(|(at, other)| now.since(*at) < rules.vanish_window && *other != node);
        if self.departures.len() < MEMBERS_MAX {
            self.departures.push((now, node));
        }
        let count = self.departures.len();
        let vanished = self.departures.iter().map(|(_, node)| *node);
        if let Some(cut) = &mut self.cut {
            cut.vanished.extend(vanished);
            return None;
        }
        let most = count * MOST.1 > (count + left_here) * MOST.0;
        if count < VANISHED_MIN || !most {
            return None;
        }
        self.cut = Some(Cut {
            vanished: vanished.collect(),
            doubted: Span::ZERO,
            doubted_at: now,
        });
        Some(count)
    }

    /// Others that left within the same window as this one (count).
    pub(crate) fn left_with(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.departures
            .iter()
            .map(|(_, other)| *other)
            .filter(move |other| *other != node)
    }

    /// A member came; says whether that ends a cut.
    pub(crate) fn arrived(&mut self, node: NodeId) -> bool {
        self.departures.retain(|(_, other)| *other != node);
        let is_back = self.cut.as_ref().is_some_and(|cut| cut.vanished.contains(&node));
        if is_back {
            self.cut = None;
            self.departures.clear();
        }
        is_back
    }

    /// Time passes while somebody is here; says whether a cut is given up because of that.
    pub(crate) fn observe(&mut self, now: Timestamp, rules: &PresenceRules) -> bool {
        let Some(cut) = &mut self.cut else { return false };
        let passed = now.since(cut.doubted_at).min(rules.gap_max);
        cut.doubted = Span(cut.doubted.0.saturating_add(passed.0));
        cut.doubted_at = now;
        let is_over = cut.doubted >= rules.grace;
        if is_over {
            self.cut = None;
        }
        is_over
    }

    /// Forgets who is no member any more.
    pub(crate) fn keep_members(&mut self, is_member: impl Fn(&NodeId) -> bool) {
        self.departures.retain(|(_, node)| is_member(node));
        if let Some(cut) = &mut self.cut {
            cut.vanished.retain(|node| is_member(node));
            if cut.vanished.is_empty() {
                self.cut = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    /// Whether so many of so many that leave a second apart look like our own link.
    fn looks_cut(leaving: u8, of: u8, pause: Span) -> bool {
        let rules = Rules::default().presence;
        let mut link = Link::default();
        let mut now = Timestamp(1_000_000);
        for number in 0..leaving {
            now = now.after(pause);
            link.departed(node(number), usize::from(of - number - 1), now, &rules);
        }
        link.is_cut()
    }

    #[test]
    fn most_that_vanish_together_are_our_own_link() {
        let second = Span::from_secs(1);
        for (leaving, of, is_cut) in [
            (1, 1, false),
            (1, 2, false),
            (2, 2, true),
            (2, 3, false),
            (3, 3, true),
            (3, 5, false),
            (4, 5, true),
            (7, 12, false),
            (12, 12, true),
        ] {
            assert_eq!(looks_cut(leaving, of, second), is_cut, "{leaving} of {of}");
        }
        assert!(!looks_cut(5, 6, Span::from_days(1)), "one after another");
    }

    #[test]
    fn a_cut_ends_with_the_first_that_is_back_and_not_with_a_stranger() {
        let rules = Rules::default().presence;
        let mut link = Link::default();
        assert_eq!(link.departed(node(1), 1, Timestamp(5), &rules), None);
        assert_eq!(link.departed(node(2), 0, Timestamp(6), &rules), Some(2));
        assert!(!link.arrived(node(3)) && link.is_cut());
        assert!(link.arrived(node(1)) && !link.is_cut());
    }

    #[test]
    fn those_that_stay_away_for_a_grace_while_others_are_here_are_no_cut() {
        let rules = Rules::default().presence;
        let mut link = Link::default();
        link.departed(node(1), 1, Timestamp(0), &rules);
        link.departed(node(2), 0, Timestamp(0), &rules);
        let mut now = Timestamp(0).after(Span::from_days(60));
        assert!(!link.observe(now, &rules), "a silence counts for a day");
        for _ in 0..13 {
            now = now.after(rules.gap_max);
            link.observe(now, &rules);
        }
        assert!(!link.is_cut());
    }
}
