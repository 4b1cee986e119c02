use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Node, PATIENCE, TCP, ask};
use crate::control::ControlStream;
use crate::protocol::Protocol;
use crate::{ControlProtocol, DialError, OpenError, RequestError, Standing};

fn not_offered(asked: &Result<Vec<u8>, RequestError>) -> bool {
    matches!(asked, Err(RequestError::Open(OpenError::NotOffered)))
}

#[tokio::test]
async fn a_stranger_reaches_joining_and_claiming_and_nothing_else_until_it_is_a_member() {
    let strangers = |seed| Node::with(seed, Standing::Stranger, &[TCP], |_| {});
    let (mut one, mut host) = (strangers(100), strangers(101));
    one.dial(&host).await;
    host.connected().await;
    let (to, book) = (host.id(), Arc::clone(&host.book));
    host.transport.provide([1; 32]).await;
    let host = host.answer();
    for open in [ControlProtocol::Join, ControlProtocol::Claim] {
        assert_eq!(
            ask(&one.transport, to, open, b"let me in").await.unwrap(),
            b"let me in"
        );
    }
    assert!(not_offered(
        &ask(&one.transport, to, ControlProtocol::Control, b"?").await
    ));
    assert_eq!(
        one.transport.open_bulk(to).await.unwrap_err(),
        OpenError::NotOffered
    );
    one.book.set(to, Standing::Member);
    one.transport.reconsider(to);
    assert!(
        one.transport.providers([1; 32]).await.is_empty(),
        "the address tables are for members"
    );
    one.book.set(to, Standing::Stranger);
    one.transport.reconsider(to);
    assert_eq!(one.disconnected().await, to);

    // As a member it can, over a connection that stood before.
    let addresses = host.listen_addresses().await;
    one.transport.dial(Some(to), addresses).await.unwrap();
    book.set(one.id(), Standing::Member);
    host.reconsider(one.id());
    let let_in = async {
        while not_offered(&ask(&one.transport, to, ControlProtocol::Control, b"?").await) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, let_in).await.expect("a member may ask");
    one.book.set(to, Standing::Member);
    one.transport.reconsider(to);
    assert_eq!(one.introduced().await, to);
    one.transport.open_bulk(to).await.unwrap();
    assert_eq!(one.transport.providers([1; 32]).await, [to]);
}

#[tokio::test]
async fn who_is_let_in_may_ask_at_once_before_anybody_looks_again() {
    let one = Node::member(167, TCP);
    let mut host = Node::with(168, Standing::Stranger, &[TCP], |_| {});
    one.dial(&host).await;
    host.connected().await;
    let (to, book) = (host.id(), Arc::clone(&host.book));
    let _host = host.answer();
    assert!(not_offered(
        &ask(&one.transport, to, ControlProtocol::Control, b"?").await
    ));
    for standing in [Standing::Claimant, Standing::Member] {
        book.set(one.id(), standing);
        assert_eq!(
            ask(&one.transport, to, ControlProtocol::Control, b"?")
                .await
                .unwrap(),
            b"?"
        );
        book.set(one.id(), Standing::Stranger);
    }
}

#[tokio::test]
async fn a_new_member_is_announced_once_more_and_keeps_its_connection() {
    let (mut one, mut host) = (
        Node::member(102, TCP),
        Node::with(103, Standing::Stranger, &[TCP], |_| {}),
    );
    one.dial(&host).await;
    host.connected().await;
    host.book.set(one.id(), Standing::Member);
    host.transport.reconsider(one.id());
    assert_eq!(host.connected().await, one.id());
    one.transport.disconnect(host.id());
    one.disconnected().await;
    assert_eq!(host.disconnected().await, one.id());
}

#[tokio::test]
async fn a_claimant_may_ask_and_transfer_but_not_look_up() {
    let (one, mut host) = (
        Node::member(104, TCP),
        Node::with(105, Standing::Claimant, &[TCP], |_| {}),
    );
    one.dial(&host).await;
    host.connected().await;
    host.transport.provide([2; 32]).await;
    let to = host.id();
    let _host = host.answer();
    assert_eq!(
        ask(&one.transport, to, ControlProtocol::Control, b"?")
            .await
            .unwrap(),
        b"?"
    );
    one.transport.open_bulk(to).await.unwrap();
    assert!(one.transport.providers([2; 32]).await.is_empty());
}

#[tokio::test]
async fn who_is_a_member_no_longer_is_put_out() {
    let (mut one, mut host) = (Node::member(106, TCP), Node::member(107, TCP));
    one.dial(&host).await;
    host.connected().await;
    host.book.set(one.id(), Standing::Stranger);
    // Even before anybody looks again, nothing new is given.
    let to = host.id();
    assert!(matches!(
        ask(&one.transport, to, ControlProtocol::Control, b"?").await,
        Err(RequestError::Open(OpenError::NotOffered) | RequestError::Lost)
    ));
    host.transport.reconsider(one.id());
    assert_eq!(host.disconnected().await, one.id());
    assert_eq!(one.disconnected().await, to);
}

