//! What friends' machines do: how often they are on, how long they stay away, when they die. Pure functions of a seed; decides nothing
//! that a node decides.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Hours of a day.
const DAY: u64 = 24;

/// Hours by which people of a circle differ in when they sleep: friends mostly live in one or two time zones.
const SHIFT_HOURS: u64 = 6;

/// Availability from which a machine is left on by night and day (`0..1`), so that it does not follow its person's hours.
const LEFT_ON: f64 = 0.59;

/// Part of a machine's mean with which it is on by night and by day, where a person switches it on and off: eight hours at 0.4 and sixteen
/// at 1.3 make 24 at 1. [`LEFT_ON`] keeps the product below 1.
const NIGHT_AND_DAY: (f64, f64) = (0.4, 1.3);

/// How often the machines of a population are on, as somebody has measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Freenet, home machines that friends run: of those on at a moment 37 % were on 96 % of the time, 33 % 56 % and 30 % 16 %
    /// (measurements of Evan Daniel, in the project's status update of 4 February 2010). Friends who agree to host for each other are
    /// taken for this mix.
    Friends,
    /// The same measurement weighed back to all machines, those that are off at the moment too: 13.5 %, 20.7 % and 65.8 %.
    AllOfFreenet,
    /// Overnet, a file-sharing network: half of the machines were on at most 30 % of the time (Bhagwan, Savage and Voelker,
    /// "Understanding Availability", IPTPS 2003). Within each half every availability is taken for equally likely.
    Overnet,
}

/// Part of a population.
struct Class {
    /// Of a thousand machines.
    share: u64,
    /// Least and most availability (`0..1`); between them uniform.
    on: (f64, f64),
}

impl Mix {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Friends, Self::AllOfFreenet, Self::Overnet];

    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Friends => "Freenet, on at a moment",
            Self::AllOfFreenet => "Freenet, all machines",
            Self::Overnet => "Overnet",
        }
    }

    const fn classes(self) -> &'static [Class] {
        const FRIENDS: [Class; 3] = [
            Class::just(370, 0.96),
            Class::just(330, 0.56),
            Class::just(300, 0.16),
        ];
        const ALL: [Class; 3] = [
            Class::just(135, 0.96),
            Class::just(207, 0.56),
            Class::just(658, 0.16),
        ];
        const OVERNET: [Class; 2] = [Class::within(500, 0.02, 0.3), Class::within(500, 0.3, 1.0)];
        match self {
            Self::Friends => &FRIENDS,
            Self::AllOfFreenet => &ALL,
            Self::Overnet => &OVERNET,
        }
    }
}

impl Class {
    const fn just(share: u64, on: f64) -> Self {
        Self::within(share, on, on)
    }

    const fn within(share: u64, least: f64, most: f64) -> Self {
        Self {
            share,
            on: (least, most),
        }
    }
}

/// A machine's habits, from its first day to its last; the next machine of the same person has the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    seed: u64,
    peer: u64,
    availability: f64,
    shift: u64,
}

impl Machine {
    /// The machine of a peer.
    pub fn of(mix: Mix, seed: u64, peer: u64) -> Self {
        let mut drawn = noise(seed, peer, u64::MAX) % 1000;
        let within = unit(noise(seed, peer, u64::MAX - 2));
        let mut availability = 0.0;
        for class in mix.classes() {
            if drawn < class.share {
                availability = class.on.0 + (class.on.1 - class.on.0) * within;
                break;
            }
            drawn -= class.share;
        }
        Self {
            seed,
            peer,
            availability,
            shift: noise(seed, peer, u64::MAX - 1) % SHIFT_HOURS,
        }
    }

    /// Which part of the time it is on (`0..1`).
    pub const fn availability(&self) -> f64 {
        self.availability
    }

    /// Whether it is on in an hour, unless it is away for long. A machine that is left on: by its availability. One that a person switches:
    /// on some days not at all, on the others by the hour of the day; the root of its availability is what each of the two leaves.
    pub fn is_on(&self, hour: u64) -> bool {
        let drawn = || unit(noise(self.seed, self.peer, hour));
        if self.availability > LEFT_ON {
            return drawn() < self.availability;
        }
        let root = self.availability.sqrt();
        let local = hour + self.shift;
        if unit(noise(self.seed ^ DAY_SALT, self.peer, local / DAY)) >= root {
            return false;
        }
        let (night, day) = NIGHT_AND_DAY;
        let weight = if local % DAY < 8 { night } else { day };
        drawn() < root * weight
    }
}

/// Sets draws for days apart from draws for hours: the fraction of the golden ratio.
const DAY_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

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

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
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
    fn machines_keep_to_the_measured_mixes() {
        for mix in Mix::ALL {
            let classes = mix.classes();
            let (mut count, mut on) = (vec![0_u64; classes.len()], vec![0_u64; classes.len()]);
            for peer in 0..3000 {
                let machine = Machine::of(mix, 7, peer);
                let is_of = |class: &Class| (class.on.0..=class.on.1).contains(&machine.availability());
                let place = classes.iter().position(is_of).unwrap();
                count[place] += 1;
                on[place] += (0..240).filter(|hour| machine.is_on(*hour)).count() as u64;
            }
            for (place, class) in classes.iter().enumerate() {
                let part = count[place] as f64 / 3000.0;
                assert!(
                    (part - class.share as f64 / 1000.0).abs() < 0.03,
                    "{mix:?}: {part}"
                );
                let was_on = on[place] as f64 / (count[place] * 240) as f64;
                let mean = f64::midpoint(class.on.0, class.on.1);
                assert!((was_on - mean).abs() < 0.02, "{mix:?}: {was_on} for {mean}");
            }
        }
    }

    #[test]
    fn all_of_freenet_is_what_a_moment_shows_weighed_back() {
        let seen = Mix::Friends.classes();
        let weight = |class: &Class| class.share as f64 / class.on.0;
        let sum: f64 = seen.iter().map(weight).sum();
        for (seen, all) in seen.iter().zip(Mix::AllOfFreenet.classes()) {
            assert!((weight(seen) / sum * 1000.0 - all.share as f64).abs() < 1.0);
        }
    }

    #[test]
    fn people_sleep_at_night() {
        let on_at = |hour: u64| {
            let is_on = |peer: u64| Machine::of(Mix::Friends, 7, peer).is_on(hour);
            (0..3000).filter(|peer| is_on(*peer)).count()
        };
        let (night, day) = (on_at(2 + 24 * 9), on_at(12 + 24 * 9));
        assert!(night * 10 < day * 8, "{night} by night, {day} by day");
    }

    #[test]
    fn draws_have_the_means_that_they_are_asked_for() {
        let mut draws = Draws::new(1, 1);
        let mean = (0..20_000).map(|_| draws.exponential(5.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 5.0).abs() < 0.15, "{mean}");
        assert!((0..1000).all(|_| (1.0..=42.0).contains(&draws.log_uniform((1.0, 42.0)))));
    }
}
