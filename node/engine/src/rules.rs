//! Every number that the engine decides by: unit, range and where it comes from. Bounds are constants; what a test or a person may
//! want otherwise is a field of `Rules`. This file computes nothing.

use nuthatch_format::{ByteCount, Span};
use nuthatch_wire::lease::LEASE_TERM;

use crate::audits::Share;

/// Members of a circle that are looked after (count). Friends, not a public network; the same as the roster's bound.
pub const MEMBERS_MAX: usize = 256;

/// Hosts that one stripe is spread over (count). Wider stripes cost every restore more connections and save little:
/// 16+4 already stores only a quarter on top.
pub const STRIPE_HOSTS_MAX: usize = 20;

/// Archives that one node keeps shards for (count): every member's, and twice as many as left or have several.
pub const ARCHIVES_HOSTED_MAX: usize = 1024;

/// Shards on their way at a time, to all hosts together (count): also what an interruption may send twice.
pub const TRANSFERS_MAX: usize = 8;

/// Shards on their way at a time to one host (count): enough to hide the host's sync behind the next shard.
pub const TRANSFERS_PER_HOST_MAX: usize = 3;

/// Packs that are being looked at (count). Facts only, about a kilobyte each; bytes stay in staging.
pub const WINDOW_MAX: usize = 64;

/// Packs in one page of the catalogue (count).
pub const PAGE_LEN_MAX: usize = 32;

/// Packs that are being encoded at a time (count): the reader, the coder and the journal each have one.
pub const ENCODES_MAX: usize = 3;

/// Packs that get a better shape at a time (count): each may have to be fetched and staged first.
pub const RESHAPES_MAX: usize = 1;

/// Packs that are being repaired at a time (count): each is on this disk until its shards are placed.
pub const REPAIRS_MAX: usize = 8;

/// Dials at a time (count): a waking laptop must not open every path at once.
pub const DIALS_MAX: usize = 16;

/// Sendings of segments at a time (count).
pub const SEGMENT_SENDS_MAX: usize = 8;

/// Comparisons of inventories at a time (count).
pub const COMPARISONS_MAX: usize = 4;

/// Audits at a time (count): all hosts of a circle of friends within one window, without asking everybody at once.
pub const AUDITS_MAX: usize = 4;

/// Shards whose sending broke off and of which it is remembered that their host may have them (count). At most `TRANSFERS_MAX` break off
/// at a time, and one inventory settles all of a host; what is forgotten beyond it may get a second copy.
pub const DOUBTS_MAX: usize = 1024;

/// Accepted offers that have not ended, from all nodes (count). A shard of 16 MiB each is the most that a vault has half written.
pub const OFFERS_MAX: usize = 32;

/// Accepted offers that have not ended, from one node (count): one node can't keep the others out.
pub const OFFERS_PER_NODE_MAX: usize = 8;

/// Archives of others that a node looks after as a steward (count). Each costs inventories of all its hosts; a friend is asked to look after
/// a few. Of more, those with the lowest ids are looked after.
pub const STEWARDED_MAX: usize = 16;

/// Of a lease, one part in this many is kept for metadata and journals, so that a flood of data can't stop backups.
pub const LEASE_RESERVE_DIVISOR: u64 = 10;

/// A lease is renewed on contact when one part in this many of its time has passed.
pub const LEASE_RENEW_DIVISOR: u64 = 3;

/// Effects that may wait to be drained after one input (count): each member and each operation can cause a few, and each archive that
/// is kept here one of its account and one to remember it by.
pub const EFFECTS_MAX: usize =
    (8 + STEWARDED_MAX) * MEMBERS_MAX + 4 * (1 + STEWARDED_MAX) * WINDOW_MAX + 2 * ARCHIVES_HOSTED_MAX;

