use proptest::prelude::*;

use super::*;
use crate::bounded::Text;
use crate::membership::fixture::{ADMIN, EXPIRES, circle, invitation, key, node};

#[test]
fn a_line_and_back_is_the_same_invitation() {
    let made = invitation(ADMIN, 50, 3);
    let line = made.to_line();
    assert!(line.starts_with("nuthatch1:"));
    for written in [
        line.clone(),
        line.to_uppercase(),
        format!("  {}\n {}\r\n", &line[..40], &line[40..]),
    ] {
        let read = Invitation::parse_line(&written).unwrap();
        assert_eq!(read.terms(), made.terms());
        assert_eq!(read.addresses(), made.addresses());
        assert_eq!(read.to_line(), line);
    }
    assert_eq!(made.terms().inviter, node(ADMIN));
}

#[test]
fn the_secret_is_in_the_line_and_nowhere_else() {
    let made = invitation(ADMIN, 50, 1);
    let proof = made
        .prove(node(2), Name::cut("two"), node(ADMIN), Nonce([1; 32]))
        .unwrap();
    for public in [
        made.cert().to_bytes(),
        proof.to_bytes(),
        format!("{made:?}").into_bytes(),
    ] {
        assert!(!public.windows(32).any(|window| window == [50; 32]));
    }
}

#[test]
fn the_longest_invitation_fits_its_line_and_a_qr_code() {
    let terms = InviteTerms {
        circle: circle(),
        epoch: u32::MAX,
        expires: Timestamp(u64::MAX),
        uses: u32::MAX,
        addresses: vec![Address::cut(&"x".repeat(ADDRESS_LEN_MAX)); 20],
    };
    let made = Invitation::issue(terms, &key(ADMIN), &[50; 32]).unwrap();
    let line = made.to_line();
    assert!(!made.addresses().is_empty());
    assert!(line.len() <= INVITATION_LINE_LEN_MAX, "{} characters", line.len());
    assert!(Invitation::parse_line(&line).is_ok());
    // The dense alphabet of QR codes: digits, capital letters, and the colon among nine signs.
    assert!(
        line.to_uppercase()
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b':')
    );
}

#[test]
fn usual_addresses_all_fit() {
    let addresses: Vec<Address> = (0..INVITATION_ADDRESSES_MAX)
        .map(|n| Address::cut(&format!("/ip4/203.0.113.{n}/udp/24480/quic-v1")))
        .collect();
    let terms = InviteTerms {
        circle: circle(),
        epoch: 0,
        expires: EXPIRES,
        uses: 1,
        addresses: addresses.clone(),
    };
    let made = Invitation::issue(terms, &key(ADMIN), &[50; 32]).unwrap();
    assert_eq!(made.addresses(), addresses);
}

#[test]
fn what_is_no_invitation_says_so() {
    let line = invitation(ADMIN, 50, 1).to_line();
    for (text, expected) in [
        (String::new(), ParseLineError::NotAnInvitation),
        ("hello".to_owned(), ParseLineError::NotAnInvitation),
        (
            line.replacen("nuthatch1", "nuthatchx", 1),
            ParseLineError::NotAnInvitation,
        ),
        (line.replacen("nuthatch1", "nuthatch2", 1), ParseLineError::Newer),
        (line[..line.len() - 8].to_owned(), ParseLineError::Checksum),
        (format!("{line}aaaaaaaa"), ParseLineError::Checksum),
        ("nuthatch1:".to_owned(), ParseLineError::Checksum),
        ("x".repeat(5000), ParseLineError::TooLong { found: 5000 }),
    ] {
        assert_eq!(Invitation::parse_line(&text).map(|_| ()), Err(expected), "{text}");
    }
}

#[test]
fn an_invitation_admits_at_least_one() {
    let terms = InviteTerms {
        circle: circle(),
        epoch: 0,
        expires: EXPIRES,
        uses: 0,
        addresses: Vec::new(),
    };
    assert!(matches!(
        Invitation::issue(terms, &key(ADMIN), &[50; 32]),
        Err(InviteError::NoUses)
    ));
}

#[test]
fn a_secret_that_is_not_the_invitations_is_refused() {
    let made = invitation(ADMIN, 50, 1);
    let mut other = made.clone();
    other.secret = key(51);
    assert_eq!(
        Invitation::parse_line(&other.to_line()).map(|_| ()),
        Err(ParseLineError::OtherSecret)
    );
    let payload = Payload {
        addresses: List::first_of([Text::cut("/ip4/192.0.2.9/tcp/1")]),
        ..made.payload()
    };
    assert!(codec::encode(&payload).len() <= PAYLOAD_LEN_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_wrong_character_is_found_by_the_checksum(place in any::<usize>(), other in "[a-z2-7]") {
        let line = invitation(ADMIN, 50, 1).to_line();
        let start = "nuthatch1:".len();
        let place = start + place % (line.len() - start);
        let mut wrong = line.clone();
        wrong.replace_range(place..=place, &other);
        prop_assume!(wrong != line);
        prop_assert_eq!(Invitation::parse_line(&wrong).map(|_| ()), Err(ParseLineError::Checksum));
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in "\\PC{0,200}") {
        prop_assert!(Invitation::parse_line(&text).is_err());
        let with_scheme = format!("nuthatch1:{text}");
        prop_assert!(Invitation::parse_line(&with_scheme).is_err());
    }
}
