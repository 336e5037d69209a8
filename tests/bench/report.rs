//! Results: medians over the rounds, ratios to the reference of the same round, one table per
//! scenario, and one JSON line per row.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::server::target::Target;

/// A figure that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in tables and JSON.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
}

impl Metric {
    /// A metric with this name and unit.
    pub const fn new(name: &'static str, unit: &'static str) -> Metric {
        Metric { name, unit }
    }
}

/// The goal of a metric.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Bifrost's figure divided by the reference's is at most this.
    RatioAtMost(f64),
    /// Bifrost's figure divided by the reference's is at least this.
    RatioAtLeast(f64),
    /// Bifrost's figure is at most this.
    AtMost(f64),
}

/// One configuration of a scenario, with its measurements.
pub struct Case {
    scenario: &'static str,
    label: String,
    rows: Vec<Row>,
}

struct Row {
    metric: Metric,
    samples: Vec<(Target, Vec<f64>)>,
    goal: Option<Goal>,
}

/// Prints the results.
pub struct Report {
    json: Option<File>,
    goals: Goals,
}

/// Whether goals are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goals {
    /// The measurement is long enough.
    Shown,
    /// The measurement is too short: only correctness counts.
    Hidden,
}

impl Case {
    /// A case without measurements.
    pub fn new(scenario: &'static str, label: String) -> Case {
        Case {
            scenario,
            label,
            rows: Vec::new(),
        }
    }

    /// The same case, shown under another scenario.
    #[must_use]
    pub fn of(mut self, scenario: &'static str) -> Case {
        self.label = format!("{}, {}", self.scenario, self.label);
        self.scenario = scenario;
        self
    }

    /// Adds a measurement of this round.
    pub fn sample(&mut self, target: Target, metric: Metric, value: f64) {
        let row = self.row(metric);
        match row.samples.iter_mut().find(|(other, _)| *other == target) {
            Some((_, values)) => values.push(value),
            None => row.samples.push((target, vec![value])),
        }
    }

    /// Sets the goal of a metric.
    pub fn expect(&mut self, metric: Metric, goal: Goal) {
        self.row(metric).goal = Some(goal);
    }

    fn row(&mut self, metric: Metric) -> &mut Row {
        let found = self.rows.iter().position(|row| row.metric == metric);
        let index = found.unwrap_or_else(|| {
            self.rows.push(Row {
                metric,
                samples: Vec::new(),
                goal: None,
            });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }
}

impl Row {
    fn values(&self, target: Target) -> Option<&[f64]> {
        let (_, values) = self.samples.iter().find(|(other, _)| *other == target)?;
        Some(values)
    }

    /// A server's figures divided by the reference's of the same round, which ran under the same
    /// conditions.
    fn ratios(&self, target: Target) -> Option<Vec<f64>> {
        let own = self.values(target)?.iter();
        let reference = self.values(Target::Reference)?.iter();
        let ratios: Vec<f64> = own
            .zip(reference)
            .map(|(own, reference)| own / reference)
            .filter(|ratio| ratio.is_finite())
            .collect();
        (!ratios.is_empty()).then_some(ratios)
    }

    /// The median; with the ratio for peers, as Bifrost's ratio has a column of its own.
    fn cell(&self, target: Target) -> String {
        let Some(values) = self.values(target) else {
            return "–".to_owned();
        };
        let value = rounded(median(values));
        match (target, self.ratios(target)) {
            (Target::Bifrost | Target::Reference, _) | (_, None) => value,
            (_, Some(ratios)) => format!("{value} ({:.2})", median(&ratios)),
        }
    }

    fn is_reached(&self) -> Option<bool> {
        let own = self.values(Target::Bifrost).map(median);
        let ratio = self.ratios(Target::Bifrost).map(|ratios| median(&ratios));
        Some(match self.goal? {
            Goal::RatioAtMost(limit) => ratio? <= limit,
            Goal::RatioAtLeast(limit) => ratio? >= limit,
            Goal::AtMost(limit) => own? <= limit,
        })
    }

    fn goal_text(&self) -> String {
        let goal = match self.goal {
            Some(Goal::RatioAtMost(limit)) => format!("ratio ≤ {limit}"),
            Some(Goal::RatioAtLeast(limit)) => format!("ratio ≥ {limit}"),
            Some(Goal::AtMost(limit)) => format!("≤ {limit}"),
            None => return String::new(),
        };
        match self.is_reached() {
            Some(true) => format!("{goal}, reached"),
            Some(false) => format!("{goal}, MISSED"),
            None => goal,
        }
    }
}

impl Report {
    /// A report whose JSON lines go to a file, or behind each table.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn new(json: Option<&Path>, goals: Goals) -> Result<Report> {
        let create = |path: &Path| {
            File::create(path).map_err(|error| format!("can't write {}: {error}", path.display()))
        };
        Ok(Report {
            json: json.map(create).transpose()?,
            goals,
        })
    }

    /// Prints the cases of a scenario.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn show(&mut self, cases: &[Case]) -> Result {
        let targets = targets(cases);
        let mut lines = vec![header(&targets)];
        for case in cases {
            lines.extend(case.rows.iter().map(|row| self.line(case, row, &targets)));
        }
        let title = cases.first().map_or("", |case| case.scenario);
        let mut output = io::stdout().lock();
        writeln!(output, "\n{title}\n\n{}", aligned(&lines))?;
        for case in cases {
            for row in &case.rows {
                let line = json_line(case, row);
                match &mut self.json {
                    Some(file) => writeln!(file, "{line}")?,
                    None => writeln!(output, "{line}")?,
                }
            }
        }
        Ok(output.flush()?)
    }

