//! Where a node can be reached, in its own signed words. A hint, never a proof: whoever answers there still has to be that node.

use minicbor::{Decode, Encode};
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::Context;
use nuthatch_format::{ArchiveId, CircleId, NodeId, Timestamp};

use crate::attest::Attested;
use crate::bounded::{List, Text, len_max};

/// Longest address, in bytes of its text form.
pub const ADDRESS_LEN_MAX: usize = 192;

/// Addresses that a node may announce.
pub const ADDRESSES_MAX: usize = 8;

/// A multiaddress as text, without the `/p2p/` part at its end.
pub type Address = Text<ADDRESS_LEN_MAX>;

/// What a node says of itself to its circle. The later of two replaces the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NodeAddresses {
    /// The circle that it says this to; also the signature's scope.
    #[n(0)]
    pub circle: CircleId,
    /// The node, which signs.
    #[n(1)]
    pub node: NodeId,
    /// Where it can be reached, best first.
    #[n(2)]
    pub addresses: List<Address, ADDRESSES_MAX>,
    /// The archive whose device this node is. Only with this consent can the archive's certificates make members of other nodes.
    #[n(3)]
    pub archive: Option<ArchiveId>,
    /// The node's clock when it signed.
    #[n(4)]
    pub at: Timestamp,
}

impl Canonical for NodeAddresses {
    const WHAT: &'static str = "node addresses";
    const LEN_MAX: usize = len_max::map(
        5,
        3 * len_max::ID + len_max::NUMBER + len_max::list(ADDRESSES_MAX, len_max::bytes(ADDRESS_LEN_MAX)),
    );
}

impl Attested for NodeAddresses {
    const CONTEXT: Context = Context::Addresses;

    fn scope(&self) -> &[u8; 32] {
        self.circle.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.node.as_bytes()
    }
}
