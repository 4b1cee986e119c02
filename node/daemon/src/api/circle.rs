//! Answers about the circle: how nodes come in. The keys are the command line's interface, as those of other messages.

use serde::{Deserialize, Serialize};

/// A node, for people and scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerName {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteAnswer {
    /// The line.
    pub invitation: String,
    /// Until when it admits.
    pub expires: String,
}

/// A circle was joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The circle.
    pub circle_id: String,
    /// This node.
    pub peer_id: String,
    /// How many nodes it has, this one included.
    pub members: u32,
    /// What this node may safely promise to others, by its disk and, where that is known, its line.
    pub safe_bytes: u64,
}

/// Nodes that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingAnswer {
    /// Each of them.
    pub waiting: Vec<WaitingRow>,
}

/// A node that used an invitation which was used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRow {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// When it last asked here; `null` where it asked at another node only.
    pub asked: Option<String>,
    /// Who came in by the same invitation.
    pub used_by: Vec<PeerName>,
}

/// A node was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproveAnswer {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// How many nodes the circle has now.
    pub members: u32,
}
