//! Published figures on coded storage among machines that leave, beside what the same machinery gives here: by the formula, by
//! simulation, and with our policy under the same churn.

use nuthatch_engine::Scheme;
use nuthatch_engine::repair::RepairSource;

use super::peers::Draws;

/// Repairs that are simulated for one figure (count): the error of a mean is below one percent.
const REPAIRS: u32 = 40_000;

/// Months that are simulated for one figure (count).
const MONTHS: u32 = 400_000;

/// Upkeep of stripes whose machines live for an exponential time, each stripe rebuilt when few shards are left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Upkeep {
    /// Shards that it takes to read (count), and shards in all (count).
    pub data: u8,
    /// See `data`.
    pub total: u8,
    /// Shards left (count) at which a stripe is rebuilt.
    pub left: u8,
    /// Mean life of a machine, in months.
    pub life: f64,
    /// Bytes moved per byte kept and month, as printed.
    pub published: f64,
    /// Nines of durability, as printed (count).
    pub nines: u8,
}

impl Upkeep {
    /// The cases of the Storj white paper (version 3, 2018, section on repair).
    pub const CASES: [Self; 5] = [
        Self::of((20, 40, 35), 1.0, (9.36, 8)),
        Self::of((20, 40, 30), 6.0, (0.87, 17)),
        Self::of((30, 70, 40), 6.0, (0.60, 15)),
        Self::of((20, 40, 25), 12.0, (0.31, 13)),
        Self::of((40, 120, 45), 12.0, (0.24, 11)),
    ];

    const fn of((data, total, left): (u8, u8, u8), life: f64, (published, nines): (f64, u8)) -> Self {
        Self {
            data,
            total,
            left,
            life,
            published,
            nines,
        }
    }

    /// Nines of durability in a year (count) when each stripe is rebuilt so many days after it has come to `left`: the repairs of a year
    /// times the probability that more leave meanwhile than can be spared, by Poisson. 0: it is lost.
    pub fn nines(self, repair_days: f64) -> f64 {
        let mean = f64::from(self.left) * repair_days / (30.0 * self.life);
        let repairs = 12.0 / (self.life * (f64::from(self.total) / f64::from(self.left)).ln());
        (-(repairs * poisson_above(u32::from(self.left - self.data), mean)).log10()).max(0.0)
    }

    /// Bytes moved per byte kept and month, by the formula there: `a (n - m + k) / (k ln(n / m))` with `a = 1 / life`.
    pub fn by_formula(self) -> f64 {
        let (k, n, m) = (f64::from(self.data), f64::from(self.total), f64::from(self.left));
        (n - m + k) / (self.life * k * (n / m).ln())
    }

    /// The same by simulation, with bytes from this source: machines leave one by one, and the stripe is rebuilt at `left`.
    pub fn by_simulation(self, source: RepairSource, draws: &mut Draws) -> f64 {
        let Ok(scheme) = Scheme::new(self.data, self.total - self.data) else {
            return f64::NAN;
        };
        let rebuilt = self.total - self.left;
        let mut months = 0.0;
        for _ in 0..REPAIRS {
            for alive in (self.left + 1..=self.total).rev() {
                months += draws.exponential(self.life / f64::from(alive));
            }
        }
        let moved = f64::from(source.shards_moved(scheme, rebuilt)) / f64::from(self.data);
        moved * f64::from(REPAIRS) / months
    }
}

/// A stripe that is left alone for a month, in which each of its places loses its shard at a tenth a month.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Month {
    /// Shards that it takes to read (count), and shards in all (count).
    pub data: u8,
    /// See `data`.
    pub total: u8,
    /// What the white paper says: the probability that it can be read at the end.
    pub published: f64,
}

impl Month {
    /// The cases of the Storj white paper (version 3, 2018, table on expansion factors).
    pub const CASES: [Self; 5] = [
        Self::of(1, 2, 0.982_5),
        Self::of(2, 4, 0.992_07),
        Self::of(4, 8, 0.998_59),
        Self::of(8, 16, 0.999_955),
        Self::of(20, 40, 0.999_999_998),
    ];

