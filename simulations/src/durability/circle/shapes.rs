//! The shape of each archive of a circle and the hosts that get its shards first: asked of the engine, by numbers or by what half a year of
//! looks has shown.

use nuthatch_engine::Scheme;
use nuthatch_engine::boundary::{Domain, PackKind};
use nuthatch_engine::durability::shape_for;
use nuthatch_engine::targets::{Goals, Histories, HostHistory, Together, choose};
use nuthatch_format::{NodeId, Span};

use super::Setting;
use super::setting::Shaping;
use crate::durability::peers::{Draws, Machine};

/// Hours at which everybody was looked at before the first day (count): half a year, long absences among them.
const LOOKS: u64 = 26 * 168;

/// Words of 64 looks (count).
const WORDS: usize = LOOKS.div_ceil(64) as usize;

/// A shape, and all other members in the order in which they get shards.
pub(super) struct Shape {
    pub(super) scheme: Scheme,
    pub(super) order: Vec<usize>,
}

/// The shapes of all archives of a circle; `None` when so few friends have none.
pub(super) fn shapes(
    machines: &[Machine],
    setting: &Setting,
    (target, draws): (u8, &mut Draws),
) -> Option<Vec<Shape>> {
    match setting.shaping {
        Shaping::ByNumber => (0..machines.len())
            .map(|owner| {
                Some(Shape {
                    scheme: shape_for(machines.len() - 1, target, PackKind::Data)?,
                    order: others(owner, machines.len()),
                })
            })
            .collect(),
        Shaping::ByHistory(goals) => {
            let seen: Vec<Seen> = machines
                .iter()
                .map(|machine| Seen::of(machine, setting, draws))
                .collect();
            (0..machines.len())
                .map(|owner| by_history(&seen, owner, target, &goals))
                .collect()
        }
    }
}

/// All members but the owner, beginning after it, so that no place of a circle is better than another.
fn others(owner: usize, count: usize) -> Vec<usize> {
    (1..count).map(|step| (owner + step) % count).collect()
}

fn by_history(seen: &[Seen], owner: usize, target: u8, goals: &Goals) -> Option<Shape> {
    let others = others(owner, seen.len());
    let hosts: Vec<&Seen> = others.iter().filter_map(|slot| seen.get(*slot)).collect();
    let mut together = Vec::new();
    for (one, first) in hosts.iter().enumerate() {
        for (other, second) in hosts.iter().enumerate().skip(one + 1) {
            together.push(Together {
                one,
                other,
                looks: LOOKS as u32,
                both_away: first.both_away(second),
            });
        }
    }
    let histories = Histories {
        hosts: (0..)
            .zip(&hosts)
            .map(|(number, seen)| seen.history(number))
            .collect(),
        together,
        ..Histories::default()
    };
    let choice = choose(&histories, target, PackKind::Data, goals)?;
    let ranked = histories.best_of_each_domain();
    Some(Shape {
        scheme: choice.scheme,
        order: ranked
            .into_iter()
            .filter_map(|place| others.get(place).copied())
            .collect(),
    })
}

/// Whether a machine was on, look by look.
struct Seen([u64; WORDS]);

impl Seen {
    fn of(machine: &Machine, setting: &Setting, draws: &mut Draws) -> Self {
        let mut words = [0_u64; WORDS];
        let lives = setting.lives;
        let (mut leaves, mut returns) = (draws.exponential(lives.between_absences) * 24.0, 0.0);
        for hour in 0..LOOKS {
            let now = hour as f64;
            if now >= leaves {
                returns = now + draws.log_uniform(lives.absence) * 24.0;
                leaves = returns + draws.exponential(lives.between_absences) * 24.0;
            }
            let is_on = now >= returns && machine.is_on(hour);
            words[hour as usize / 64] |= u64::from(is_on) << (hour % 64);
        }
        Self(words)
    }

    fn was_on(&self, hour: u64) -> bool {
        self.0[hour as usize / 64] >> (hour % 64) & 1 == 1
    }

    fn both_away(&self, other: &Self) -> u32 {
        let either_on: u32 = self
            .0
            .iter()
            .zip(&other.0)
            .map(|(one, other)| (one | other).count_ones())
            .sum();
        LOOKS as u32 - either_on
    }

    fn history(&self, number: u8) -> HostHistory {
        let domain = Domain(NodeId::from_bytes([number; NodeId::LEN]));
        let mut history = HostHistory::new(domain, Span::from_days(LOOKS / 24));
        for hour in 0..LOOKS {
            history.look(hour as usize, self.was_on(hour));
        }
        history
    }
}
