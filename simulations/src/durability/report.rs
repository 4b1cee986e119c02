//! The report on durability: what to expect of so many friends, and published figures beside ours. Text of fixed form; the same figures
//! give the same bytes.

use std::fmt::{self, Write as _};

use nuthatch_engine::targets::Goals;

use super::circle::{Setting, Shaping};
use super::figures::{Figures, Row};
use super::peers::Lives;
use super::published::Upkeep;

/// Writes the report.
pub fn report(figures: &Figures) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let wanted = figures.wanted;
    writeln!(
        text,
        "durability: {} peers, {} years, seed {}",
        wanted.peers, wanted.years, wanted.seed
    )?;
    assumptions(&mut text)?;
    writeln!(text, "\nSHAPES BY THE NUMBER OF FRIENDS (a young circle)")?;
    circles(&figures.by_number, &mut text)?;
    let goals = Goals::default();
    writeln!(
        text,
        "\nSHAPES BY WHAT WAS SEEN OF THEM IN HALF A YEAR (goals: restorable at {:.0} % of all moments, {} of 1000 owners lose data in a year)",
        100.0 * goals.restorable_now,
        1000.0 * goals.loss_a_year
    )?;
    circles(&figures.by_history, &mut text)?;
    writeln!(text, "\nOTHER POPULATIONS, shapes by what was seen")?;
    circles(&figures.mixes, &mut text)?;
    writeln!(
        text,
        "\nA YEAR OF ORDINARY FRIENDS: two machines of the circle are lost, no disaster"
    )?;
    year(&figures.year, &mut text)?;
    published(figures, &mut text)?;
    Ok(text)
}

fn assumptions(text: &mut String) -> fmt::Result {
    let (lives, setting) = (Lives::default(), Setting::new(1));
    writeln!(
        text,
        "each archive {:.0} GB, each uplink {:.0} Mbit/s; a machine lasts {:.1} years on average and is replaced after {:.0} days;",
        setting.archive_len / 1e9,
        setting.upload_an_hour * 8.0 / 3600.0 / 1e6,
        lives.life / 365.0,
        lives.replacement
    )?;
    writeln!(
        text,
        "every {:.0} days it is away for {:.0} to {:.0} days; once in {:.0} years a disaster takes {:.0} % of a circle at once; people sleep at night",
        lives.between_absences,
        lives.absence.0,
        lives.absence.1,
        lives.between_disasters / 365.0,
        100.0 * lives.disaster_share
    )
}

fn circles(rows: &[Row], text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "friends  machines are on as           stored  busiest keeps  archives  lost  /1000/year  below k  below target  restorable now  in a day  repaired/TB/month  by an oracle  in vain  audits/archive/month"
    )?;
    for row in rows {
        writeln!(
            text,
            "{:>7}  {:<27} {:>7.2} {:>14.2} {:>9} {:>5} {:>11.2} {:>8} {:>12.3}% {:>14.1}% {:>8.1}% {:>15.1} GB {:>10.1} GB {:>7.2}% {:>18.1} MB",
            row.setting.friends,
            row.setting.mix.name(),
            row.stored(),
            row.busiest(),
            row.ours.archives,
            row.ours.lost,
            row.lost_of_thousand(),
            row.ours.below_k,
            100.0 * row.below_target(),
            100.0 * row.restorable(),
            100.0 * row.restorable_in_a_day(),
            row.repaired() / 1e9,
            row.repaired_by_oracle() / 1e9,
            100.0 * row.in_vain(),
            row.audited() / 1e6
        )?;
    }
    Ok(())
}

fn year(rows: &[Row], text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "friends  shapes by    archives  deaths  below k  lost  repaired/TB/month  by an oracle  ratio  made for a host within its grace"
    )?;
    for row in rows {
        let shaping = match row.setting.shaping {
            Shaping::ByNumber => "number",
            Shaping::ByHistory(_) => "history",
        };
        writeln!(
            text,
            "{:>7}  {shaping:<11} {:>9} {:>7} {:>8} {:>5} {:>15.1} GB {:>10.1} GB {:>6.2} {:>33}",
            row.setting.friends,
            row.ours.archives,
            row.ours.deaths,
            row.ours.below_k,
            row.ours.lost,
            row.repaired() / 1e9,
            row.repaired_by_oracle() / 1e9,
            row.ratio(),
            row.ours.rebuilt_within_grace
        )?;
    }
    Ok(())
}

fn published(figures: &Figures, text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "\nPUBLISHED (Storj white paper, version 3, 2018) BESIDE OURS: bytes moved per byte kept and month\n    k/n  rebuilt at  life, months  published  formula  simulated  ours, from the owner's files  published nines  rebuilt in a day  ours, after 14 days"
    )?;
    for row in &figures.upkeep {
        let Upkeep {
            data,
            total,
            left,
            life,
            published,
            nines,
        } = row.case;
        writeln!(
            text,
            "{:>7} {left:>11} {life:>13} {published:>10.2} {:>8.3} {:>10.3} {:>29.3} {nines:>16} {:>17.1} {:>20.1}",
            format!("{data}/{total}"),
            row.case.by_formula(),
            row.shards,
            row.files,
            row.case.nines(1.0),
            row.case.nines(14.0)
        )?;
    }
    writeln!(
        text,
        "\nlost in a month at 10 % churn\n    k/n  published, no repair    Poisson  simulated  ours, rebuilt after 14 days  moved for it per byte kept"
    )?;
    for row in &figures.months {
        writeln!(
            text,
            "{:>7} {:>21.2e} {:>10.2e} {:>10.2e} {:>28.2e} {:>27.3}",
            format!("{}/{}", row.case.data, row.case.total),
            1.0 - row.case.published,
            row.case.loss_by_poisson(),
            row.alone,
            row.repaired,
            row.moved
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durability::figures::Wanted;
    use crate::durability::plots::plots;

    #[test]
    fn the_same_seed_gives_the_same_report_and_plots_byte_for_byte() {
        let figures = || {
            Figures::of(Wanted {
                peers: 280,
                years: 1,
                seed: 3,
            })
        };
        let (first, again) = (figures(), figures());
        let text = report(&first).unwrap();
        assert_eq!(report(&again).unwrap(), text);
        assert!(!text.contains("NaN"), "{text}");
        let drawn = plots(&first).unwrap();
        assert_eq!(plots(&again).unwrap(), drawn);
        for plot in drawn {
            assert!(
                plot.svg.starts_with("<svg") && plot.svg.trim_end().ends_with("</svg>"),
                "{}",
                plot.name
            );
        }
    }
}
