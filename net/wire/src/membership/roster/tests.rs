use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::hostile;
use crate::membership::Invitation;
use crate::membership::fixture::{
    ADMIN, CIRCLE, addresses, admission, archive, certified, charter, circle, founded, invitation, key, node,
    removal, revoked, statement,
};

/// A circle with an admin, three members by themselves (4 admitted by 2), a used-up invitation, an archive of 2's with nodes 20 and 21
/// (21's device revoked), a removed member, and addresses.
fn story() -> Vec<RosterItem> {
    let open = invitation(ADMIN, 50, 9);
    let single = invitation(ADMIN, 51, 1);
    vec![
        charter(0, &[ADMIN]),
        admission(&open, 2, ADMIN, 10, false),
        admission(&single, 3, ADMIN, 11, false),
        admission(&single, 5, 2, 12, false),
        admission(&open, 4, 2, 13, false),
        admission(&open, 6, ADMIN, 14, false),
        removal(6, ADMIN, 0),
        RosterItem::Addresses(addresses(2, Some(archive(60)), 1)),
        RosterItem::Addresses(addresses(3, None, 1)),
        statement(&certified(60, 70, 2)),
        statement(&certified(60, 71, 20)),
        statement(&certified(60, 72, 21)),
        statement(&revoked(60, 72)),
    ]
}

fn roster_of(items: impl IntoIterator<Item = RosterItem>) -> Roster {
    let mut roster = Roster::new(circle());
    roster.merge(items);
    roster
}

fn standings(roster: &Roster) -> Vec<(NodeId, Standing)> {
    roster.members().collect()
}

#[test]
fn the_rules_give_everybody_their_standing() {
    let roster = roster_of(story());
    assert_eq!(roster.standing(&node(ADMIN)), Some(Standing::Admin));
    for member in [2, 3, 4] {
        assert_eq!(
            roster.standing(&node(member)),
            Some(Standing::Admitted),
            "node {member}"
        );
    }
    assert_eq!(roster.standing(&node(20)), Some(Standing::OfArchive(archive(60))));
    for stranger in [5, 6, 7, 21] {
        assert_eq!(roster.standing(&node(stranger)), None, "node {stranger}");
    }
    assert_eq!(roster.waiting().collect::<Vec<_>>(), [node(5)]);
    assert_eq!(roster.archive_of(&node(20)), Some(archive(60)));
    assert_eq!(roster.name(&node(20)), Some("device 71"));
    assert_eq!(roster.items().count(), story().len());
}

#[test]
fn removal_beats_admission_whichever_comes_first() {
    let line = invitation(ADMIN, 50, 9);
    for items in [
        [
            charter(0, &[ADMIN]),
            admission(&line, 2, ADMIN, 1, false),
            removal(2, ADMIN, 0),
        ],
        [
            charter(0, &[ADMIN]),
            removal(2, ADMIN, 0),
            admission(&line, 2, ADMIN, 999, false),
        ],
    ] {
        let mut roster = Roster::new(circle());
        for item in items {
            roster.merge([item]);
        }
        assert!(!roster.is_member(&node(2)));
    }
}

#[test]
fn only_admins_and_the_circle_remove_and_only_the_circle_removes_an_admin() {
    let mut roster = roster_of(story());
    for (of, by) in [(3, 2), (3, 7), (ADMIN, ADMIN), (ADMIN, 2)] {
        assert_eq!(roster.merge([removal(of, by, 0)]).refused, 1, "{of} by {by}");
    }
    assert_eq!(roster.merge([removal(3, CIRCLE, 0)]).left, [node(3)]);
    roster.merge([removal(ADMIN, CIRCLE, 0)]);
    assert_eq!(roster.members().count(), 0);
    // Whom a lost admin had invited comes back by a new charter's invitations only.
    roster.merge([charter(1, &[8])]);
    assert_eq!(standings(&roster), [(node(8), Standing::Admin)]);
}

