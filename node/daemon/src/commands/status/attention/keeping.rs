//! What needs a person so that data stays alive: hosts that are gone or may go, packs that can't be repaired, a cut connection.

use nuthatch_format::Timestamp;

use super::item;
use crate::api::{Attention, RepairStanding, rfc3339};

/// Everything that is looked at.
#[derive(Debug, Clone, Default)]
pub(in crate::commands::status) struct KeepingFacts {
    /// Names of hosts that are gone, and when each was last seen.
    pub(in crate::commands::status) gone: Vec<(String, Option<Timestamp>)>,
    /// Names of leaving hosts by which nothing is kept alone any more.
    pub(in crate::commands::status) drained: Vec<String>,
    /// How repairs stand.
    pub(in crate::commands::status) repair: RepairStanding,
    /// Names of hosts that audits speak against, or that owe an answer for long, and how.
    pub(in crate::commands::status) audits: Vec<(String, AuditTrouble)>,
    /// Whether this machine's own connection seems cut.
    pub(in crate::commands::status) is_cut: bool,
}

/// What audits say of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands::status) enum AuditTrouble {
    /// It gave wrong bytes, and has not proved the rest since.
    Caught,
    /// It owes an answer for so long that its shards are not counted on.
    Overdue,
    /// It says that its disk is not connected, since then.
    Detached(Timestamp),
}

/// What audits say of hosts.
fn audits(facts: &KeepingFacts, list: &mut Vec<Attention>) {
    for (name, trouble) in &facts.audits {
        let (kind, message) = match trouble {
            AuditTrouble::Caught => (
                "audit_caught",
                format!(
                    "{name} gave wrong bytes in an audit: nothing there is counted on until it has proved all of it"
                ),
            ),
            AuditTrouble::Overdue => (
                "audit_overdue",
                format!(
                    "{name} has not proved for long what it keeps: it is not counted on until it does; ask its owner"
                ),
            ),
            AuditTrouble::Detached(since) => (
                "audit_detached",
                format!(
                    "the disk with what {name} keeps is not connected there since {}: ask its owner to connect it",
                    rfc3339(*since)
                ),
            ),
        };
        list.push(item(kind, message, "nuthatch audit"));
    }
}

/// What needs a person.
pub(super) fn keeping(facts: &KeepingFacts, list: &mut Vec<Attention>) {
    if facts.is_cut {
        let message = "most members vanished at once: the connection of this machine seems cut; nothing is repaired until one of them \
                       is back";
        list.push(item("link_cut", message, "nuthatch peers"));
    }
    audits(facts, list);
    let repair = &facts.repair;
    if repair.unrepairable > 0 {
        let message = format!(
            "{} packs can't be repaired any more: too little is left of them; back up again what is still here",
            repair.unrepairable
        );
        list.push(item("unrepairable", message, "nuthatch verify"));
    }
    if repair.waiting_for_room > 0 {
        let message = format!(
            "{} packs wait for another host to take what was lost: invite another friend",
            repair.waiting_for_room
        );
        list.push(item("repair_waits", message, "nuthatch invite"));
    }
    if repair.waiting_for_hosts > 0 {
        let message = format!(
            "{} packs are to be repaired and wait for hosts that are away",
            repair.waiting_for_hosts
        );
        list.push(item("repair_waits", message, "nuthatch peers"));
    }
    if repair.clumped > 0 {
        let message = format!(
            "of {} packs several shards stand in one house, and count for one: another host in a house of its own is wanted",
            repair.clumped
        );
        list.push(item("clumped", message, "nuthatch invite"));
    }
    for (name, since) in &facts.gone {
        let seen = since.map_or_else(
            || "was never reached".to_owned(),
            |at| format!("was last seen {}", rfc3339(at)),
        );
        let message = format!(
            "{name} {seen} and is taken for gone: what it keeps counts no more; ask its owner, and say so if it never comes back"
        );
        list.push(item("host_gone", message, &format!("nuthatch peer lost {name}")));
    }
    for name in &facts.drained {
        let message =
            format!("nothing is kept by {name} alone any more: it may be switched off, and then given up");
        list.push(item("drained", message, &format!("nuthatch peer lost {name}")));
    }
}
