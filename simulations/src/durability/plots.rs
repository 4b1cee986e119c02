//! The figures as SVG. Draws into strings; writes no file.

use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;

use super::figures::{Figures, Row};

/// Width and height of a plot, in pixels.
const SIZE: (u32, u32) = (640, 380);

/// A plot by its file name, and its SVG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Without folder.
    pub name: &'static str,
    /// The whole file.
    pub svg: String,
}

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("{name} could not be drawn")]
pub struct PlotError {
    /// Which.
    pub name: &'static str,
    /// What the drawing library says.
    pub source: DrawingAreaErrorKind<std::io::Error>,
}

struct Series {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

struct Chart {
    name: &'static str,
    title: &'static str,
    y_label: &'static str,
    y_max: f64,
    /// Where the legend stands: beside all lines.
    legend: SeriesLabelPosition,
    series: Vec<Series>,
}

/// All plots.
pub fn plots(figures: &Figures) -> Result<Vec<Plot>, PlotError> {
    let both = |value: fn(&Row) -> f64| {
        vec![
            series("by number of friends", &figures.by_number, value),
            series("by what was seen of them", &figures.by_history, value),
        ]
    };
    let mut restorable = both(|row| 100.0 * row.restorable());
    restorable.push(series("by what was seen, in a day", &figures.by_history, |row| {
        100.0 * row.restorable_in_a_day()
    }));
    let mut traffic = both(|row| row.repaired() / 1e9);
    traffic.push(series("an oracle, by number", &figures.by_number, |row| {
        row.repaired_by_oracle() / 1e9
    }));
    [
        Chart {
            name: "restorable.svg",
            title: "Everything can be restored right now",
            y_label: "% of all moments",
            y_max: 100.0,
            legend: SeriesLabelPosition::LowerMiddle,
            series: restorable,
        },
        Chart {
            name: "lost.svg",
            title: "Owners who lose data in a year",
            y_label: "of 1000",
            y_max: 8.0,
            legend: SeriesLabelPosition::UpperMiddle,
            series: both(Row::lost_of_thousand),
        },
        Chart {
            name: "stored.svg",
            title: "Bytes that friends store for each byte of yours",
            y_label: "times",
            y_max: 3.5,
            legend: SeriesLabelPosition::UpperMiddle,
            series: both(Row::stored),
        },
        Chart {
            name: "traffic.svg",
            title: "Repair traffic",
            y_label: "GB for each TB and month",
            y_max: 120.0,
            legend: SeriesLabelPosition::UpperMiddle,
            series: traffic,
        },
    ]
    .into_iter()
    .map(draw)
    .collect()
}

fn series(name: &'static str, rows: &[Row], value: fn(&Row) -> f64) -> Series {
    let points = rows.iter().map(|row| (row.setting.friends as f64, value(row)));
    Series {
        name,
        points: points.collect(),
    }
}

fn draw(chart: Chart) -> Result<Plot, PlotError> {
    let mut svg = String::new();
    let name = chart.name;
    draw_into(&mut svg, chart).map_err(|source| PlotError { name, source })?;
    Ok(Plot { name, svg })
}

fn draw_into(svg: &mut String, chart: Chart) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut context = ChartBuilder::on(&area)
        .caption(chart.title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(38)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..21.0, 0.0..chart.y_max)?;
    context
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("friends")
        .y_desc(chart.y_label)
        .x_labels(11)
        .y_labels(6)
        .x_label_formatter(&|friends| format!("{friends:.0}"))
        .draw()?;
    let colours = [RED, BLUE, GREEN];
    for (series, colour) in chart.series.into_iter().zip(colours) {
        let points = series.points.clone();
        context
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        let dots = series
            .points
            .into_iter()
            .map(|point| Circle::new(point, 3, colour.filled()));
        context.draw_series(dots)?;
    }
    context
        .configure_series_labels()
        .position(chart.legend)
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}