const _: () = assert!(TRANSFERS_PER_HOST_MAX <= TRANSFERS_MAX && TRANSFERS_MAX <= DOUBTS_MAX);
const _: () = assert!(
    TRANSFERS_PER_HOST_MAX <= OFFERS_PER_NODE_MAX,
    "a host takes what one owner sends at a time"
);
const _: () = assert!(OFFERS_PER_NODE_MAX < OFFERS_MAX);
const _: () = assert!(PAGE_LEN_MAX <= WINDOW_MAX && REPAIRS_MAX <= PAGE_LEN_MAX);
const _: () = assert!(ENCODES_MAX + RESHAPES_MAX <= WINDOW_MAX);
const _: () = assert!(STRIPE_HOSTS_MAX <= 255, "a scheme has at most 255 shards");
const _: () = assert!(MEMBERS_MAX <= ARCHIVES_HOSTED_MAX);
const _: () = assert!(LEASE_RESERVE_DIVISOR >= 2 && LEASE_RENEW_DIVISOR >= 2);

/// What a person or a test may set. `Rules::default()` is what the program ships with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// When members are dialled and counted.
    pub presence: PresenceRules,
    /// How much is leased, and for how long.
    pub lease: LeaseRules,
    /// When an owner waits and tries again.
    pub owner: OwnerRules,
    /// When an owner looks for what must be repaired.
    pub repair: RepairRules,
    /// What a host keeps free and when it asks for patience.
    pub host: HostRules,
    /// What hosts are challenged for, and how often.
    pub audit: AuditRules,
    /// How much a host asks for in return.
    pub fair: FairRules,
}

/// How much a host asks for in return, and what follows when it does not get that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FairRules {
    /// What anybody may keep here who keeps nothing for us: for a first backup, and all that a freeloader ever gets, twice over.
    pub allowance: ByteCount,
    /// How much more than it keeps for us an archive may keep here, in hundredths: shards are not of one size, and friends don't count.
    pub tolerance_percent: u16,
    /// For how long it is told that it keeps too much before nothing new is taken: two weeks, as long as a holiday.
    pub warning: Span,
    /// How long after that this host's person may release what is here. A quarter of a year.
    pub release: Span,
    /// Most that one gap between two looks counts.
    pub gap_max: Span,
    /// How long an archive counts as being restored after something of it was last read: a month.
    pub restore_quiet: Span,
    /// Pause between two looks at all accounts.
    pub look: Span,
}

/// When members are dialled and counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceRules {
    /// First pause after a failed dial; doubles with each failure.
    pub redial_min: Span,
    /// Longest pause between dials; at least `redial_min`. Five minutes find a waking laptop soon and cost next to nothing.
    pub redial_max: Span,
    /// How long a member may be away until it is gone, while its own history does not say better. Two weeks: a holiday.
    pub grace: Span,
    /// Longest silence of our own that counts as absence of others, each time: what a machine that sleeps at night may take for seen.
    pub gap_max: Span,
    /// Members that leave within this time of each other leave together. A dead link is noticed at all connections within a minute.
    pub vanish_window: Span,
}

impl PresenceRules {
    /// These rules with another grace: what is measured against it is scaled with it.
    #[must_use]
    pub fn with_grace(self, grace: Span) -> Self {
        Self {
            grace,
            gap_max: Span(grace.0 / GAPS_PER_GRACE),
            ..self
        }
    }
}

/// Of a grace, one part in this many may pass unseen at a time: a day of two weeks.
const GAPS_PER_GRACE: u64 = 14;

/// When an owner looks for what must be repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairRules {
    /// Pause before all packs are looked over again; doubles while a look leads to nothing.
    pub pause_min: Span,
    /// Longest of these pauses; at least `pause_min`.
    pub pause_max: Span,
}

/// How much is leased, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRules {
    /// Time that a granted lease lasts from its last renewal.
    pub term: Span,
    /// Smallest lease asked for, and smallest step by which one grows. Four full packs and their reserve.
    pub step: ByteCount,
    /// Pause after a refused, fruitless or failed request before the host is asked again.
    pub retry: Span,
}