    /// Losses in a month of each shard (`0..1`).
    pub const CHURN: f64 = 0.1;

    const fn of(data: u8, total: u8, published: f64) -> Self {
        Self {
            data,
            total,
            published,
        }
    }

    /// Probability of loss as the paper counts: losses are a Poisson process with the rate of all shards, however many are left.
    pub fn loss_by_poisson(self) -> f64 {
        let mean = Self::CHURN * f64::from(self.total);
        let spare = u32::from(self.total - self.data);
        poisson_above(spare, mean)
    }

    /// The same by simulation. `repair_days`: a lost shard is replaced after so many days, as ours are once their host counts as gone
    /// or has said that it is leaving; `None`: never.
    pub fn by_simulation(self, repair_days: Option<f64>, draws: &mut Draws) -> Survived {
        let rate = Self::CHURN * f64::from(self.total) / 30.0;
        let spare = usize::from(self.total - self.data);
        let (mut lost, mut replaced) = (0_u32, 0_usize);
        for _ in 0..MONTHS {
            let mut holes: Vec<f64> = Vec::new();
            let mut day = draws.exponential(1.0 / rate);
            while day < 30.0 && holes.len() <= spare {
                if let Some(repair) = repair_days {
                    let before = holes.len();
                    holes.retain(|since| day - since < repair);
                    replaced += before - holes.len();
                }
                holes.push(day);
                day += draws.exponential(1.0 / rate);
            }
            lost += u32::from(holes.len() > spare);
            let due = |since: &&f64| repair_days.is_some_and(|repair| 30.0 - **since >= repair);
            replaced += holes.iter().filter(due).count();
        }
        Survived {
            lost: f64::from(lost) / f64::from(MONTHS),
            moved: replaced as f64 / f64::from(self.data) / f64::from(MONTHS),
        }
    }
}

/// Probability that a Poisson variable of this mean is above a count. Summed from there on, so that no digits cancel.
fn poisson_above(count: u32, mean: f64) -> f64 {
    let mut term = (-mean).exp();
    for count in 1..=count {
        term *= mean / f64::from(count);
    }
    let mut sum = 0.0;
    for count in count + 1..count + 200 {
        term *= mean / f64::from(count);
        sum += term;
    }
    sum
}

/// How a month went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Survived {
    /// Probability that it can't be read at the end (`0..=1`).
    pub lost: f64,
    /// Bytes moved from the owner's files to replace shards, per byte kept.
    pub moved: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_repair_traffic_is_reproduced_and_beaten() {
        let mut draws = Draws::new(1, 0);
        for case in Upkeep::CASES {
            let published = case.published;
            assert!((case.by_formula() / published - 1.0).abs() < 0.03, "{case:?}");
            let simulated = case.by_simulation(RepairSource::Shards, &mut draws);
            assert!((simulated / published - 1.0).abs() < 0.1, "{case:?}: {simulated}");
            assert!(case.by_simulation(RepairSource::Files, &mut draws) < 0.7 * simulated);
            assert!(case.nines(1.0) > case.nines(14.0));
        }
    }

    #[test]
    fn published_survival_of_a_month_is_reproduced_and_beaten() {
        let mut draws = Draws::new(1, 1);
        for case in Month::CASES {
            let published = 1.0 - case.published;
            let loss = case.loss_by_poisson();
            assert!((loss / published - 1.0).abs() < 0.1, "{case:?}: {loss:e}");
            if loss > 1e-3 {
                let simulated = case.by_simulation(None, &mut draws).lost;
                assert!((simulated / loss - 1.0).abs() < 0.1, "{case:?}: {simulated:e}");
                assert!(case.by_simulation(Some(14.0), &mut draws).lost < simulated);
            }
        }
    }
}
