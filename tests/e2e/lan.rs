//! Machines in one house find each other: nobody gives an address.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::harness::{Home, World};

/// Every interface, any port; mDNS is on unless it is turned off.
const EVERYWHERE: [&str; 2] = ["--listen", "/ip4/0.0.0.0/tcp/0"];

/// Where mDNS speaks.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Whether a word to the group comes back on this machine, as mDNS needs it.
fn has_multicast() -> std::io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.send_to(b"is anybody there", (GROUP, socket.local_addr()?.port()))?;
    Ok(socket.recv(&mut [0; 64]).is_ok())
}

/// `recover` with the words and whatever else, and no address unless it is among that.
fn recover(new: &Home, phrase: &str, more: &[&str]) -> crate::harness::Ran {
    let words = ["recover", "--no-passphrase", "--phrase-file", "-"];
    let args = [&words[..], &EVERYWHERE, more].concat();
    new.run_with_input(args, phrase.as_bytes())
}

#[test]
fn in_the_house_the_words_alone_find_what_is_kept_there() {
    let world = World::new();
    let (owner, friend, new) = (world.home("owner"), world.home("friend"), world.home("new"));
    let folder = world.folder("folder");
    let init = [&["init", "--no-passphrase", "--show-phrase"][..], &EVERYWHERE].concat();
    let phrase = owner.run(init).ended(0).last()["phrase"]
        .as_str()
        .unwrap()
        .to_owned();
    let owner_node = owner.up();
    let line = owner.invite(&[]);
    friend
        .run([&["join", &line, "--quota", "50GB"][..], &EVERYWHERE].concat())
        .ended(0);
    let friend_node = friend.up();
    owner
        .backup(&folder, &["--wait", "recoverable", "--wait-for", "4m"])
        .ended(0);
    owner_node.kill();
    owner.delete();

    if has_multicast().unwrap_or(false) {
        let recovered = recover(&new, &phrase, &[]).ended(0).last();
        assert_eq!(recovered["hosts"], 1, "{recovered}");
    } else {
        // Seen with --nocapture: what follows is the smaller half of the law.
        eprintln!("no multicast on this machine: nobody can be found without an address, which is said");
        let alone = recover(&new, &phrase, &[]).ended(75).last();
        assert_eq!(alone["kind"], "unreachable", "{alone}");
        recover(&new, &phrase, &["--peer", friend_node.address()]).ended(0);
    }
    new.assert_restores(&folder, &world.path("back"));
}
