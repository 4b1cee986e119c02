use std::time::Duration;

use tokio::time::timeout;

use super::{Node, PATIENCE, TCP};
use crate::{Event, Standing};

/// A line of three: the first and the last know the middle only.
async fn line(seed: u8) -> (Node, Node, Node) {
    let (mut one, mut two, mut three) = (
        Node::member(seed, TCP),
        Node::member(seed + 1, TCP),
        Node::member(seed + 2, TCP),
    );
    one.dial(&two).await;
    assert_eq!(one.introduced().await, two.id());
    assert_eq!(two.introduced().await, one.id());
    three.dial(&two).await;
    assert_eq!(three.introduced().await, two.id());
    assert_eq!(two.introduced().await, three.id());
    (one, two, three)
}

#[tokio::test]
async fn a_node_is_found_through_one_that_knows_it() {
    let (one, _two, three) = line(200).await;
    let found = timeout(PATIENCE, one.transport.find_node(three.id()))
        .await
        .unwrap();
    assert_eq!(found, three.transport.listen_addresses().await);
    assert_eq!(one.transport.dial(Some(three.id()), found).await, Ok(three.id()));
}

#[tokio::test]
async fn who_provides_a_key_is_found_by_it_and_by_no_other() {
    let (one, _two, three) = line(203).await;
    three.transport.provide([7; 32]).await;
    assert_eq!(one.transport.providers([7; 32]).await, vec![three.id()]);
    assert!(one.transport.providers([8; 32]).await.is_empty());
}

#[tokio::test]
async fn alone_every_look_up_ends_at_once_with_nothing() {
    let one = Node::member(206, TCP);
    let nobody = nuthatch_format::NodeId::from_bytes([1; 32]);
    let all = async {
        assert!(one.transport.find_node(nobody).await.is_empty());
        assert!(one.transport.providers([1; 32]).await.is_empty());
        one.transport.provide([1; 32]).await;
        assert_eq!(one.transport.providers([1; 32]).await, vec![one.id()]);
    };
    timeout(Duration::from_secs(2), all).await.expect("at once");
}

#[tokio::test]
async fn an_address_that_a_caller_gives_is_passed_on() {
    let (mut one, mut two) = (Node::member(207, TCP), Node::member(208, TCP));
    let three = Node::member(209, TCP);
    one.dial(&two).await;
    one.introduced().await;
    two.introduced().await;
    let there = three.transport.listen_addresses().await;
    for address in &there {
        two.transport.add_address(three.id(), address);
    }
    let found = async {
        while one.transport.find_node(three.id()).await != there {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, found).await.expect("the table knows it");
}

#[tokio::test]
async fn neighbours_find_each_other_where_the_network_lets_them() {
    let search = |seed| {
        Node::with(seed, Standing::Member, &["/ip4/0.0.0.0/tcp/0"], |config| {
            config.mdns = true;
        })
    };
    let (mut one, two) = (search(210), search(211));
    let first = one.events.recv().await;
    if let Some(Event::Degraded(degraded)) = first {
        // A machine without the means: it said so and runs.
        assert!(!one.transport.listen_addresses().await.is_empty(), "{degraded}");
        return;
    }
    let wanted = two.id();
    let found = one.event(|event| match event {
        Event::Discovered { node, address } if node == wanted => Some(address),
        _ => None,
    });
    let address = found.await;
    assert_eq!(one.transport.dial(Some(wanted), vec![address]).await, Ok(wanted));
}
