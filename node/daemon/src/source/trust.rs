//! Which places of a pack turned out not to give it. Pure.
//!
//! Bytes that agree with a label are what its device labelled, and a device can label anything for any pack; a staged copy is what the
//! disk gives back. So what does not open takes away a place, and only for the claim of the pack by which it did not open: another
//! claim of the same pack may be the true one.

use std::collections::BTreeSet;

use nuthatch_disk::catalogue::PackNumber;
use nuthatch_format::LabelId;

/// Places that are remembered, over all packs of a job (count). Beyond that all are tried anew.
const DISTRUSTED_MAX: usize = 1 << 16;

/// Where a pack may lie: a stripe, or (`None`) staging.
pub(super) type Place = Option<LabelId>;

/// Places that bytes came from which did not open.
#[derive(Debug, Default)]
pub(super) struct Distrusted(BTreeSet<(PackNumber, Place)>);

impl Distrusted {
    /// Notes that a place does not give what this pack is said to be.
    pub(super) fn note(&mut self, pack: PackNumber, place: Place) {
        if self.0.len() >= DISTRUSTED_MAX {
            self.0.clear();
        }
        self.0.insert((pack, place));
    }

    /// Whether it is noted for none of the pack's places.
    pub(super) fn is_clear(&self, pack: PackNumber) -> bool {
        let first = (pack, None);
        let next = self.0.range(first..).next();
        next.is_none_or(|(other, _)| *other != pack)
    }

    /// The places that are left; all of them when none is, since a pack may have a damaged part and good ones.
    pub(super) fn left<T>(&self, pack: PackNumber, places: Vec<T>, of: impl Fn(&T) -> Place) -> Vec<T> {
        let is_left = |place: &T| !self.0.contains(&(pack, of(place)));
        if places.iter().any(is_left) {
            places.into_iter().filter(is_left).collect()
        } else {
            places
        }
    }

    /// Whether some of these places is left.
    pub(super) fn leaves(&self, pack: PackNumber, places: &[Place]) -> bool {
        places.iter().any(|place| !self.0.contains(&(pack, *place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(number: u8) -> LabelId {
        LabelId::from_bytes([number; 32])
    }

    #[test]
    fn what_did_not_open_is_passed_over_while_there_is_something_else() {
        let mut distrusted = Distrusted::default();
        let (one, other) = (PackNumber(1), PackNumber(2));
        let places = vec![None, Some(label(1)), Some(label(2))];
        let left = |distrusted: &Distrusted, pack| distrusted.left(pack, places.clone(), |place| *place);
        assert!(distrusted.is_clear(one));
        assert_eq!(left(&distrusted, one), places);
        distrusted.note(one, Some(label(1)));
        assert!(
            !distrusted.is_clear(one) && distrusted.is_clear(other) && distrusted.is_clear(PackNumber(0))
        );
        assert_eq!(left(&distrusted, one), [None, Some(label(2))]);
        assert_eq!(left(&distrusted, other), places);
        distrusted.note(one, None);
        assert!(distrusted.leaves(one, &places));
        distrusted.note(one, Some(label(2)));
        assert!(!distrusted.leaves(one, &places));
        assert_eq!(left(&distrusted, one), places);
    }
}
