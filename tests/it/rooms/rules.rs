//! The rules that hold between the rooms, and what of a tree of sources breaks them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::{Import, Module, Source};

/// Each room, and the rooms that it may import besides itself; from the top of the program down.
pub const ALLOWED: &str = "\
cli        server api websocket config http hub auth net protocol telemetry
server     api config websocket http hub auth net protocol telemetry
api        websocket http hub auth net protocol telemetry
websocket  http hub net protocol telemetry
config     http auth net protocol telemetry
http       net protocol telemetry
hub        net telemetry
auth       protocol telemetry
net        telemetry
protocol   telemetry
telemetry
";

/// Rooms that know no HTTP, no JSON, no WebSocket and no tokens, and the crates that would tell.
const PLAIN_ROOMS: [&str; 2] = ["net", "hub"];
const PLAIN_ROOMS_AVOID: [&str; 6] = [
    "serde",
    "serde_json",
    "tungstenite",
    "httparse",
    "tiny_http",
    "jsonwebtoken",
];
/// The one file that may mention tiny_http: whatever replaces it changes nothing else.
const RESPONSES: &str = "src/http/response.rs";

/// The rooms below one of the table; `None` for what is no room.
fn below(room: &str) -> Option<Vec<&'static str>> {
    let mut rows = ALLOWED.lines().map(str::split_whitespace);
    rows.find_map(|mut row| (row.next() == Some(room)).then(|| row.collect()))
}

/// What breaks a rule, one line each: file, line, rule. Files are pairs of path and text.
pub fn violations(files: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut sources = Vec::new();
    for (path, text) in files {
        match Source::read(path, text) {
            Ok(source) => sources.push(source),
            Err(error) => found.push(error),
        }
    }
    let tests: BTreeSet<Module> = sources
        .iter_mut()
        .flat_map(|source| std::mem::take(&mut source.test_modules))
        .collect();
    sources.retain(|source| !is_test(source, &tests));
    for source in &sources {
        check_crates(source, &mut found);
        check_rooms(source, &mut found);
    }
    check_circles(&sources, &mut found);
    found.dedup(); // one line may import two things of one room
    found
}

fn is_test(source: &Source, tests: &BTreeSet<Module>) -> bool {
    let under = |test: &Module| source.module.starts_with(test);
    source.path.ends_with("/tests.rs") || tests.iter().any(under)
}

fn check_rooms(source: &Source, found: &mut Vec<String>) {
    // `main.rs` and `lib.rs` stand in no room and may import anything.
    let Some(room) = source.module.first() else {
        return;
    };
    let path = &source.path;
    let Some(allowed) = below(room) else {
        found.push(format!("{path}:1: {room} is not a room of the table"));
        return;
    };
    for Import { line, target } in &source.imports {
        let full = format!("crate::{}", target.join("::"));
        match target.first() {
            Some(other) if other == room || allowed.contains(&other.as_str()) => {}
            Some(other) if below(other).is_some() => {
                found.push(format!(
                    "{path}:{line}: {room} may not import {other} ({full})"
                ));
            }
            _ => found.push(format!("{path}:{line}: {full} is in no room of the table")),
        }
    }
}

fn check_crates(source: &Source, found: &mut Vec<String>) {
    let path = &source.path;
    let room = source.module.first().map_or("", String::as_str);
    for Import { line, target } in &source.mentions {
        let name = &target[0];
        let item = target.get(1).map_or("", String::as_str);
        let is_buffer = name == "tungstenite" && item.eq_ignore_ascii_case("bytes");
        let is_avoided = PLAIN_ROOMS_AVOID.contains(&name.as_str()) && !is_buffer;
        if PLAIN_ROOMS.contains(&room) && is_avoided {
            found.push(format!("{path}:{line}: {room} may not mention {name}"));
        } else if name == "tiny_http" && path != RESPONSES {
            found.push(format!("{path}:{line}: tiny_http is for {RESPONSES} alone"));
        }
    }
}

/// The imports between the files of one room: from, to, line.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

/// Circles of files of one room, the shortest first. One that shares an import with a shorter one
/// is not told: it may be gone with that.
fn check_circles(sources: &[Source], found: &mut Vec<String>) {
    let edges = edges_between(sources);
    let starts = edges
        .iter()
        .flat_map(|(from, targets)| targets.keys().map(move |to| (from, to)));
    let mut circles: Vec<Vec<&str>> = starts
        .filter_map(|(from, to)| Some([vec![*from], way_between(to, from, &edges)?].concat()))
        .collect();
    circles.sort_by_key(|circle| circle.len()); // stable: by path within a length
    let mut told = BTreeSet::new();
    for circle in circles {
        let steps: Vec<_> = circle.windows(2).map(|step| (step[0], step[1])).collect();
        if steps.iter().all(|step| !told.contains(step)) {
            let way = steps
                .iter()
                .map(|(from, to)| format!("{from}:{} -> ", edges[from][to]));
            let way: String = way.collect();
            found.push(format!("{way}{}: files of one room in a circle", circle[0]));
            told.extend(steps);
        }
    }
}

fn edges_between(sources: &[Source]) -> Edges<'_> {
    let files = sources
        .iter()
        .map(|source| (&source.module[..], source.path.as_str()));
    let files: BTreeMap<&[String], &str> = files.collect();
    let mut edges = Edges::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        for Import { line, target } in &source.imports {
            // The file of the deepest module that the path names.
            let mut depths = (1..=target.len()).rev();
            let file = depths.find_map(|depth| files.get(&target[..depth]).copied());
            let is_near = target.first() == source.module.first();
            if let Some(file) = file.filter(|file| is_near && *file != source.path) {
                let from = edges.entry(&source.path).or_default();
                from.entry(file).or_insert(*line);
            }
        }
    }
    edges
}

/// The files from `start` to `end`, both included, over as few imports as possible.
fn way_between<'a>(start: &'a str, end: &str, edges: &Edges<'a>) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::from([start]);
    while let Some(way) = ways.pop_front() {
        let last = way[way.len() - 1];
        if last == end {
            return Some(way);
        }
        for &next in edges.get(last).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(next) {
                ways.push_back([&way[..], &[next]].concat());
            }
        }
    }
    None
}
