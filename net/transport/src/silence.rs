//! When a silent connection is dead. Pure: complaints and the time in, verdicts out.
//!
//! One complaint (a ping without an answer, a stalled stream) closes nothing: a link full of bulk answers pings late, and a slow disk
//! stalls several streams at the same moment. A connection is dead when a second complaint comes some time after the first, no ping was
//! answered between them and no byte moved with that node.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use tokio::time::Instant;

use crate::meter::Traffic;

/// A living connection answers a ping within this time of any complaint; see `PING_INTERVAL` in `behaviour.rs`.
pub(crate) const SILENCE_MIN: Duration = Duration::from_secs(20);

/// Complaints about open connections; bounded by the number of connections.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    complaints: HashMap<ConnectionId, (Instant, Traffic)>,
}

/// What to do about a complaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    Close,
}

impl Silence {
    /// A complaint about an open connection, with what was exchanged with its node so far.
    pub(crate) fn complain(&mut self, now: Instant, connection: ConnectionId, traffic: Traffic) -> Verdict {
        match self.complaints.get(&connection) {
            Some((since, before)) if *before == traffic => {
                if now.duration_since(*since) >= SILENCE_MIN {
                    return Verdict::Close;
                }
            }
            Some(_) | None => {
                self.complaints.insert(connection, (now, traffic));
            }
        }
        Verdict::Wait
    }

    /// The connection answers, or is gone.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.complaints.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_later_complaint_without_a_byte_or_an_answer_between_closes() {
        let connection = ConnectionId::new_unchecked(1);
        let mut silence = Silence::default();
        let traffic = |sent| Traffic { sent, received: 0 };
        let start = Instant::now();
        let later = |times: u32| start + SILENCE_MIN * times;
        assert_eq!(silence.complain(start, connection, traffic(1)), Verdict::Wait);
        assert_eq!(silence.complain(start, connection, traffic(1)), Verdict::Wait);
        assert_eq!(silence.complain(later(1), connection, traffic(2)), Verdict::Wait);
        silence.forget(connection);
        assert_eq!(silence.complain(later(2), connection, traffic(2)), Verdict::Wait);
        assert_eq!(silence.complain(later(3), connection, traffic(2)), Verdict::Close);
    }
}
