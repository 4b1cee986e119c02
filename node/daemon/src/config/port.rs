//! Which port a node takes the first time: the default, or a free one where another program has that. Kept in the settings afterwards.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// The port that a node tries first. Not assigned to anything by IANA as of 2026.
pub const DEFAULT_PORT: u16 = 24480;

/// Free ports that are tried for one that is free for TCP and UDP both.
const TRIES_MAX: usize = 16;

/// The default port when it is free for TCP and UDP, else a free one. Another program may take it before it is used: then
/// listening fails and says so.
pub fn choose_port() -> io::Result<u16> {
    if free(DEFAULT_PORT).is_ok() {
        return Ok(DEFAULT_PORT);
    }
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..TRIES_MAX {
        match free(0) {
            Ok(port) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The port, if TCP and UDP can be bound to it now; with 0 a free one.
fn free(port: u16) -> io::Result<u16> {
    let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let port = tcp.local_addr()?.port();
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    Ok(port)
}
