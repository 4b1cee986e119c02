//! For whom an archive is looked after: for this node's own person, or as somebody else's steward. A steward runs the same policies, but
//! has no packs of its own to encode and no journal to write.

use std::collections::BTreeSet;

use nuthatch_format::{ArchiveId, LabelId, NodeId};

use super::Owner;
use crate::boundary::Domain;
use crate::circle::Circle;
use crate::repair::{HealthView, HostHealth, Target};
use crate::stewards::{Stewardship, elect};

/// See the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Duty {
    /// The archive is this node's.
    Own,
    /// It is somebody else's.
    Steward(Watch),
}

/// What a steward goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    /// This node, which may hold shards itself.
    own: NodeId,
    stewards: BTreeSet<NodeId>,
    devices: BTreeSet<NodeId>,
}

impl Duty {
    /// That of a steward which runs on the node `own`.
    pub(crate) fn steward(own: NodeId, stewardship: &Stewardship) -> Self {
        Self::Steward(Watch {
            own,
            stewards: stewardship.stewards.clone(),
            devices: stewardship.devices.clone(),
        })
    }

    /// Whether packs are encoded and staged ones sent.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self, Self::Own)
    }

    /// Whether a member is asked to keep anything: a device of the archive is lost together with what it has backed up.
    pub(super) fn is_host(&self, node: NodeId) -> bool {
        match self {
            Self::Own => true,
            Self::Steward(watch) => !watch.devices.contains(&node),
        }
    }

    /// Whether audits and repairs are this node's to begin now. While a device of the archive is here, a steward leaves them to it.
    pub(super) fn is_ours(&self, circle: &Circle) -> bool {
        match self {
            Self::Own => true,
            Self::Steward(watch) => !watch.devices.iter().any(|device| is_here(circle, *device)),
        }
    }

    /// Whether a stripe is for this node to repair, rather than for another steward who is here.
    pub(super) fn is_mine(&self, label: &LabelId, circle: &Circle) -> bool {
        match self {
            Self::Own => true,
            Self::Steward(watch) => {
                let others = watch.stewards.iter().copied().filter(|one| is_here(circle, *one));
                let here = others.chain([watch.own]).collect();
                elect(label, &here) == Some(watch.own)
            }
        }
    }
}

fn is_here(circle: &Circle, node: NodeId) -> bool {
    circle.get(node).is_some_and(|member| member.presence.is_here())
}

impl Owner {
    /// Takes a changed appointment.
    pub(crate) fn set_duty(&mut self, duty: Duty) {
        if self.duty != duty {
            self.duty = duty;
            self.repairs.look_now();
        }
    }

    /// Under which archive events are told; `None` for this node's own.
    pub(crate) fn told_of(&self) -> Option<ArchiveId> {
        (!self.duty.is_own()).then_some(self.archive)
    }

    /// What members are worth to this archive as far as their presence says, and what its stripes are to survive. A steward counts itself, and goes by the shape that the
    /// owner gave each stripe: nobody has told it more.
    pub(super) fn view(&self, circle: &Circle) -> HealthView {
        match &self.duty {
            Duty::Own => circle.health(Target::Losses(self.target(circle))),
            Duty::Steward(watch) => {
                let mut view = circle.health(Target::AsShaped);
                view.members
                    .insert(watch.own, (HostHealth::Sound, Domain(watch.own)));
                view
            }
        }
    }
}