#[test]
fn a_removed_member_takes_along_nobody_whom_it_admitted_but_its_archives_nodes() {
    let mut roster = roster_of(story());
    let changes = roster.merge([removal(2, ADMIN, 0)]);
    let mut left = [node(2), node(20)];
    left.sort_unstable();
    assert_eq!(changes.left, left);
    assert!(roster.is_member(&node(4)));
}

#[test]
fn an_archive_comes_in_only_with_the_consent_of_one_of_its_nodes() {
    // Archive 61 certifies member 3, who never said that it is of that archive, and the stranger 22.
    let mut roster = roster_of(story());
    let pulled = [
        statement(&certified(61, 73, 3)),
        statement(&certified(61, 74, 22)),
    ];
    assert_eq!(roster.merge(pulled.clone()).refused, 2);
    assert!(!roster.is_member(&node(22)));
    // A stranger's own word is not enough either.
    roster.merge(pulled.clone().into_iter().chain([RosterItem::Addresses(addresses(
        22,
        Some(archive(61)),
        1,
    ))]));
    assert!(!roster.is_member(&node(22)));
    // With member 3's word it is.
    let changes = roster.merge(pulled.into_iter().chain([RosterItem::Addresses(addresses(
        3,
        Some(archive(61)),
        2,
    ))]));
    assert_eq!(changes.joined, [node(22)]);
}

#[test]
fn revoking_a_stolen_device_does_not_put_the_archives_other_nodes_out() {
    let mut roster = roster_of(story());
    let changes = roster.merge([statement(&revoked(60, 70))]);
    assert_eq!((changes.added, changes.left), (1, Vec::new()));
    assert_eq!(roster.standing(&node(20)), Some(Standing::OfArchive(archive(60))));
    assert_eq!(roster.archive_of(&node(2)), None);
}

#[test]
fn a_node_of_an_archive_brings_in_no_further_archive() {
    let mut roster = roster_of(story());
    roster.merge([
        RosterItem::Addresses(addresses(20, Some(archive(62)), 1)),
        statement(&certified(62, 75, 20)),
        statement(&certified(62, 76, 23)),
    ]);
    assert!(roster.is_member(&node(20)));
    assert!(!roster.is_member(&node(23)));
}

#[test]
fn a_nodes_later_word_replaces_its_earlier_one() {
    let mut roster = roster_of(story());
    let before = roster.items().count();
    roster.merge([RosterItem::Addresses(addresses(3, None, 5))]);
    assert_eq!(
        roster.addresses(&node(3)).map(|addresses| addresses.at.0),
        Some(5)
    );
    roster.merge([RosterItem::Addresses(addresses(3, None, 4))]);
    assert_eq!(
        roster.addresses(&node(3)).map(|addresses| addresses.at.0),
        Some(5)
    );
    assert_eq!(roster.items().count(), before);
}

#[test]
fn strangers_items_are_refused_and_leave_nothing_behind() {
    let mut roster = founded();
    let digest = roster.digest();
    let by_stranger: Invitation = invitation(7, 50, 9);
    let good = invitation(ADMIN, 51, 9);
    let items = vec![
        admission(&by_stranger, 2, ADMIN, 1, false),
        admission(&good, 2, 7, 1, false),
        admission(&good, 2, 7, 1, true),
        removal(ADMIN, 7, 0),
        RosterItem::Addresses(addresses(7, None, 1)),
        statement(&certified(60, 70, 7)),
    ];
    let count = items.len();
    let changes = roster.merge(items);
    assert_eq!((changes.added, changes.refused), (0, count));
    assert_eq!(roster.digest(), digest);
}

#[test]
fn an_approval_by_a_mere_member_is_worth_nothing() {
    let line = invitation(ADMIN, 50, 1);
    let mut roster = founded();
    roster.merge([
        admission(&line, 2, ADMIN, 1, false),
        admission(&line, 3, 2, 2, true),
    ]);
    assert!(roster.is_member(&node(2)) && !roster.is_member(&node(3)));
}