#[tokio::test]
async fn an_idle_stranger_is_shown_out_and_an_idle_member_stays() {
    let idle = Duration::from_millis(300);
    let mut host = Node::with(108, Standing::Stranger, &[TCP], |config| {
        config.timings.stranger_idle = idle;
    });
    let (stranger, member) = (Node::member(109, TCP), Node::member(110, TCP));
    host.book.set(member.id(), Standing::Member);
    member.dial(&host).await;
    stranger.dial(&host).await;
    assert_eq!(host.disconnected().await, stranger.id());
    let to = host.id();
    let _host = host.answer();
    assert_eq!(
        ask(&member.transport, to, ControlProtocol::Control, b"?")
            .await
            .unwrap(),
        b"?"
    );
}

#[tokio::test]
async fn strangers_are_bounded_and_members_come_in_all_the_same() {
    let host = Node::with(111, Standing::Stranger, &[TCP], |config| {
        config.timings.stranger_turn = Duration::from_hours(1);
    });
    let addresses = host.transport.listen_addresses().await;
    let member = Node::member(112, TCP);
    host.book.set(member.id(), Standing::Member);
    let strangers: Vec<_> = (0..=crate::config::STRANGERS_MAX as u8)
        .map(|at| Node::with(120 + at, Standing::Member, &[], |_| {}))
        .collect();
    let to = host.id();
    let _host = host.answer();
    let mut served = 0;
    for stranger in &strangers {
        // One too many is let in as far as the handshake, then closed: at the latest its question shows it.
        let dialled: Result<_, DialError> = stranger.transport.dial(Some(to), addresses.clone()).await;
        if dialled.is_ok()
            && ask(&stranger.transport, to, ControlProtocol::Join, b"?")
                .await
                .is_ok()
        {
            served += 1;
        }
    }
    assert_eq!(served, crate::config::STRANGERS_MAX);
    assert_eq!(member.transport.dial(Some(to), addresses).await, Ok(to));
    assert_eq!(
        ask(&member.transport, to, ControlProtocol::Control, b"?")
            .await
            .unwrap(),
        b"?"
    );
}

#[tokio::test]
async fn strangers_who_hold_their_places_make_room_for_the_next() {
    let host = Node::with(160, Standing::Stranger, &[TCP], |config| {
        config.timings.stranger_turn = Duration::ZERO;
        config.timings.stranger_idle = Duration::from_hours(1);
    });
    let addresses = host.transport.listen_addresses().await;
    let to = host.id();
    // The first has proved something: it stays, however long it was there.
    let claimant = Node::with(161, Standing::Member, &[], |_| {});
    host.book.set(claimant.id(), Standing::Claimant);
    let _host = host.answer();
    let mut others: Vec<Node> = vec![claimant];
    others.extend(
        (0..=crate::config::STRANGERS_MAX as u8)
            .map(|at| Node::with(170 + at, Standing::Member, &[], |_| {})),
    );
    for other in &others {
        assert_eq!(other.transport.dial(Some(to), addresses.clone()).await, Ok(to));
        assert_eq!(
            ask(&other.transport, to, ControlProtocol::Join, b"?")
                .await
                .unwrap(),
            b"?"
        );
    }
    assert_eq!(others[1].disconnected().await, to);
    assert_eq!(others[2].disconnected().await, to);
    assert_eq!(
        ask(&others[0].transport, to, ControlProtocol::Claim, b"?")
            .await
            .unwrap(),
        b"?"
    );
}

#[tokio::test]
async fn a_stranger_may_say_little_over_one_connection_and_a_member_all_it_wants() {
    let host = Node::with(162, Standing::Stranger, &[TCP], |_| {});
    let (stranger, member) = (Node::member(163, TCP), Node::member(164, TCP));
    host.book.set(member.id(), Standing::Member);
    member.dial(&host).await;
    stranger.dial(&host).await;
    let to = host.id();
    let _host = host.answer();
    let question = vec![7; nuthatch_wire::protocol::MESSAGE_LEN_MAX];
    let count = 2 * crate::config::STRANGER_LEN_MAX / question.len();
    let mut heard = 0;
    for _ in 0..count {
        heard += usize::from(
            ask(&stranger.transport, to, ControlProtocol::Join, &question)
                .await
                .is_ok(),
        );
        assert!(
            ask(&member.transport, to, ControlProtocol::Control, &question)
                .await
                .is_ok()
        );
    }
    assert!((1..count / 2).contains(&heard), "{heard}");
}

#[tokio::test]
async fn a_stranger_who_sends_a_byte_now_and_then_loses_its_place() {
    let host = Node::with(165, Standing::Stranger, &[TCP], |config| {
        config.timings.stranger_question = Duration::from_millis(200);
    });
    let stranger = Node::member(166, TCP);
    stranger.dial(&host).await;
    let to = host.id();
    let _host = host.answer();
    let protocol = Protocol::Control(ControlProtocol::Join);
    let opened = stranger.transport.open(to, protocol).await.unwrap();
    let stream = ControlStream::new(opened, stranger.transport.counter(to));
    let asked = stream.ask_slowly(&[7; 100], Duration::from_millis(20)).await;
    assert!(matches!(asked, Err(RequestError::Lost)), "{asked:?}");
}