    fn line(&self, case: &Case, row: &Row, targets: &[Target]) -> Vec<String> {
        let mut line = vec![
            case.label.clone(),
            row.metric.name.to_owned(),
            row.metric.unit.to_owned(),
        ];
        for target in targets {
            line.push(row.cell(*target));
        }
        line.push(
            row.ratios(Target::Bifrost)
                .map_or(String::new(), |ratios| spread(&ratios)),
        );
        line.push(match self.goals {
            Goals::Shown => row.goal_text(),
            Goals::Hidden => String::new(),
        });
        line
    }
}

fn header(targets: &[Target]) -> Vec<String> {
    let names = targets.iter().map(|target| target.name());
    let names = ["case", "figure", "unit"].into_iter().chain(names);
    let names = names.chain(["ratio (least – most)", "to reach"]);
    names.map(str::to_owned).collect()
}

fn targets(cases: &[Case]) -> Vec<Target> {
    let mut targets = Vec::new();
    for row in cases.iter().flat_map(|case| &case.rows) {
        for (target, _) in &row.samples {
            if !targets.contains(target) {
                targets.push(*target);
            }
        }
    }
    // Bifrost first, whichever was measured first.
    targets.sort_by_key(|target| *target != Target::Bifrost);
    targets
}

fn json_line(case: &Case, row: &Row) -> Value {
    let mut line = json!({
        "scenario": case.scenario,
        "case": case.label,
        "figure": row.metric.name,
        "unit": row.metric.unit,
    });
    for (target, values) in &row.samples {
        line[target.name()] = json!({ "median": median(values), "rounds": values });
    }
    if let Some(ratios) = row.ratios(Target::Bifrost) {
        line["ratio"] = json!(median(&ratios));
    }
    if row.goal.is_some() {
        line["reached"] = json!(row.is_reached());
    }
    line
}

/// The median; of an even number of values, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn spread(ratios: &[f64]) -> String {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(ratios);
    match ratios.len() {
        1 => format!("{middle:.2}"),
        _ => format!("{middle:.2} ({least:.2} – {most:.2})"),
    }
}

/// Rounds to three digits: no measurement is more precise.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Pads columns to their widest cell, with numbers aligned right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let numbers = 3..columns - 2;
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if numbers.contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        let cells: Vec<_> = cells.collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
