use libp2p::identity::Keypair;

use super::*;

fn at(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

#[test]
fn node_ids_and_peer_ids_name_the_same_key() {
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let node = node_of(&peer).unwrap();
    assert_eq!(
        node.as_bytes(),
        &key.public().try_into_ed25519().unwrap().to_bytes()
    );
    assert_eq!(peer_of(&node), Some(peer));
}

#[test]
fn a_peer_id_that_is_only_a_hash_is_no_node() {
    let hashed = PeerId::from_bytes(&[&[0x12, 0x20][..], &[7; 32]].concat()).unwrap();
    assert_eq!(node_of(&hashed), None);
}

#[test]
fn bulk_prefers_the_house_then_tcp_then_quic_then_a_relay() {
    let paths = [
        "/ip4/192.168.1.7/tcp/1",
        "/ip4/192.168.1.7/udp/1/quic-v1",
        "/ip4/9.9.9.9/tcp/1",
        "/ip4/9.9.9.9/udp/1/quic-v1",
        "/ip4/9.9.9.9/tcp/1/p2p-circuit",
    ]
    .map(|text| Path::to(&at(text)));
    assert!(paths.is_sorted());
    assert_eq!(paths[4].class, PathClass::Relayed);
}

#[test]
fn loopback_is_shown_last() {
    let mut addresses = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/9.9.9.9/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip4/10.0.0.1/udp/1/quic-v1",
    ]
    .map(at);
    addresses.sort_by_key(rank);
    assert_eq!(addresses.first(), Some(&at("/ip4/10.0.0.1/udp/1/quic-v1")));
    assert!(
        addresses[2..]
            .iter()
            .all(|address| reach_of(address) == Reach::Machine)
    );
}

#[test]
fn a_far_node_cannot_send_us_to_our_own_machine_or_house() {
    let far = at("/ip4/9.9.9.9/tcp/1");
    let house = at("/ip4/192.168.1.7/tcp/1");
    let machine = at("/ip4/127.0.0.1/tcp/1");
    assert!(!is_useful(&machine, &far) && !is_useful(&machine, &house) && is_useful(&machine, &machine));
    assert!(!is_useful(&house, &far) && is_useful(&house, &house));
    assert!(is_useful(&far, &house) && is_useful(&at("/dns4/a.example/tcp/1"), &far));
    assert!(!is_useful(&at("/ip4/0.0.0.0/tcp/1"), &machine));
    assert!(!is_useful(&at("/ip6/::ffff:127.0.0.1/tcp/1"), &far));
}

#[test]
fn the_peer_at_the_end_of_an_address_comes_off() {
    let peer = Keypair::generate_ed25519().public().to_peer_id();
    let plain = at("/ip4/127.0.0.1/tcp/1");
    let named = plain.clone().with(Protocol::P2p(peer));
    assert_eq!(split_peer(named), (plain.clone(), Some(peer)));
    assert_eq!(split_peer(plain.clone()), (plain, None));
}
