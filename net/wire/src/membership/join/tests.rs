use nuthatch_format::codec;
use proptest::prelude::*;

use super::*;
use crate::hostile;
use crate::membership::fixture::{
    ADMIN, EXPIRES, NOW, addresses, admission, archive, certificate_bytes, certified, charter, facts,
    founded, invitation, key, node, petition, removal, statement,
};
use crate::membership::{Invitation, InviteTerms, Standing};

fn admit(roster: &mut Roster, invitation: &Invitation, joiner: u8, host: u8) -> Admit {
    roster.admit(&petition(invitation, joiner, host), &facts(joiner), &key(host))
}

#[test]
fn whoever_has_the_secret_is_admitted_by_any_member() {
    let mut roster = founded();
    let line = invitation(ADMIN, 50, 2);
    assert_eq!(admit(&mut roster, &line, 2, ADMIN), Admit::Admitted);
    assert_eq!(admit(&mut roster, &line, 3, 2), Admit::Admitted);
    assert_eq!(roster.standing(&node(3)), Some(Standing::Admitted));
    assert_eq!(roster.name(&node(3)), Some("node 3"));
}

#[test]
fn a_second_node_on_one_use_waits_for_a_person() {
    let mut roster = founded();
    let line = invitation(ADMIN, 50, 1);
    assert_eq!(admit(&mut roster, &line, 2, ADMIN), Admit::Admitted);
    // Also at another member, which has heard of the first.
    assert_eq!(
        admit(&mut roster, &line, 3, ADMIN),
        Admit::WaitsForPerson(WaitReason::Used)
    );
    assert_eq!(
        admit(&mut roster, &line, 3, 2),
        Admit::WaitsForPerson(WaitReason::Used)
    );
    assert!(!roster.is_member(&node(3)));
    // The first one may ask again: its answer may have been lost.
    assert_eq!(admit(&mut roster, &line, 2, ADMIN), Admit::Admitted);
}

#[test]
fn an_admin_may_decide_for_who_waits_and_nobody_else() {
    let mut roster = founded();
    let line = invitation(ADMIN, 50, 1);
    assert_eq!(admit(&mut roster, &line, 2, ADMIN), Admit::Admitted);
    let at_member = petition(&line, 3, 2);
    assert_eq!(
        roster.approve(&at_member, &facts(3), &key(2)),
        Admit::Refused(JoinRefusal::NotValid)
    );
    let at_admin = petition(&line, 3, ADMIN);
    assert_eq!(roster.approve(&at_admin, &facts(3), &key(ADMIN)), Admit::Admitted);
    assert!(roster.is_member(&node(2)) && roster.is_member(&node(3)));
}

#[test]
fn an_expired_invitation_is_refused() {
    let mut roster = founded();
    let late = JoinFacts {
        now: Timestamp(EXPIRES.0 + 1),
        ..facts(2)
    };
    let petition = petition(&invitation(ADMIN, 50, 1), 2, ADMIN);
    assert_eq!(
        roster.admit(&petition, &late, &key(ADMIN)),
        Admit::Refused(JoinRefusal::Expired)
    );
    let just = JoinFacts { now: EXPIRES, ..late };
    assert_eq!(roster.admit(&petition, &just, &key(ADMIN)), Admit::Admitted);
}

#[test]
fn an_invitation_by_somebody_who_is_no_admin_is_refused() {
    let mut roster = founded();
    assert_eq!(
        admit(&mut roster, &invitation(7, 50, 1), 2, ADMIN),
        Admit::Refused(JoinRefusal::NotValid)
    );
    // A member is no admin.
    assert_eq!(
        admit(&mut roster, &invitation(ADMIN, 50, 1), 2, ADMIN),
        Admit::Admitted
    );
    assert_eq!(
        admit(&mut roster, &invitation(2, 51, 1), 3, ADMIN),
        Admit::Refused(JoinRefusal::NotValid)
    );
}