#[test]
fn an_admission_after_the_invitations_end_does_not_hold() {
    let line = invitation(ADMIN, 50, 1);
    let mut roster = founded();
    assert_eq!(roster.merge([admission(&line, 2, ADMIN, 5000, false)]).refused, 1);
    assert_eq!(
        roster.merge([admission(&line, 2, ADMIN, 5000, true)]).joined,
        [node(2)]
    );
}

#[test]
fn who_was_admitted_by_an_admin_is_not_displaced_by_a_back_dated_admission() {
    let line = invitation(ADMIN, 50, 1);
    let other = invitation(ADMIN, 51, 1);
    let mut roster = founded();
    roster.merge([
        admission(&other, 2, ADMIN, 1, false),
        admission(&line, 3, ADMIN, 500, false),
    ]);
    let changes = roster.merge([admission(&line, 4, 2, 0, false)]);
    assert_eq!(changes.waiting, [node(4)]);
    assert!(roster.is_member(&node(3)) && !roster.is_member(&node(4)));
}

#[test]
fn a_member_displaces_nobody_by_admitting_many_who_wait() {
    let open = invitation(ADMIN, 50, 9);
    let honest = [
        charter(0, &[ADMIN]),
        admission(&open, 2, ADMIN, 10, false),
        admission(&open, 3, ADMIN, 11, false),
        admission(&open, 4, 2, 12, false),
        // Used up by 6: 5 waits for a person.
        admission(&invitation(ADMIN, 51, 1), 6, ADMIN, 9, false),
        admission(&invitation(ADMIN, 51, 1), 5, 2, 13, false),
    ];
    // Member 3 dates them before everybody.
    let made_up: Vec<RosterItem> = (100..103)
        .flat_map(|number| {
            let line = invitation(ADMIN, number, 1);
            (10..=250).map(move |joiner| admission(&line, joiner, 3, 0, false))
        })
        .collect();
    assert!(made_up.len() > ADMISSIONS_MAX);
    let mut roster = roster_of(honest.clone());
    roster.merge(made_up.clone());
    for member in [2, 3, 4, 6] {
        assert!(roster.is_member(&node(member)), "node {member}");
    }
    assert!(roster.waiting().any(|waiting| waiting == node(5)));
    assert_eq!(roster.waiting().count(), 1 + WAITING_PER_MEMBER_MAX);
    // The same whichever came first, and again from what is left.
    let other = roster_of(made_up.into_iter().chain(honest));
    assert_eq!(other.digest(), roster.digest());
    let again = roster_of(roster.items().cloned());
    assert_eq!(
        (again.digest(), standings(&again)),
        (roster.digest(), standings(&roster))
    );
}

#[test]
fn a_charter_of_a_higher_epoch_replaces_the_lower() {
    let mut roster = founded();
    roster.merge([charter(2, &[ADMIN, 8])]);
    roster.merge([charter(1, &[9])]);
    assert_eq!(roster.epoch(), 2);
    assert!(roster.is_admin(&node(8)) && !roster.is_admin(&node(9)));
    assert_eq!(roster.items().count(), 1);
}

#[test]
fn a_charter_names_its_admins_in_one_order() {
    let mut admins = [node(ADMIN), node(8)];
    admins.sort_unstable();
    let [first, second] = admins;
    for (admins, holds) in [
        (vec![first, second], true),
        (vec![second, first], false),
        (vec![first, first], false),
    ] {
        let charter = Charter {
            circle: circle(),
            epoch: 0,
            name: crate::membership::Name::cut("friends"),
            admins: List::first_of(admins),
        };
        let signed = crate::Attestation::sign(&charter, &key(CIRCLE)).unwrap();
        assert_eq!(signed.open().is_ok(), holds);
    }
}

