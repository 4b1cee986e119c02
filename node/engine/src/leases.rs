//! Space that is promised: how much of a lease may be used for what, when an owner asks for one, and what a host grants. Pure.
//!
//! An expired lease deletes nothing: it only takes no new data until it is renewed. What an archive may keep by its balance is decided
//! in `fairness`.

use nuthatch_format::{ByteCount, Span, Timestamp};

use crate::boundary::{LeaseAnswer, LeaseRefusal, PackKind};
use crate::rules::{LEASE_RENEW_DIVISOR, LEASE_RESERVE_DIVISOR, LeaseRules};

/// What leased space is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Shards of data packs: all but the reserve.
    Data,
    /// Shards of metadata packs, segments and statements: all of it.
    Reserved,
}

impl From<PackKind> for Purpose {
    fn from(kind: PackKind) -> Self {
        match kind {
            PackKind::Data => Self::Data,
            PackKind::Meta => Self::Reserved,
        }
    }
}

/// What is left of a lease of `bytes` for this purpose when `used` is taken, for whatever. Owner and host count alike.
pub const fn room(bytes: ByteCount, used: ByteCount, purpose: Purpose) -> ByteCount {
    let usable = match purpose {
        Purpose::Data => bytes.saturating_sub(ByteCount(bytes.0.div_ceil(LEASE_RESERVE_DIVISOR))),
        Purpose::Reserved => bytes,
    };
    usable.saturating_sub(used)
}

/// A lease that an owner holds at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLease {
    /// All that may be kept there.
    pub bytes: ByteCount,
    /// When it was last granted, by our clock.
    pub granted_at: Timestamp,
    /// Until when it lasts, by the host's promise.
    pub until: Timestamp,
}

impl HeldLease {
    /// Whether new data may be sent under it.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// When it is to be renewed on the next contact.
    pub fn renew_at(&self) -> Timestamp {
        let term = self.until.since(self.granted_at);
        self.granted_at.after(Span(term.0 / LEASE_RENEW_DIVISOR))
    }
}

/// What an owner should ask a host for now: all that it wants to keep there, or `None` while the lease will do.
///
/// `used` counts what is there and on its way; `may_grow` is false while the host has lately refused to give more. Leases begin
/// with a step and grow by a quarter, at least a step, when less than half a step is left for data: few questions, and no host is
/// asked for much more than is needed.
pub fn ask(
    held: Option<&HeldLease>,
    used: ByteCount,
    may_grow: bool,
    now: Timestamp,
    rules: &LeaseRules,
) -> Option<ByteCount> {
    let Some(held) = held else {
        return Some(ByteCount(rules.step.0.max(used.0.saturating_add(used.0 / 4))));
    };
    let short = room(held.bytes, used, Purpose::Data) < ByteCount(rules.step.0 / 2);
    if short && may_grow {
        return Some(
            held.bytes
                .saturating_add(ByteCount(rules.step.0.max(held.bytes.0 / 4))),
        );
    }
    (now >= held.renew_at()).then_some(held.bytes)
}

/// A lease that this node granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedLease {
    /// All that the archive may keep here.
    pub bytes: ByteCount,
    /// Until when.
    pub until: Timestamp,
}

/// What a host has to give, as far as a grant depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What may lie in the vault in all; zero when this node hosts nothing.
    pub bytes: ByteCount,
    /// What is promised to, or used by, archives other than the one that asks: for each the larger of the two, summed.
    pub promised_to_others: ByteCount,
    /// Whether there is a place for one more archive.
    pub has_place: bool,
    /// What the archive that asks may keep at most, by its balance; `None`: whatever it likes.
    pub balanced: Option<ByteCount>,
    /// What the person at this machine lets it keep at most; `None`: no word on it.
    pub own_limit: Option<ByteCount>,
    /// Whether anything new is taken now.
    pub is_open: bool,
}

/// What a host answers to a request for `asked` bytes in all.
///
/// What was granted before is renewed, whatever has happened since: a backup that is here stays welcome. Only enlarging needs
/// membership, quota, balance and an open host, and gives what is left when that is less than was asked for.
pub fn grant(
    held: Option<&GrantedLease>,
    asked: ByteCount,
    is_member: IsMember,
    quota: &Quota,
    (now, rules): (Timestamp, &LeaseRules),
) -> LeaseAnswer {
    let before = held.map_or(ByteCount::ZERO, |held| held.bytes);
    let until = now.after(rules.term);
    let left = quota.bytes.saturating_sub(quota.promised_to_others);
    let caps = [quota.balanced, quota.own_limit];
    let left = caps.into_iter().flatten().fold(left, ByteCount::min);
    let bytes = match is_member {
        IsMember::Yes if quota.is_open => before.max(asked.min(left)),
        IsMember::Yes | IsMember::No => before,
    };
    match held {
        None if is_member == IsMember::No => LeaseAnswer::Refused(LeaseRefusal::NotMember),
        None if quota.bytes == ByteCount::ZERO => LeaseAnswer::Refused(LeaseRefusal::NotHosting),
        None if !quota.is_open => LeaseAnswer::Refused(LeaseRefusal::Paused),
        None if quota.balanced == Some(ByteCount::ZERO) => LeaseAnswer::Refused(LeaseRefusal::Unbalanced),
        None if !quota.has_place => LeaseAnswer::Refused(LeaseRefusal::TooManyArchives),
        None if bytes == ByteCount::ZERO => LeaseAnswer::Refused(LeaseRefusal::Full),
        Some(_) | None => LeaseAnswer::Granted { bytes, until },
    }
}

/// Whether an archive belongs to a member of the circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsMember {
    /// It does.
    Yes,
    /// It does not, or does no longer.
    No,
}

#[cfg(test)]
mod tests;
