//! What audits showed, as events and faults that people read.

use crate::events::FaultKind;
use crate::node::Node;
use nuthatch_engine::audits::{AuditEnd, EndedAudit};

/// What an audit showed: proof and losses always, the rest when it is new.
pub(super) fn audited(node: &Node, audit: EndedAudit) {
    let name = node.circle.name_of(&audit.node);
    let before = node.audits.state(&audit.node);
    let counts = audit.counts;
    if counts.wrong > 0 {
        let message = format!(
            "{name} gave wrong bytes for {} in an audit: they count as lost",
            shards(counts.wrong)
        );
        node.events
            .fault(FaultKind::WrongBytes, Some(audit.node), message);
    }
    if counts.missing > 0 {
        let message = format!(
            "{name} no longer has {} that it had signed for, an audit showed",
            shards(counts.missing)
        );
        node.events
            .fault(FaultKind::WrongShard, Some(audit.node), message);
    }
    let is_new = before.last != audit.state.last;
    let message = match audit.end {
        AuditEnd::Answered if counts.wrong + counts.missing > 0 => None,
        AuditEnd::Answered if counts.proven == 0 => None,
        AuditEnd::Answered => Some((
            "audit_kept",
            format!("{name} proved {} challenges", counts.proven),
        )),
        AuditEnd::Late => Some((
            "audit_late",
            format!("{name} did not answer an audit in time; it is asked the same again"),
        ))
        .filter(|_| is_new),
        AuditEnd::Refused => Some((
            "audit_refused",
            format!("{name} refuses to be audited; it is asked the same again"),
        ))
        .filter(|_| is_new),
        AuditEnd::Detached => Some((
            "audit_detached",
            format!("{name} says that the disk with what it keeps is not connected"),
        ))
        .filter(|_| is_new),
        AuditEnd::Failed => None,
    };
    if let Some((kind, message)) = message {
        node.events.say(kind, Some(audit.node), message);
    }
    node.audits.note(audit);
    if counts.wrong + counts.missing > 0 {
        node.pulse.stir();
    }
}

fn shards(count: u32) -> String {
    if count == 1 {
        "1 shard".to_owned()
    } else {
        format!("{count} shards")
    }
}
