//! When a silent connection is dead. Pure: complaints in, verdicts out.
//!
//! One complaint (a ping without an answer, a stalled stream) closes nothing: a link full of bulk answers pings late. A connection is
//! dead when a second complaint comes and no byte moved with that node since the first.

use std::collections::HashMap;

use libp2p::swarm::ConnectionId;

use crate::meter::Traffic;

/// Complaints about open connections; bounded by the number of connections.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    complaints: HashMap<ConnectionId, Traffic>,
}

/// What to do about a complaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    Close,
}

impl Silence {
    /// A complaint about an open connection, with what was exchanged with its node so far.
    pub(crate) fn complain(&mut self, connection: ConnectionId, traffic: Traffic) -> Verdict {
        match self.complaints.insert(connection, traffic) {
            Some(before) if before == traffic => Verdict::Close,
            Some(_) | None => Verdict::Wait,
        }
    }

    /// The connection is alive, or gone.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.complaints.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_complaint_without_a_byte_between_closes() {
        let connection = ConnectionId::new_unchecked(1);
        let mut silence = Silence::default();
        let traffic = |sent| Traffic { sent, received: 0 };
        assert_eq!(silence.complain(connection, traffic(1)), Verdict::Wait);
        assert_eq!(silence.complain(connection, traffic(2)), Verdict::Wait);
        silence.forget(connection);
        assert_eq!(silence.complain(connection, traffic(2)), Verdict::Wait);
        assert_eq!(silence.complain(connection, traffic(2)), Verdict::Close);
    }
}
