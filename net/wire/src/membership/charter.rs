//! What the circle's own key says, and removals. The key derives from the founder's phrase and is needed for nothing from day to day.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::Context;
use nuthatch_format::{CircleId, NodeId, Timestamp};

use crate::attest::Attested;
use crate::bounded::{List, Text, len_max};

/// Admins that a charter may name.
pub const ADMINS_MAX: usize = 16;

/// Longest name of a circle, a node or a program, in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// What people call a circle or a node. Never used to find or to trust anything.
pub type Name = Text<NAME_LEN_MAX>;

/// Founds a circle and names those who may invite and remove. The higher epoch replaces the lower.
///
/// Admissions count by the charter that is in force: dropping an admin drops those who came by its invitations.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Charter {
    /// The circle, whose key signs.
    #[n(0)]
    pub circle: CircleId,
    /// Counts charters, from 0.
    #[n(1)]
    pub epoch: u32,
    /// What people call it.
    #[n(2)]
    pub name: Name,
    /// Who may invite and remove; members by that alone. In strictly ascending order.
    #[n(3)]
    pub admins: List<NodeId, ADMINS_MAX>,
}

/// Takes a node out of the circle. Beats every admission by an invitation of this or an earlier epoch.
///
/// Removing an admin also drops those who came by its invitations, since it may have signed them after it was lost; removing any other
/// node drops nobody whom it admitted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Removal {
    /// The circle; also the signature's scope.
    #[n(0)]
    pub circle: CircleId,
    /// Who is removed.
    #[n(1)]
    pub node: NodeId,
    /// Epoch of the charter then in force.
    #[n(2)]
    pub epoch: u32,
    /// The key that signs: the circle's, or the node key of an admin. Only the circle's removes an admin.
    #[n(3)]
    pub removed_by: ByteArray<32>,
    /// The signer's clock when it signed.
    #[n(4)]
    pub at: Timestamp,
}

impl Canonical for Charter {
    const WHAT: &'static str = "charter";
    const LEN_MAX: usize = len_max::map(
        4,
        len_max::ID + len_max::NUMBER + len_max::bytes(NAME_LEN_MAX) + len_max::list(ADMINS_MAX, len_max::ID),
    );

    fn check(&self) -> Result<(), &'static str> {
        if self.admins.is_sorted_by(|a, b| a < b) {
            Ok(())
        } else {
            Err("admins out of order")
        }
    }
}

impl Attested for Charter {
    const CONTEXT: Context = Context::Charter;

    fn scope(&self) -> &[u8; 32] {
        self.circle.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.circle.as_bytes()
    }
}

impl Canonical for Removal {
    const WHAT: &'static str = "removal";
    const LEN_MAX: usize = len_max::map(5, 3 * len_max::ID + 2 * len_max::NUMBER);
}

impl Attested for Removal {
    const CONTEXT: Context = Context::Removal;

    fn scope(&self) -> &[u8; 32] {
        self.circle.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        &self.removed_by
    }
}
