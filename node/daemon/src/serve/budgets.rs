//! How much each steward has fetched here today. In memory: who restarts a host may fetch a day's worth again.

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, ByteCount, NodeId, Span, Timestamp};
use parking_lot::Mutex;

/// Stewards whose fetching is counted, over all archives (count). While there are more in one day, further ones wait for the next.
const COUNTED_MAX: usize = 4096;

/// A day, by this host's clock: budgets begin anew with it.
const DAY: Span = Span::from_days(1);

/// What was fetched on the last day on which anything was.
#[derive(Debug, Clone, Copy)]
struct Fetched {
    day: u64,
    bytes: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Mutex<BTreeMap<(ArchiveId, NodeId), Fetched>>);

impl Budgets {
    /// Takes so many bytes of a steward's budget for today; where less is left, nothing is taken, and the time until tomorrow is the answer.
    pub(crate) fn take(
        &self,
        steward: (ArchiveId, NodeId),
        bytes: u64,
        budget: ByteCount,
        now: Timestamp,
    ) -> Result<(), Span> {
        let today = now.0 / DAY.0;
        let tomorrow = Span(DAY.0 - now.0 % DAY.0);
        let mut counted = self.0.lock();
        if counted.len() >= COUNTED_MAX && !counted.contains_key(&steward) {
            counted.retain(|_, fetched| fetched.day >= today);
            if counted.len() >= COUNTED_MAX {
                return Err(tomorrow);
            }
        }
        let fetched = counted.entry(steward).or_insert(Fetched { day: today, bytes: 0 });
        if fetched.day < today {
            *fetched = Fetched { day: today, bytes: 0 };
        }
        let after = fetched.bytes.saturating_add(bytes);
        if after > budget.0 {
            return Err(tomorrow);
        }
        fetched.bytes = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steward(number: u32) -> (ArchiveId, NodeId) {
        let mut node = [1; 32];
        node[..4].copy_from_slice(&number.to_le_bytes());
        (ArchiveId::from_bytes([2; 32]), NodeId::from_bytes(node))
    }

    #[test]
    fn a_budget_is_for_a_day_and_for_one_steward_of_one_archive() {
        let budgets = Budgets::default();
        let (budget, noon) = (ByteCount(100), Timestamp(DAY.0 * 10 + DAY.0 / 2));
        let take = |number, bytes, now| budgets.take(steward(number), bytes, budget, now);
        assert_eq!(take(1, 60, noon), Ok(()));
        assert_eq!(take(1, 41, noon), Err(Span(DAY.0 / 2)), "nothing is taken");
        assert_eq!(take(1, 40, noon), Ok(()));
        assert_eq!(take(1, 1, noon), Err(Span(DAY.0 / 2)));
        assert_eq!(take(2, 100, noon), Ok(()), "another steward");
        // A clock that is set back gives nothing again.
        assert!(take(1, 1, Timestamp(DAY.0)).is_err());
        assert_eq!(take(1, 100, noon.after(DAY)), Ok(()));
        assert!(take(1, 1, noon.after(DAY)).is_err());
        assert!(take(3, 101, noon).is_err(), "more than a whole day's");
        assert!(take(3, u64::MAX, noon).is_err());
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let budgets = Budgets::default();
        let (one, now) = (ByteCount(1), Timestamp(DAY.0));
        for number in 0..COUNTED_MAX as u32 {
            assert_eq!(budgets.take(steward(number), 1, one, now), Ok(()));
        }
        let more = steward(u32::MAX);
        assert!(budgets.take(more, 1, one, now).is_err());
        assert_eq!(budgets.take(more, 1, one, now.after(DAY)), Ok(()));
        assert!(budgets.0.lock().len() <= COUNTED_MAX);
    }
}
