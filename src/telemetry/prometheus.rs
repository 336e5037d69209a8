//! The text format that Prometheus reads, version 0.0.4: metrics with their help and type.
//!
//! It knows the format and none of the metrics. Our own, since the crates for it either write
//! the successor (OpenMetrics), or bring a registry that would count everything twice.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::metric_types::{CounterVec, Label, Observed};

/// The `Content-Type` of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Page(String);

/// The type of a metric.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The value of a sample. None of ours needs a float, so none is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// Seconds.
    Time(Duration),
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Value {
        Value::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Whole(value.into())
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Value {
        Value::Time(value)
    }
}

impl Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::Whole(value) => value.fmt(formatter),
            Value::Time(time) if time.subsec_nanos() == 0 => time.as_secs().fmt(formatter),
            Value::Time(time) => {
                let decimals = format!("{:09}", time.subsec_nanos());
                let decimals = decimals.trim_end_matches('0');
                write!(formatter, "{}.{decimals}", time.as_secs())
            }
        }
    }
}

impl Page {
    /// Adds a counter.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Into<Value>) {
        self.head(name, help, Kind::Counter);
        self.sample(name, &[], value.into());
    }

    /// Adds a counter for each value of a label.
    pub fn counter_vec<L: Label, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counters: &CounterVec<L, N>,
    ) {
        self.head(name, help, Kind::Counter);
        for (value, total) in counters.totals() {
            self.sample(name, &[(label, value)], total.into());
        }
    }

    /// Adds a gauge, which goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Value>) {
        self.head(name, help, Kind::Gauge);
        self.sample(name, &[], value.into());
    }

    /// Adds a gauge that is always 1, for the sake of its label.
    pub fn info(&mut self, name: &str, help: &str, label: &str, value: &str) {
        self.head(name, help, Kind::Gauge);
        self.sample(name, &[(label, value)], Value::Whole(1));
    }

    /// Adds a histogram of durations.
    pub fn histogram(&mut self, name: &str, help: &str, observed: &Observed) {
        self.head(name, help, Kind::Histogram);
        let bucket = format!("{name}_bucket");
        for (bound, count) in &observed.buckets {
            let bound = Value::Time(*bound).to_string();
            self.sample(&bucket, &[("le", &bound)], Value::Whole(*count));
        }
        self.sample(&bucket, &[("le", "+Inf")], Value::Whole(observed.count));
        self.sample(&format!("{name}_sum"), &[], observed.sum.into());
        self.sample(&format!("{name}_count"), &[], observed.count.into());
    }

    /// The page as text.
    pub fn into_text(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: Value) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}"); // writing to a string can't fail
    }
}

/// A label's value as it stands between its quotes.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::ClientEvent;
    use crate::telemetry::metric_types::Histogram;
    use proptest::prelude::*;

    #[test]
    fn each_type_is_written_as_prometheus_reads_it() {
        let mut page = Page::default();
        page.gauge("a", "First.", 7_u64);
        page.counter(
            "b_seconds_total",
            "A \\ and\na line.",
            Duration::from_millis(250),
        );
        page.info("c_info", "Last.", "version", "1.0");
        let text = "# HELP a First.\n# TYPE a gauge\na 7\n\
            # HELP b_seconds_total A \\\\ and\\na line.\n# TYPE b_seconds_total counter\n\
            b_seconds_total 0.25\n\
            # HELP c_info Last.\n# TYPE c_info gauge\nc_info{version=\"1.0\"} 1\n";
        assert_eq!(page.into_text(), text);
    }

    #[test]
    fn a_counter_vec_has_a_sample_for_each_label() {
        let counters = CounterVec::<ClientEvent, { ClientEvent::NAMES.len() }>::new();
        counters.add_one(ClientEvent::Ping);
        let mut page = Page::default();
        page.counter_vec("said_total", "What.", "event", &counters);
        let text = page.into_text();
        assert!(text.contains("\nsaid_total{event=\"ping\"} 1\n"), "{text}");
        assert_eq!(text.lines().count(), 2 + ClientEvent::NAMES.len());
    }

    #[test]
    fn a_histogram_ends_with_its_total() {
        let histogram = Histogram::new();
        histogram.observe(Duration::from_micros(50));
        histogram.observe(Duration::from_secs(2));
        let mut page = Page::default();
        page.histogram("t_seconds", "Time.", &histogram.observed());
        let text = page.into_text();
        assert!(
            text.contains("\nt_seconds_bucket{le=\"0.00005\"} 1\n"),
            "{text}"
        );
        let end = "t_seconds_bucket{le=\"1\"} 1\nt_seconds_bucket{le=\"+Inf\"} 2\n\
            t_seconds_sum 2.00005\nt_seconds_count 2\n";
        assert!(text.ends_with(end), "{text}");
    }

    /// Reads an escaped value as Prometheus does.
    fn unescaped(text: &str) -> String {
        let mut characters = text.chars();
        let mut value = String::new();
        while let Some(character) = characters.next() {
            value.push(match character {
                '\\' => match characters.next() {
                    Some('n') => '\n',
                    Some(other) => other,
                    None => panic!("half an escape: {text:?}"),
                },
                other => other,
            });
        }
        value
    }

    proptest! {
        #[test]
        fn any_label_value_stays_one_quoted_word(value in "[a\\\\\"\n\r=,}é]{0,12}") {
            let mut page = Page::default();
            page.info("x", "", "label", &value);
            let text = page.into_text();
            let line = text.lines().nth(2).unwrap_or_default();
            let quoted = line.strip_prefix("x{label=\"").and_then(|rest| rest.strip_suffix("\"} 1"));
            // `lines` drops a carriage return at the end, which belongs to the value.
            prop_assert_eq!(quoted.map(unescaped), Some(value));
        }

        #[test]
        fn a_duration_is_read_back(seconds in 0..1_u64 << 33, nanos in 0..1_000_000_000_u32) {
            let time = Duration::new(seconds, nanos);
            let text = Value::from(time).to_string();
            prop_assert_eq!(text.parse::<f64>().unwrap(), time.as_secs_f64(), "{}", text);
        }
    }
}
