//! The protocols' names, and the numbers that hold for all of them.
//!
//! A name ends in its version. A node speaks this version and the one before; there is none before the first.

use nuthatch_format::ArchiveId;

/// What two nodes can open a stream for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Being admitted to a circle. Open to strangers.
    Join,
    /// Proving that one is a device of an archive. Open to strangers.
    Claim,
    /// Small questions and answers. Members, and claimants after their claim.
    Control,
    /// Shards and segments on a stream that lives long. Members, and claimants after their claim.
    Bulk,
    /// Kademlia. Members.
    Kad,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Join, Self::Claim, Self::Control, Self::Bulk, Self::Kad];

    /// The name that is negotiated on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "/nuthatch/join/1",
            Self::Claim => "/nuthatch/claim/1",
            Self::Control => "/nuthatch/control/1",
            Self::Bulk => "/nuthatch/bulk/1",
            Self::Kad => "/nuthatch/kad/1",
        }
    }

    /// The protocol with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Whether a node that has proved nothing may open it.
    pub const fn is_open_to_strangers(self) -> bool {
        matches!(self, Self::Join | Self::Claim)
    }

    /// Whether a node that has proved a claim, and is no member, may open it.
    pub const fn is_open_to_claimants(self) -> bool {
        matches!(self, Self::Join | Self::Claim | Self::Control | Self::Bulk)
    }
}

/// Longest message of the join, claim and control protocols, in bytes of CBOR.
///
/// A stream carries one question and one answer; each is its length (u32, little-endian) and that many bytes. One byte before the answer
/// says whether there is one; `docs/PROTOCOL.md`, section 1.
pub const MESSAGE_LEN_MAX: usize = 256 * 1024;

/// Most of a message that one page of a longer list may fill; the rest is left for what stands around it.
pub const PAGE_LEN_MAX: usize = MESSAGE_LEN_MAX - 1024;

/// The key under which the hosts of an archive announce themselves in Kademlia.
///
/// Whoever knows the archive can ask who holds anything of it; from the key alone the archive can't be told.
pub fn provider_key(archive: &ArchiveId) -> [u8; 32] {
    blake3::derive_key("nuthatch v1 kademlia provider key", archive.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_protocol_are_one() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_name(protocol.name()), Some(protocol));
            assert!(!protocol.is_open_to_strangers() || protocol.is_open_to_claimants());
        }
        assert_eq!(Protocol::from_name("/nuthatch/join/2"), None);
        assert!(!Protocol::Kad.is_open_to_claimants());
    }

    #[test]
    fn provider_keys_differ_by_archive_and_are_not_the_archive() {
        let (one, two) = (ArchiveId::from_bytes([1; 32]), ArchiveId::from_bytes([2; 32]));
        assert_ne!(provider_key(&one), provider_key(&two));
        assert_ne!(&provider_key(&one), one.as_bytes());
    }
}