#[test]
fn pages_together_are_the_roster() {
    let roster = roster_of(story());
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = roster.page(after);
        pages.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let copy = roster_of(pages);
    assert_eq!(copy.digest(), roster.digest());
    assert_eq!(standings(&copy), standings(&roster));
}

#[test]
fn a_long_roster_goes_in_several_pages_and_ends() {
    let line = invitation(ADMIN, 50, u32::MAX);
    let joiners = (110..=250).map(|joiner| admission(&line, joiner, ADMIN, 1, false));
    let mut roster = founded();
    roster.merge(joiners.chain((110..=250).map(|node| RosterItem::Addresses(addresses(node, None, 1)))));
    let (mut seen, mut pages) = (0, 0);
    let mut page = roster.page(None);
    loop {
        (seen, pages) = (seen + page.items.len(), pages + 1);
        assert_fits_a_message(&page);
        let Some(next) = page.next else { break };
        page = roster.page(Some(next));
    }
    assert!(pages > 2);
    assert_eq!(seen, roster.items().count());
}

/// A circle of 200 in chains of ten: the admin admits the first of each, each admits the next.
#[test]
fn every_welcome_proves_to_its_joiner_that_it_is_a_member() {
    let line = invitation(ADMIN, 50, u32::MAX);
    let joiners = 2..=201;
    let items = joiners.clone().map(|joiner| {
        let host = if joiner % 10 == 2 { ADMIN } else { joiner - 1 };
        admission(&line, joiner, host, u64::from(joiner), false)
    });
    let mut roster = founded();
    roster.merge(items);
    assert_eq!(roster.admitted_count(), 201);
    for joiner in joiners.step_by(7) {
        let welcome = roster.welcome(&node(joiner));
        assert!(welcome.len() < roster.items().count(), "not all of it fits");
        let told = roster_of(welcome);
        assert!(told.is_member(&node(joiner)), "node {joiner}");
    }
    let to_nobody = roster.welcome(&node(250));
    assert!(matches!(to_nobody.first(), Some(RosterItem::Charter(_))));
}

fn assert_fits_a_message(page: &RosterPage) {
    let reply = crate::message::Reply::Roster(page.clone());
    assert!(nuthatch_format::codec::encode(&reply).len() <= crate::protocol::MESSAGE_LEN_MAX);
}

#[test]
fn roster_items_have_one_encoding() {
    for item in story() {
        hostile::assert_one_encoding(&item);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn members_do_not_depend_on_the_order_in_a_batch(swaps in proptest::collection::vec((any::<Index>(), any::<Index>()), 0..20)) {
        let mut items = story();
        for (a, b) in swaps {
            let (a, b) = (a.index(items.len()), b.index(items.len()));
            items.swap(a, b);
        }
        let shuffled = roster_of(items);
        let straight = roster_of(story());
        prop_assert_eq!(shuffled.digest(), straight.digest());
        prop_assert_eq!(standings(&shuffled), standings(&straight));
    }

    #[test]
    fn two_rosters_that_exchange_until_they_agree_have_the_same_members(
        ours in proptest::collection::vec(any::<bool>(), 13),
        theirs in proptest::collection::vec(any::<bool>(), 13),
    ) {
        let pick = |mask: &[bool]| {
            let picked = story().into_iter().zip(mask.iter().copied());
            let picked: Vec<_> = picked.filter(|(_, keep)| *keep).map(|(item, _)| item).collect();
            let mut roster = founded();
            roster.merge(picked);
            roster
        };
        let (mut a, mut b) = (pick(&ours), pick(&theirs));
        let mut rounds = 0;
        while a.digest() != b.digest() {
            let from_a: Vec<_> = a.items().cloned().collect();
            let from_b: Vec<_> = b.items().cloned().collect();
            a.merge(from_b);
            b.merge(from_a);
            rounds += 1;
            prop_assert!(rounds <= 3);
        }
        prop_assert_eq!(standings(&a), standings(&b));
    }
}
