//! What friends' machines do: how often they are on, how long they stay away, when they die. Pure functions of a seed; decides nothing
//! that a node decides.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Hours of a day.
const DAY: u64 = 24;

/// How often a machine is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Nearly always: a server, a NAS.
    Always,
    /// Whenever its person is at home.
    Regular,
    /// Now and then.
    Occasional,
}

impl Habit {
    /// Of each thousand machines, how many have this habit, and which part of the time they are on: as measured in Freenet, a network of
    /// home machines that friends run (37 % were on 96 % of the time, 33 % 56 %, 30 % 16 %; Freenet measurement of 2010).
    const MIX: [(Self, u64, f64); 3] = [
        (Self::Always, 370, 0.96),
        (Self::Regular, 330, 0.56),
        (Self::Occasional, 300, 0.16),
    ];

    /// The habit of a machine.
    pub fn of(seed: u64, peer: u64) -> Self {
        let mut drawn = noise(seed, peer, u64::MAX) % 1000;
        for (habit, share, _) in Self::MIX {
            if drawn < share {
                return habit;
            }
            drawn -= share;
        }
        Self::Occasional
    }

    /// Which part of the time it is on (`0..1`).
    pub fn availability(self) -> f64 {
        Self::MIX
            .iter()
            .find(|(habit, ..)| *habit == self)
            .map_or(0.0, |(.., on)| *on)
    }
}

/// Whether a machine that is not away for long is on in an hour: by its habit, by night less than half as often as on average where a
/// person switches it on and off. The mean over a day is the habit's.
pub fn is_on(seed: u64, peer: u64, hour: u64) -> bool {
    let habit = Habit::of(seed, peer);
    let shift = noise(seed, peer, u64::MAX - 1) % DAY;
    let weight = match habit {
        Habit::Always => 1.0,
        // Eight hours at 0.4 and sixteen at 1.3 make 24 at 1.
        Habit::Regular | Habit::Occasional if (hour + shift) % DAY < 8 => 0.4,
        Habit::Regular | Habit::Occasional => 1.3,
    };
    unit(noise(seed, peer, hour)) < habit.availability() * weight
}

/// Assumptions on lives and absences. All spans are in days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lives {
    /// Mean time until a machine's vault is lost for good (disk, theft, a friend who stops): exponential.
    pub life: f64,
    /// Mean time between two long absences (journeys, moves, broken routers): exponential.
    pub between_absences: f64,
    /// Shortest and longest of them; between these the logarithm is uniform.
    pub absence: (f64, f64),
    /// Until a machine that was lost is replaced, and its owner restores.
    pub replacement: f64,
    /// Mean time between disasters that hit a whole circle at once (flood, a worm, a quarrel): exponential.
    pub between_disasters: f64,
    /// Part of a circle's machines that is lost in one (`0..1`).
    pub disaster_share: f64,
}

impl Default for Lives {
    /// Three years of life, which is the churn that published figures for home storage take; two absences a year of a day to a
    /// month; a disaster in fifty years that takes a third. Assumed, not measured.
    fn default() -> Self {
        Self {
            life: 3.0 * 365.0,
            between_absences: 182.0,
            absence: (1.0, 30.0),
            replacement: 7.0,
            between_disasters: 50.0 * 365.0,
            disaster_share: 0.33,
        }
    }
}

/// Draws of one circle.
#[derive(Debug)]
pub struct Draws(Xoshiro256PlusPlus);

impl Draws {
    /// Those of a circle under a seed.
    pub fn new(seed: u64, circle: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(noise(seed, circle, 0)))
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Between two positive numbers, uniform in the logarithm.
    pub fn log_uniform(&mut self, (least, most): (f64, f64)) -> f64 {
        least * (most / least).powf(self.unit())
    }

    /// `0..1`.
    pub fn unit(&mut self) -> f64 {
        unit(self.0.random())
    }
}

/// A word of 64 bits from three, each bit of which depends on all of them: SplitMix64 (Steele and others, 2014), three times.
fn noise(seed: u64, peer: u64, hour: u64) -> u64 {
    [peer, hour]
        .into_iter()
        .fold(mixed(seed), |word, next| mixed(word ^ mixed(next)))
}

fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The upper 53 bits as a number in `0..1`.
fn unit(word: u64) -> f64 {
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_keep_to_the_measured_mix() {
        let (mut on, mut all) = ([0_u64; 3], [0_u64; 3]);
        for peer in 0..3000 {
            let place = Habit::of(7, peer) as usize;
            for hour in 0..72 {
                all[place] += 1;
                on[place] += u64::from(is_on(7, peer, hour));
            }
        }
        let total: u64 = all.iter().sum();
        for (habit, share, availability) in Habit::MIX {
            let place = habit as usize;
            let part = all[place] as f64 / total as f64;
            assert!((part - share as f64 / 1000.0).abs() < 0.03, "{habit:?}: {part}");
            let was_on = on[place] as f64 / all[place] as f64;
            assert!((was_on - availability).abs() < 0.02, "{habit:?}: {was_on}");
        }
    }

    #[test]
    fn draws_have_the_means_that_they_are_asked_for() {
        let mut draws = Draws::new(1, 1);
        let mean = (0..20_000).map(|_| draws.exponential(5.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 5.0).abs() < 0.15, "{mean}");
        assert!((0..1000).all(|_| (1.0..=42.0).contains(&draws.log_uniform((1.0, 42.0)))));
    }
}