#[test]
fn a_proof_holds_for_one_circle_one_node_one_host_and_one_nonce() {
    let line = invitation(ADMIN, 50, 9);
    let mut roster = founded();
    assert_eq!(admit(&mut roster, &line, 2, ADMIN), Admit::Admitted);
    let made = petition(&line, 3, ADMIN);

    let other_node = JoinFacts {
        joiner: node(4),
        ..facts(3)
    };
    let other_nonce = JoinFacts {
        nonce: Nonce([77; 32]),
        ..facts(3)
    };
    for facts in [other_node, other_nonce] {
        assert_eq!(
            roster.admit(&made, &facts, &key(ADMIN)),
            Admit::Refused(JoinRefusal::NotValid)
        );
    }
    // Replayed at another member.
    assert_eq!(
        roster.admit(&made, &facts(3), &key(2)),
        Admit::Refused(JoinRefusal::NotValid)
    );
    // In another circle that trusts the same admin.
    let terms = InviteTerms {
        circle: CircleId::from_bytes(key(99).public()),
        epoch: 0,
        expires: EXPIRES,
        uses: 1,
        addresses: Vec::new(),
    };
    let elsewhere = Invitation::issue(terms, &key(ADMIN), &[50; 32]).unwrap();
    assert_eq!(
        admit(&mut roster, &elsewhere, 3, ADMIN),
        Admit::Refused(JoinRefusal::NotValid)
    );
    // With the words of one invitation and the secret of another.
    let crossed = Petition {
        invitation: invitation(ADMIN, 51, 9).cert().clone(),
        ..made.clone()
    };
    assert_eq!(
        roster.admit(&crossed, &facts(3), &key(ADMIN)),
        Admit::Refused(JoinRefusal::NotValid)
    );
    // At a host that is no member.
    assert_eq!(
        admit(&mut roster, &line, 3, 9),
        Admit::Refused(JoinRefusal::NotValid)
    );
    assert_eq!(roster.admit(&made, &facts(3), &key(ADMIN)), Admit::Admitted);
}

#[test]
fn a_removed_node_is_refused_until_it_is_invited_anew() {
    let mut roster = founded();
    let line = invitation(ADMIN, 50, 1);
    assert_eq!(admit(&mut roster, &line, 2, ADMIN), Admit::Admitted);
    roster.merge([removal(2, ADMIN, 0)]);
    assert!(!roster.is_member(&node(2)));
    assert_eq!(
        admit(&mut roster, &line, 2, ADMIN),
        Admit::Refused(JoinRefusal::Removed)
    );
    assert_eq!(
        admit(&mut roster, &invitation(ADMIN, 51, 1), 2, ADMIN),
        Admit::Refused(JoinRefusal::Removed)
    );

    roster.merge([charter(1, &[ADMIN])]);
    let terms = InviteTerms {
        circle: roster.circle(),
        epoch: 1,
        expires: EXPIRES,
        uses: 1,
        addresses: Vec::new(),
    };
    let anew = Invitation::issue(terms, &key(ADMIN), &[52; 32]).unwrap();
    assert_eq!(admit(&mut roster, &anew, 2, ADMIN), Admit::Admitted);
}

#[test]
fn a_removed_members_use_stays_used() {
    let mut roster = founded();
    let line = invitation(ADMIN, 50, 1);
    assert_eq!(admit(&mut roster, &line, 2, ADMIN), Admit::Admitted);
    roster.merge([removal(2, ADMIN, 0)]);
    assert_eq!(
        admit(&mut roster, &line, 3, ADMIN),
        Admit::WaitsForPerson(WaitReason::Used)
    );
}

#[test]
fn a_joiner_brings_its_archive_and_the_archives_other_nodes() {
    let mut roster = founded();
    let with_archive = Petition {
        addresses: Some(addresses(2, Some(archive(60)), 1)),
        certificate: Some(certificate_bytes(&certified(60, 70, 2))),
        ..petition(&invitation(ADMIN, 50, 1), 2, ADMIN)
    };
    assert_eq!(
        roster.admit(&with_archive, &facts(2), &key(ADMIN)),
        Admit::Admitted
    );
    assert_eq!(roster.archive_of(&node(2)), Some(archive(60)));
    assert_eq!(
        roster.addresses(&node(2)).map(|addresses| addresses.at),
        Some(Timestamp(1))
    );
}

