//! Which protocols are spoken over our own streams, and who may open them. Names come from `nuthatch-wire`; nothing here does I/O.

use nuthatch_wire::protocol::Protocol as Wire;

use crate::gate::Standing;

/// A protocol of one question and one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControlProtocol {
    /// Asking to be let into a circle. Open to everybody.
    Join,
    /// A fresh machine proving that it belongs to an archive. Open to everybody.
    Claim,
    /// Everything that members say to each other.
    Control,
}

/// A protocol spoken over our own streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Control(ControlProtocol),
    Bulk,
}

/// All of them.
const ALL: [Protocol; 4] = [
    Protocol::Control(ControlProtocol::Join),
    Protocol::Control(ControlProtocol::Claim),
    Protocol::Control(ControlProtocol::Control),
    Protocol::Bulk,
];

impl Protocol {
    const fn wire(self) -> Wire {
        match self {
            Self::Control(ControlProtocol::Join) => Wire::Join,
            Self::Control(ControlProtocol::Claim) => Wire::Claim,
            Self::Control(ControlProtocol::Control) => Wire::Control,
            Self::Bulk => Wire::Bulk,
        }
    }

    /// The name that is negotiated; it ends in the protocol's version.
    pub(crate) const fn name(self) -> &'static str {
        self.wire().name()
    }

    /// The protocol with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The protocols that a node of this standing may open here.
    pub(crate) fn open_to(standing: Standing) -> impl Iterator<Item = Self> {
        ALL.into_iter()
            .filter(move |protocol| protocol.is_open_to(standing))
    }

    /// Whether a node of this standing may open it here. Which request concerns which archive is checked by whoever answers.
    pub(crate) const fn is_open_to(self, standing: Standing) -> bool {
        match standing {
            Standing::Stranger => self.wire().is_open_to_strangers(),
            Standing::Claimant => self.wire().is_open_to_claimants(),
            Standing::Member => true,
        }
    }
}
