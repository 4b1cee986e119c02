//! What a host may safely promise: not only what its disk holds, but what its line can keep alive and give back. Pure.
//!
//! Friends leave, disks die, and what they kept is copied again by those who stay. In a steady state each host takes part in writing and
//! reading about twice what it keeps in the time that members stay (Blake & Rodrigues, "High Availability, Scalable Storage, Dynamic Peer
//! Networks: Pick Two", HotOS 2003: B/N = 2 D/N / T, for a bandwidth B/N per host that keeps D/N and stays for T). Turned round,
//! a host with an upload rate that is there part of the time can keep `rate · uptime · T / 2`. And whoever lost everything wants it back
//! in days, not years: all that is kept must be readable within [`GIVE_BACK`].

use nuthatch_format::{ByteCount, Span};

/// How long a friend's machine stays before it is replaced for good: two years. Blake & Rodrigues calculate with lifetimes from hours
/// (file sharing) to years (servers); disks of Backblaze's statistics fail at one to two in a hundred a year, laptops are replaced
/// every three or four.
pub const LIFETIME: Span = Span::from_days(730);

/// Within what time everything that is kept can be given back, while the host is online as much as ever: a month.
pub const GIVE_BACK: Span = Span::from_days(30);

/// What a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// What its disk can give.
    pub disk: ByteCount,
    /// What its line sends for this in a second; `None`: not known, and not looked at.
    pub upload_per_second: Option<ByteCount>,
    /// How much of the time it is online, in thousandths (`0..=1000`).
    pub uptime_permille: u16,
}

/// What it may safely promise, and by which of its means that is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// All that it may promise.
    pub bytes: ByteCount,
    /// What bounds it.
    pub bound: CapacityBound,
    /// What the line could keep alive while members come and go; `None`: the line is not known.
    pub upkeep: Option<ByteCount>,
    /// What the line could give back within [`GIVE_BACK`]; `None`: the line is not known.
    pub give_back: Option<ByteCount>,
}

/// What bounds a capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapacityBound {
    /// The disk.
    Disk,
    /// The line: what keeps data alive while members come and go.
    Upkeep,
    /// The line: what gives everything back in time.
    GiveBack,
}

/// What a host with such means may safely promise.
pub fn capacity(means: &Means) -> Capacity {
    let over = |span: Span| {
        let rate = means.upload_per_second?;
        let seconds = u128::from(span.0 / 1000);
        let permille = u128::from(means.uptime_permille.min(1000));
        let bytes = u128::from(rate.0) * seconds * permille / 1000;
        Some(ByteCount(u64::try_from(bytes).unwrap_or(u64::MAX)))
    };
    let upkeep = over(LIFETIME).map(|bytes| ByteCount(bytes.0 / 2));
    let give_back = over(GIVE_BACK);
    let bounds = [
        (Some(means.disk), CapacityBound::Disk),
        (give_back, CapacityBound::GiveBack),
        (upkeep, CapacityBound::Upkeep),
    ];
    let mut least = (means.disk, CapacityBound::Disk);
    for (bytes, bound) in bounds {
        if let Some(bytes) = bytes.filter(|bytes| *bytes < least.0) {
            least = (bytes, bound);
        }
    }
    Capacity {
        bytes: least.0,
        bound: least.1,
        upkeep,
        give_back,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn means(disk: u64, rate: u64, uptime_permille: u16) -> Means {
        Means {
            disk: ByteCount(disk),
            upload_per_second: Some(ByteCount(rate)),
            uptime_permille,
        }
    }

    #[test]
    fn a_home_line_bounds_what_a_large_disk_may_promise() {
        // 2 Mbit/s, half of the time: a month gives back 324 GB, two years keep 3.9 TB alive.
        let home = capacity(&means(8_000_000_000_000, 250_000, 500));
        assert_eq!(home.bound, CapacityBound::GiveBack);
        assert_eq!(home.bytes, ByteCount(324_000_000_000));
        assert_eq!(home.upkeep, Some(ByteCount(3_942_000_000_000)));
        let fibre = capacity(&means(8_000_000_000_000, 12_500_000, 1000));
        assert_eq!(
            (fibre.bytes, fibre.bound),
            (ByteCount(8_000_000_000_000), CapacityBound::Disk)
        );
    }

    #[test]
    fn without_a_known_line_only_the_disk_is_looked_at() {
        let unknown = Means {
            upload_per_second: None,
            ..means(7, 0, 0)
        };
        assert_eq!(
            capacity(&unknown),
            Capacity {
                bytes: ByteCount(7),
                bound: CapacityBound::Disk,
                upkeep: None,
                give_back: None
            }
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn more_of_anything_never_promises_less(disk: u64, rate: u64, uptime in 0..=1000_u16, more in 0..1_u64 << 20) {
            let one = capacity(&means(disk, rate, uptime)).bytes;
            prop_assert!(one.0 <= disk);
            prop_assert!(one <= capacity(&means(disk.saturating_add(more), rate, uptime)).bytes);
            prop_assert!(one <= capacity(&means(disk, rate.saturating_add(more), uptime)).bytes);
            prop_assert!(one <= capacity(&means(disk, rate, (uptime + 1).min(1000))).bytes);
        }
    }
}