#[test]
fn a_node_that_is_a_member_by_its_archive_admits_nobody() {
    let mut roster = founded();
    let with_archive = Petition {
        addresses: Some(addresses(2, Some(archive(60)), 1)),
        certificate: Some(certificate_bytes(&certified(60, 70, 2))),
        ..petition(&invitation(ADMIN, 50, 1), 2, ADMIN)
    };
    assert_eq!(
        roster.admit(&with_archive, &facts(2), &key(ADMIN)),
        Admit::Admitted
    );
    roster.merge([statement(&certified(60, 71, 20))]);
    assert_eq!(roster.standing(&node(20)), Some(Standing::OfArchive(archive(60))));
    assert_eq!(
        admit(&mut roster, &invitation(ADMIN, 51, 1), 3, 20),
        Admit::Refused(JoinRefusal::NotValid)
    );
}

#[test]
fn what_a_joiner_says_wrongly_of_itself_does_not_stop_it() {
    let mut roster = founded();
    let odd = Petition {
        addresses: Some(addresses(9, None, 1)),
        certificate: Some(CertificateBytes::new(b"nonsense".to_vec()).unwrap()),
        ..petition(&invitation(ADMIN, 50, 1), 2, ADMIN)
    };
    assert_eq!(roster.admit(&odd, &facts(2), &key(ADMIN)), Admit::Admitted);
    assert_eq!(roster.addresses(&node(9)), None);
}

#[test]
fn a_full_circle_admits_nobody() {
    let mut roster = founded();
    let line = invitation(ADMIN, 50, u32::MAX);
    let joiners: Vec<_> = (0..CIRCLE_MEMBERS_MAX as u16 - 1).map(many).collect();
    for joiner in &joiners {
        let petition = petition_of(&line, joiner);
        assert_eq!(
            roster.admit(&petition, &facts_of(joiner), &key(ADMIN)),
            Admit::Admitted
        );
    }
    assert_eq!(roster.admitted_count(), CIRCLE_MEMBERS_MAX);
    let last = many(9999);
    assert_eq!(
        roster.admit(&petition_of(&line, &last), &facts_of(&last), &key(ADMIN)),
        Admit::Refused(JoinRefusal::Full)
    );
}

fn many(number: u16) -> NodeId {
    let mut bytes = [200; 32];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    NodeId::from_bytes(bytes)
}

fn facts_of(joiner: &NodeId) -> JoinFacts {
    JoinFacts {
        joiner: *joiner,
        nonce: Nonce([1; 32]),
        now: NOW,
    }
}

fn petition_of(line: &Invitation, joiner: &NodeId) -> Petition {
    let name = crate::membership::Name::cut("one of many");
    Petition {
        invitation: line.cert().clone(),
        proof: line
            .prove(*joiner, name, node(ADMIN), facts_of(joiner).nonce)
            .unwrap(),
        addresses: None,
        certificate: None,
    }
}

#[test]
fn join_messages_have_one_encoding() {
    let full = Petition {
        addresses: Some(addresses(2, Some(archive(60)), 1)),
        certificate: Some(certificate_bytes(&certified(60, 70, 2))),
        ..petition(&invitation(ADMIN, 50, 1), 2, ADMIN)
    };
    hostile::assert_one_encoding(&JoinRequest::Hello(CircleId::from_bytes([1; 32])));
    hostile::assert_one_encoding(&JoinRequest::Petition(Box::new(full)));
    let items = [
        charter(0, &[ADMIN]),
        admission(&invitation(ADMIN, 50, 1), 2, ADMIN, 1, false),
    ];
    for reply in [
        JoinReply::Refused(JoinRefusal::Expired),
        JoinReply::Nonce(Nonce([1; 32])),
        JoinReply::Admitted(List::first_of(items)),
        JoinReply::Waits(WaitReason::Used),
    ] {
        hostile::assert_one_encoding(&reply);
    }
    assert_eq!(
        codec::encode(&JoinReply::Refused(JoinRefusal::NotValid)),
        [0x82, 0x00, 0x00]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_changed_petition_admits_nobody(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        place in any::<usize>(),
        flip in 1u8..=255,
    ) {
        let request = codec::encode(&JoinRequest::Petition(Box::new(petition(&invitation(ADMIN, 50, 1), 2, ADMIN))));
        hostile::assert_garbage_is_harmless::<JoinRequest>(&request, &garbage, (place, flip))?;
        let mut changed = request;
        let place = place % changed.len();
        changed[place] ^= flip;
        if let Ok(JoinRequest::Petition(petition)) = codec::decode(&changed) {
            let decided = founded().admit(&petition, &facts(2), &key(ADMIN));
            prop_assert_eq!(decided, Admit::Refused(JoinRefusal::NotValid));
        }
    }
}
