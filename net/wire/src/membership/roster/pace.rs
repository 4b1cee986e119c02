//! How much of what one member says is taken in a while. Every change is written to disk and told on by every node of the circle, and a
//! member can sign news of itself without end: beyond a start, it is heard now and then. By the receiver's clock alone.

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, NodeId, Span, Timestamp};

use super::item::{Fact, Known};
use super::{ADMISSIONS_MAX, Changes, Roster, STATEMENTS_PER_ARCHIVE_MAX};
use crate::message::RosterItem;

/// News of one kind from one member that are taken at once (count): addresses. A node signs some at each start.
const ADDRESSES_AT_ONCE: u32 = 16;
/// Of statements of one archive: as many as are kept.
const STATEMENTS_AT_ONCE: u32 = STATEMENTS_PER_ARCHIVE_MAX as u32;
/// Of admissions by one member: as many as are kept, since one member may have admitted all the others.
const ADMISSIONS_AT_ONCE: u32 = ADMISSIONS_MAX as u32;
/// After that, one more in this time.
const REFILL: Span = Span::from_secs(600);

/// Whose news, of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Addresses(NodeId),
    Statements(ArchiveId),
    Admissions(NodeId),
}

impl Subject {
    const fn at_once(self) -> u32 {
        match self {
            Self::Addresses(_) => ADDRESSES_AT_ONCE,
            Self::Statements(_) => STATEMENTS_AT_ONCE,
            Self::Admissions(_) => ADMISSIONS_AT_ONCE,
        }
    }
}

/// News taken lately. Bounded by members and their archives.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(BTreeMap<Subject, Taken>);

#[derive(Debug, Clone, Copy)]
struct Taken {
    count: u32,
    /// Since when there was no refill.
    since: Timestamp,
}

impl Pace {
    /// Whether one more is taken now; if so, it counts.
    fn allows(&mut self, subject: Subject, now: Timestamp) -> bool {
        let taken = self.0.entry(subject).or_insert(Taken { count: 0, since: now });
        // A clock that was set back refills nothing, and takes nothing back.
        let refills = now.since(taken.since).0 / REFILL.0;
        taken.count = taken
            .count
            .saturating_sub(u32::try_from(refills).unwrap_or(u32::MAX));
        taken.since = if taken.count == 0 {
            now
        } else {
            taken.since.after(Span(refills.saturating_mul(REFILL.0)))
        };
        let is_allowed = taken.count < subject.at_once();
        taken.count += u32::from(is_allowed);
        is_allowed
    }
}

impl Roster {
    /// Takes items from anybody, as [`Roster::merge`] does, but not without end from any one member. What is left out is learned at a later
    /// meeting.
    pub fn hear(&mut self, items: impl IntoIterator<Item = RosterItem>, now: Timestamp) -> Changes {
        let (mut new, mut changes) = self.verify(items);
        let count = new.len();
        new.retain(|known| match self.news_of(known) {
            Some(subject) => self.pace.allows(subject, now),
            None => true,
        });
        changes.late = count - new.len();
        self.take(new, changes)
    }

