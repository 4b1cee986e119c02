//! What happens at this node, as lines that a person can read: the events of `up`, and the faults that a command must name at its end.
//!
//! Both are bounded: a listener that is too slow misses events, and of equal faults the newest stands for all. Nothing is decided here.

use std::collections::VecDeque;

use nuthatch_format::{NodeId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::api;
use crate::clock;

/// Events that a listener may lag behind before it misses some.
const EVENTS_MAX: usize = 256;

/// Faults that are remembered; the oldest makes room.
const FAULTS_MAX: usize = 256;

/// What a node did wrong, or what is wrong with it. The words are the `kind`s of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// Bytes that do not match their signed name.
    WrongBytes,
    /// Fewer bytes than promised.
    Truncated,
    /// A shard other than the one asked for, or none where one was signed for.
    WrongShard,
    /// A journal older than one that this host acknowledged.
    OldJournal,
    /// No answer, or nothing where something was signed for.
    Silent,
    /// One device writes two journals from one place on.
    TwoLines,
    /// Two nodes used one invitation.
    InvitationReused,
    /// This machine's own disk.
    OwnDisk,
}

impl FaultKind {
    /// The word for scripts.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::WrongBytes => "wrong_bytes",
            Self::Truncated => "truncated",
            Self::WrongShard => "wrong_shard",
            Self::OldJournal => "old_journal",
            Self::Silent => "silent",
            Self::TwoLines => "two_lines",
            Self::InvitationReused => "invitation_reused",
            Self::OwnDisk => "own_disk",
        }
    }
}

/// A fault, with whoever it is laid to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// When it was last seen.
    pub(crate) at: Timestamp,
    /// What it is.
    pub(crate) kind: FaultKind,
    /// Which node, when it is one.
    pub(crate) node: Option<NodeId>,
    /// A sentence; names in it are not yet escaped.
    pub(crate) message: String,
}

/// Where events and faults go.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<api::Event>,
    faults: Mutex<VecDeque<Fault>>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::channel(EVENTS_MAX).0,
            faults: Mutex::new(VecDeque::new()),
        }
    }

    /// Listens from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<api::Event> {
        self.sender.subscribe()
    }

    /// Tells whoever listens.
    pub(crate) fn say(&self, kind: &str, node: Option<NodeId>, message: impl Into<String>) {
        let message = message.into();
        tracing::info!(kind, node = node.map(|node| node.short()), "{message}");
        let event = api::Event {
            time: api::rfc3339(clock::now()),
            kind: kind.to_owned(),
            message,
            peer_id: node.map(nuthatch_transport::peer_id_text),
        };
        // Nobody listening is the usual case, and no error.
        let _ = self.sender.send(event);
    }

    /// Notes a fault and tells whoever listens. A fault of the same kind, node and words replaces the older one.
    pub(crate) fn fault(&self, kind: FaultKind, node: Option<NodeId>, message: impl Into<String>) {
        let message = message.into();
        let mut faults = self.faults.lock();
        let is_same = |fault: &Fault| fault.kind == kind && fault.node == node && fault.message == message;
        let is_new = !faults.iter().any(is_same);
        faults.retain(|fault| !is_same(fault));
        if faults.len() >= FAULTS_MAX {
            faults.pop_front();
        }
        faults.push_back(Fault {
            at: clock::now(),
            kind,
            node,
            message: message.clone(),
        });
        drop(faults);
        if is_new {
            self.say(kind.word(), node, message);
        }
    }

    /// Faults that were seen at or after a moment, oldest first.
    pub(crate) fn faults_since(&self, since: Timestamp) -> Vec<Fault> {
        self.faults
            .lock()
            .iter()
            .filter(|fault| fault.at >= since)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_faults_are_one_and_the_list_is_bounded() {
        let events = Events::new();
        for _ in 0..3 {
            events.fault(FaultKind::Silent, None, "the same");
        }
        assert_eq!(events.faults_since(Timestamp(0)).len(), 1);
        for number in 0..2 * FAULTS_MAX {
            events.fault(FaultKind::Silent, None, format!("fault {number}"));
        }
        assert_eq!(events.faults_since(Timestamp(0)).len(), FAULTS_MAX);
    }
}
