//! How many challenges it takes to find out that a host has lost something. Pure arithmetic; asks nobody.
//!
//! A challenge names one group of one shard at random, so that a host that has lost a share `lost` of all groups passes it with
//! probability `1 - lost`, and `n` of them with `(1 - lost)^n` (Ateniese et al., "Provable Data Possession", CCS 2007).

/// Most challenges to one host in a round (count): some megabytes of proofs.
pub const CHALLENGES_MAX: u32 = 1 << 14;

/// Challenges (count, from 1) that find with probability `detection` a host that has lost a share `lost` of what it keeps, both in
/// `0..1`. 459 for 0.99 and 0.01. Where the numbers ask for more than [`CHALLENGES_MAX`], that many.
pub fn challenges_for(detection: f64, lost: f64) -> u32 {
    let count = (1.0 - detection).ln() / (1.0 - lost).ln();
    if count.is_finite() && count >= 1.0 {
        // Saturates at the bound, which is far below what a u32 holds.
        count.ceil().min(f64::from(CHALLENGES_MAX)) as u32
    } else {
        1
    }
}

/// Probability (`0..=1`) that so many challenges find a host that has lost a share `lost`.
pub fn detection(challenges: u32, lost: f64) -> f64 {
    1.0 - (1.0 - lost).powi(i32::try_from(challenges).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_counts_come_out() {
        // "Remote data checking": detection of 99 % and 99.9 % for shares lost, by the formula above.
        for (lost, ninety_nine, three_nines) in [
            (0.001, 4603, 6905),
            (0.01, 459, 688),
            (0.05, 90, 135),
            (0.1, 44, 66),
            (0.2, 21, 31),
            (0.5, 7, 10),
        ] {
            assert_eq!(challenges_for(0.99, lost), ninety_nine);
            assert_eq!(challenges_for(0.999, lost), three_nines);
        }
    }

    #[test]
    fn what_was_asked_for_is_detected_and_no_number_makes_a_flood() {
        for lost in [0.001, 0.01, 0.3] {
            let count = challenges_for(0.99, lost);
            assert!(detection(count, lost) >= 0.99);
            assert!(detection(count - 1, lost) < 0.99);
        }
        for (detection, lost) in [(1.0, 0.01), (0.99, 0.0), (0.99, 1.0), (f64::NAN, 0.1), (0.0, 0.1)] {
            assert!((1..=CHALLENGES_MAX).contains(&challenges_for(detection, lost)));
        }
    }
}
