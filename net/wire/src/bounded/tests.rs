use super::*;

#[test]
fn a_bound_holds_when_made_and_when_decoded() {
    assert!(List::<u8, 2>::new(vec![1, 2, 3]).is_err());
    assert_eq!(List::<u8, 2>::first_of([1, 2, 3]).len(), 2);
    let three = minicbor::to_vec(List::<u8, 3>::new(vec![1, 2, 3]).unwrap()).unwrap();
    assert!(minicbor::decode::<List<u8, 3>>(&three).is_ok());
    assert!(minicbor::decode::<List<u8, 2>>(&three).is_err());

    assert!(Text::<4>::new("hello").is_err());
    let text = minicbor::to_vec("hello").unwrap();
    assert!(minicbor::decode::<Text<5>>(&text).is_ok());
    assert!(minicbor::decode::<Text<4>>(&text).is_err());

    assert!(Opaque::<4>::new(vec![0; 5]).is_err());
    let bytes = minicbor::to_vec(Opaque::<5>::new(vec![0; 5]).unwrap()).unwrap();
    assert!(minicbor::decode::<Opaque<4>>(&bytes).is_err());
}

#[test]
fn a_text_carries_no_control_characters() {
    assert_eq!(Text::<16>::new("a\u{1b}[31m").unwrap().as_str(), "a\u{fffd}[31m");
    assert!(minicbor::decode::<Text<16>>(&minicbor::to_vec("a\nb").unwrap()).is_err());
}

#[test]
fn a_cut_text_ends_at_a_character() {
    assert_eq!(Text::<5>::cut("naïveté").as_str(), "naïv");
    assert_eq!(Text::<3>::cut("naïveté").as_str(), "na");
}

#[test]
fn a_list_that_claims_more_than_it_holds_is_an_error_and_allocates_nothing() {
    // An array of 2³² − 1 items that are not there.
    let claim = [0x9a, 0xff, 0xff, 0xff, 0xff];
    assert!(minicbor::decode::<List<u64, { usize::MAX }>>(&claim).is_err());
    assert!(minicbor::decode::<List<u64, 8>>(&[0x9f, 0xff]).is_err());
}