    /// Whose news an item is that would replace or join what is kept; `None` for what has a bound of its own or will be dropped.
    fn news_of(&self, known: &Known) -> Option<Subject> {
        match known.fact() {
            Fact::Addresses(addresses) => {
                let replaced = self.addresses(&addresses.node)?;
                (replaced.at <= addresses.at).then_some(Subject::Addresses(addresses.node))
            }
            Fact::Statement(statement) => {
                let archive = statement.archive();
                let is_kept = self.members.archives.contains_key(&archive);
                is_kept.then_some(Subject::Statements(archive))
            }
            Fact::Admission(admitted) => {
                let by = admitted.admitted_by;
                self.is_member(&by).then_some(Subject::Admissions(by))
            }
            // By the circle's key and admins only.
            Fact::Charter(_) | Fact::Removal(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::fixture::{
        ADMIN, addresses, admission, archive, certified, charter, circle, founded, invitation, node,
        statement,
    };

    fn talkers() -> Roster {
        let mut roster = founded();
        let line = invitation(ADMIN, 50, 9);
        roster.merge([
            admission(&line, 2, ADMIN, 1, false),
            admission(&line, 3, ADMIN, 2, false),
            RosterItem::Addresses(addresses(2, Some(archive(60)), 1)),
            RosterItem::Addresses(addresses(3, None, 1)),
            statement(&certified(60, 70, 2)),
        ]);
        roster
    }

    /// How many of these, one after the other, change what is known.
    fn taken(roster: &mut Roster, items: impl IntoIterator<Item = RosterItem>, now: Timestamp) -> usize {
        let mut count = 0;
        for item in items {
            let before = roster.digest();
            let changes = roster.hear([item], now);
            assert_eq!(changes.added, usize::from(roster.digest() != before));
            assert_eq!(changes.added + changes.late, 1, "{changes:?}");
            count += changes.added;
        }
        count
    }

    fn news(of: u8, times: std::ops::Range<u64>) -> impl Iterator<Item = RosterItem> {
        times.map(move |at| RosterItem::Addresses(addresses(of, None, at)))
    }

    #[test]
    fn who_signs_its_addresses_without_end_is_heard_now_and_then() {
        let mut roster = talkers();
        let start = Timestamp(1_000_000);
        let at_once = ADDRESSES_AT_ONCE as usize;
        assert_eq!(taken(&mut roster, news(2, 10..110), start), at_once);
        assert_eq!(taken(&mut roster, news(3, 10..11), start), 1, "others are heard");
        let later = start.after(REFILL);
        assert_eq!(taken(&mut roster, news(2, 200..210), later), 1);
        assert_eq!(
            taken(&mut roster, news(2, 300..310), start),
            0,
            "the clock was set back"
        );
        let much_later = start.after(Span::from_days(30));
        assert_eq!(taken(&mut roster, news(2, 400..500), much_later), at_once);
        let last = roster.addresses(&node(2)).unwrap();
        assert_eq!(last.at, Timestamp(400 + u64::from(ADDRESSES_AT_ONCE) - 1));
    }

    #[test]
    fn what_others_forge_or_say_again_does_not_count() {
        let mut roster = talkers();
        let now = Timestamp(1_000_000);
        let old = RosterItem::Addresses(addresses(2, None, 0));
        let mut bytes = addresses(2, None, 50).to_bytes();
        *bytes.last_mut().unwrap() ^= 1;
        let forged = crate::attest::Attestation::from_bytes(&bytes).unwrap();
        for _ in 0..100 {
            let changes = roster.hear([old.clone(), RosterItem::Addresses(forged.clone())], now);
            assert_eq!((changes.added, changes.refused, changes.late), (0, 2, 0));
        }
        assert_eq!(taken(&mut roster, news(2, 60..61), now), 1);
    }

    #[test]
    fn an_archive_that_certifies_without_end_is_heard_now_and_then() {
        let mut roster = talkers();
        let items = (100..200).map(|device| statement(&certified(60, device, device)));
        let mut added = 0;
        for item in items {
            added += roster.hear([item], Timestamp(1)).added;
        }
        assert!(added <= STATEMENTS_PER_ARCHIVE_MAX, "{added}");
        assert_eq!(roster.pace.0.len(), 1);
    }

    #[test]
    fn a_newcomer_hears_of_a_full_circle_at_once() {
        let line = invitation(ADMIN, 50, u32::MAX);
        let nodes = 2..=250;
        let mut items = vec![charter(0, &[ADMIN])];
        items.extend(
            nodes
                .clone()
                .map(|joiner| admission(&line, joiner, ADMIN, 1, false)),
        );
        items.extend(nodes.map(|of| RosterItem::Addresses(addresses(of, None, 1))));
        let mut roster = Roster::new(circle());
        let mut late = 0;
        // In pages, as they come.
        for page in items.chunks(100) {
            late += roster.hear(page.to_vec(), Timestamp(1)).late;
        }
        assert_eq!((late, roster.admitted_count()), (0, 250));
    }
}