/// When an owner waits and tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRules {
    /// After the archive was opened: how long the first shapes wait for members that are still being dialled.
    pub settle: Span,
    /// How long shapes wait for a connected member's greeting and lease, from its arrival; at least `settle`.
    pub handshake: Span,
    /// Pause before a host that took no shard because it was full is offered one again.
    pub full_retry: Span,
    /// Pause after an operation that failed for another reason.
    pub retry: Span,
    /// Pause after which a host is asked again for its inventory, when the last one has shown something new; doubles each time.
    pub follow_up_min: Span,
    /// Longest of these pauses; at least `follow_up_min`.
    pub follow_up_max: Span,
    /// How long a host that may have kept a shard, when its sending broke off, is the only one for it: a restart and a redial.
    /// After that a host to spare gets a copy.
    pub doubt: Span,
}

/// What a host keeps free and when it asks for patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRules {
    /// Space on the file system that hosting never takes, so that the machine of a generous friend keeps working.
    pub disk_reserve: ByteCount,
    /// What a host that has too many open operations asks the sender to wait.
    pub busy_retry: Span,
}

/// What hosts are challenged for, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRules {
    /// How surely a loss is to be found (a share below one).
    pub detection: Share,
    /// Which loss: the share of what a host keeps that is gone.
    pub lost: Share,
    /// Within which time.
    pub within: Span,
    /// Between the rounds of challenges that make that up.
    pub period: Span,
    /// Time in which each data shard is challenged once.
    pub data_within: Span,
    /// The same for metadata: without its trees, data is no use.
    pub meta_within: Span,
    /// What the rounds of all hosts together may cost on the wire in a day.
    pub traffic: ByteCount,
    /// How long one question may take to be answered: a disk that sleeps has to wake, and 256 KiB to come up a thin line.
    pub answer: Span,
    /// Pause before an open challenge is asked again while its host is connected.
    pub retry: Span,
    /// How long an open challenge does no harm: a detached disk, a holiday, a program that is too old. Two weeks.
    pub excused: Span,
    /// How long a proof holds: after that a shard is read, but not counted on. More than a month, since hosts may be away for that.
    pub proven_within: Span,
}

impl Default for AuditRules {
    fn default() -> Self {
        Self {
            detection: Share(9900),
            lost: Share(100),
            within: Span::from_days(30),
            period: Span::from_days(1),
            data_within: Span::from_days(90),
            meta_within: Span::from_days(14),
            traffic: ByteCount(128 << 20),
            answer: Span::from_secs(60),
            retry: Span::from_secs(900),
            excused: Span::from_days(14),
            proven_within: Span::from_days(45),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            presence: PresenceRules {
                redial_min: Span::from_secs(1),
                redial_max: Span::from_secs(300),
                grace: Span::from_days(14),
                gap_max: Span::from_days(14 / GAPS_PER_GRACE),
                vanish_window: Span::from_secs(120),
            },
            repair: RepairRules {
                pause_min: Span::from_secs(60),
                pause_max: Span::from_secs(6 * 3600),
            },
            lease: LeaseRules {
                term: LEASE_TERM,
                step: ByteCount(72 << 20),
                retry: Span::from_secs(60),
            },
            owner: OwnerRules {
                settle: Span::from_secs(1),
                handshake: Span::from_secs(5),
                full_retry: Span::from_secs(600),
                retry: Span::from_secs(5),
                follow_up_min: Span::from_secs(60),
                follow_up_max: Span::from_secs(3600),
                doubt: Span::from_secs(60),
            },
            host: HostRules {
                disk_reserve: ByteCount(32 << 20),
                busy_retry: Span::from_millis(500),
            },
            audit: AuditRules::default(),
            fair: FairRules {
                allowance: ByteCount(5_000_000_000),
                tolerance_percent: 25,
                warning: Span::from_days(14),
                release: Span::from_days(90),
                gap_max: Span::from_days(1),
                restore_quiet: Span::from_days(30),
                look: Span::from_secs(60),
            },
        }
    }
}
