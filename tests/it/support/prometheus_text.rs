//! A strict parser of the Prometheus text format, version 0.0.4: it panics on what the format's
//! documentation does not allow, and on what `promtool check metrics` reports.

use std::collections::BTreeMap;

/// A parsed page of metrics.
#[derive(Debug)]
pub struct Scrape {
    families: Vec<Family>,
}

#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    samples: Vec<Sample>,
}

#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    #[track_caller]
    pub fn parse(text: &str) -> Scrape {
        let text = text.strip_suffix('\n').expect("the last line ends too");
        let mut scrape = Scrape {
            families: Vec::new(),
        };
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let help = line.strip_prefix("# HELP ");
            let help = help.unwrap_or_else(|| panic!("not the beginning of a family: {line:?}"));
            let (name, help) = help.split_once(' ').expect("a name and what it means");
            assert!(is_name(name), "{name:?}");
            assert!(help.trim() == help && !help.is_empty(), "{line:?}");
            let kind = lines.next().and_then(|line| {
                let (typed, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
                (typed == name).then(|| kind.to_owned())
            });
            let mut family = Family {
                name: name.into(),
                kind: kind.unwrap_or_else(|| panic!("no type of {name}")),
                samples: Vec::new(),
            };
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                family.samples.push(Sample::parse(line));
            }
            family.check();
            let is_new = scrape.families.iter().all(|other| other.name != name);
            assert!(is_new, "{name} is there twice");
            scrape.families.push(family);
        }
        scrape
    }

    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The value of the sample without labels.
    #[track_caller]
    pub fn value(&self, name: &str) -> f64 {
        self.find(name, &BTreeMap::new())
    }

    /// The value of the sample with exactly this label.
    #[track_caller]
    pub fn labelled(&self, name: &str, label: &str, value: &str) -> f64 {
        self.find(name, &BTreeMap::from([(label.into(), value.into())]))
    }

    /// The samples that are not 0 of a family with one label, by that label.
    #[track_caller]
    pub fn counted(&self, name: &str) -> BTreeMap<&str, u64> {
        let family = self.families.iter().find(|family| family.name == name);
        let family = family.unwrap_or_else(|| panic!("no {name}"));
        let samples = family.samples.iter().filter(|sample| sample.value > 0.0);
        samples
            .map(|sample| {
                assert_eq!(sample.labels.len(), 1, "{sample:?}");
                let label = sample.labels.values().next().expect("the one label");
                (label.as_str(), sample.value as u64)
            })
            .collect()
    }

    #[track_caller]
    fn find(&self, name: &str, labels: &BTreeMap<String, String>) -> f64 {
        let mut samples = self.families.iter().flat_map(|family| &family.samples);
        let sample = samples.find(|sample| sample.name == name && sample.labels == *labels);
        sample
            .unwrap_or_else(|| panic!("no {name}{labels:?}"))
            .value
    }

    /// Asserts that no counter or histogram is less than it was before.
    #[track_caller]
    pub fn expect_grown_since(&self, before: &Scrape) {
        let grows = |family: &&Family| family.kind != "gauge";
        for sample in before
            .families
            .iter()
            .filter(grows)
            .flat_map(|f| &f.samples)
        {
            let now = self.find(&sample.name, &sample.labels);
            assert!(now >= sample.value, "{sample:?} became {now}");
        }
    }
}

impl Family {
    fn check(&self) {
        let Family { name, samples, .. } = self;
        assert!(!samples.is_empty(), "{name} has no sample");
        for (place, sample) in samples.iter().enumerate() {
            let is_twin =
                |other: &Sample| other.name == sample.name && other.labels == sample.labels;
            assert!(!samples[..place].iter().any(is_twin), "{sample:?} twice");
        }
        let is_plain = samples.iter().all(|sample| sample.name == *name);
        match self.kind.as_str() {
            "counter" => {
                assert!(is_plain && name.ends_with("_total"), "{self:?}");
                let are_counts = samples.iter().all(|sample| sample.value >= 0.0);
                assert!(are_counts, "{self:?}");
            }
            "gauge" => assert!(is_plain && !name.ends_with("_total"), "{self:?}"),
            "histogram" => self.check_histogram(),
            other => panic!("{name} is a {other}"),
        }
    }

    /// Asserts the order: buckets, sum, count; no labels but `le`.
    fn check_histogram(&self) {
        let [buckets @ .., sum, count] = &self.samples[..] else {
            panic!("not whole: {self:?}");
        };
        let (mut last_bound, mut last_count) = (f64::NEG_INFINITY, 0.0);
        for bucket in buckets {
            assert_eq!(bucket.name, format!("{}_bucket", self.name));
            let bound = number(&bucket.labels["le"]);
            assert_eq!(bucket.labels.len(), 1, "{bucket:?}");
            assert!(bound > last_bound && bucket.value >= last_count, "{self:?}");
            (last_bound, last_count) = (bound, bucket.value);
        }
        assert_eq!(last_bound, f64::INFINITY, "{self:?}");
        let ends = [(sum, "_sum"), (count, "_count")];
        for (sample, suffix) in ends {
            assert_eq!(sample.name, format!("{}{suffix}", self.name));
            assert!(sample.labels.is_empty(), "{sample:?}");
        }
        assert_eq!(count.value, last_count, "{self:?}");
        assert!(sum.value >= 0.0, "{self:?}");
    }
}

impl Sample {
    fn parse(line: &str) -> Sample {
        let end = line.find(['{', ' ']).expect("something behind the name");
        let (name, mut rest) = line.split_at(end);
        assert!(is_name(name), "{line:?}");
        let mut labels = BTreeMap::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (label, behind) = rest.split_once("=\"").expect("a label and its value");
                assert!(is_name(label) && !label.contains(':'), "{line:?}");
                let (value, behind) = unquote(behind);
                assert!(labels.insert(label.into(), value).is_none(), "{line:?}");
                let is_last = behind.starts_with('}');
                assert!(is_last || behind.starts_with(','), "{line:?}");
                rest = &behind[1..];
                if is_last {
                    break;
                }
            }
        }
        let value = rest.strip_prefix(' ').expect("one space before the value");
        Sample {
            name: name.into(),
            labels,
            value: number(value),
        }
    }
}

/// The value up to its closing quote, and the rest of the line.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('\\' | '"'))) => escaped,
                other => panic!("no escape: {other:?}"),
            }),
            plain => value.push(plain),
        }
    }
    panic!("no closing quote: {text:?}");
}

fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    text.starts_with(is_first) && text.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        _ => {
            let is_plain = text
                .chars()
                .all(|c| c.is_ascii_digit() || ".e-".contains(c));
            assert!(is_plain, "{text:?}");
            text.parse()
                .unwrap_or_else(|_| panic!("no number: {text:?}"))
        }
    }
}
