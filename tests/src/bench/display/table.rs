//! What was measured, as a table for people and as a line for programs.

use super::plan::{Plan, Workload};
use super::stage::Cost;
use crate::bench::percentile;
use std::fmt::Write as _;

/// What came of a workload that costs bytes and work.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// What it took; its time is that from the beginning to the last picture.
    pub cost: Cost,
    /// How many pictures were to be seen at the viewer.
    pub pictures: u64,
    /// True if the viewer showed the session at the end, bit for bit.
    pub exact: bool,
}

/// The workloads whose processor time is summed up in the last line.
const WORK: [Workload; 4] = [Workload::Scroll, Workload::Drag, Workload::Pages, Workload::Video];

/// What was measured of one product. Times are in microseconds, sorted.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Its name.
    pub product: &'static str,
    /// From a key to the whole window.
    pub latency_us: Vec<u64>,
    /// From a key to its letter.
    pub letter_us: Vec<u64>,
    /// From a card's insert to the whole picture.
    pub insert_us: Vec<u64>,
    /// From the start of the viewer to the whole picture.
    pub start_us: Vec<u64>,
    /// Of workloads that cost bytes and work.
    pub traffic: Vec<(Workload, Traffic)>,
    /// The memory of the session with its X server, and of the viewer, in MB.
    pub memory_mb: Option<(f64, f64)>,
    checks: Vec<(&'static str, bool)>,
}

impl Measured {
    /// Nothing yet.
    pub fn new(product: &'static str) -> Self {
        Measured { product, ..Measured::default() }
    }

    /// Notes whether the viewer showed the session after this.
    pub fn note_exact(&mut self, what: &'static str, exact: bool) {
        self.checks.push((what, exact));
    }

    /// Sorts the times of connections.
    pub fn sort(&mut self) {
        self.insert_us.sort_unstable();
        self.start_us.sort_unstable();
    }

    /// True if the viewer always showed the session, bit for bit, when that was
    /// looked at, and it was.
    pub fn is_exact(&self) -> bool {
        !self.checks.is_empty() && !self.is_wrong()
    }

    /// True if the viewer showed anything else than the session.
    pub fn is_wrong(&self) -> bool {
        self.checks.iter().any(|(_, exact)| !exact)
    }

    fn traffic(&self, workload: Workload) -> Option<Traffic> {
        self.traffic.iter().find(|(known, _)| *known == workload).map(|(_, traffic)| *traffic)
    }

    /// The sum over the workloads that are work, if all were measured.
    fn work_s(&self, of: impl Fn(&Cost) -> f64) -> Option<f64> {
        WORK.iter().map(|workload| Some(of(&self.traffic(*workload)?.cost))).sum()
    }
}

/// A cell that was not measured.
const NONE: &str = "-";

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.decimals$}"))
}

/// A percentile of sorted times, in milliseconds.
fn ms(sorted_us: &[u64], percent: usize) -> Option<f64> {
    (!sorted_us.is_empty()).then(|| percentile(sorted_us, percent) as f64 / 1000.0)
}

fn times(sorted_us: &[u64]) -> String {
    let [p50, p95, p99] = [50, 95, 99].map(|percent| number(ms(sorted_us, percent), 2));
    match sorted_us.is_empty() {
        true => NONE.to_owned(),
        false => format!("{p50} / {p95} / {p99}"),
    }
}

fn connects(sorted_us: &[u64]) -> String {
    match sorted_us.is_empty() {
        true => NONE.to_owned(),
        false => format!(
            "{} / {} ({})",
            number(ms(sorted_us, 50), 0),
            number(ms(sorted_us, 100), 0),
            sorted_us.len()
        ),
    }
}

fn checks(measured: &Measured) -> String {
    let wrong: Vec<_> =
        measured.checks.iter().filter(|(_, exact)| !exact).map(|(what, _)| *what).collect();
    match (measured.checks.is_empty(), wrong.is_empty()) {
        (true, _) => NONE.to_owned(),
        (false, true) => "always".to_owned(),
        (false, false) => format!("not after {}", wrong.join(", ")),
    }
}

/// The table, in Markdown: a row for each figure, a column for each product.
pub fn table(plan: &Plan, all: &[Measured]) -> String {
    let mut text = "\n| |".to_owned();
    for measured in all {
        // Writing into a string does not fail.
        let _ = write!(text, " {} |", measured.product);
    }
    text.push_str("\n| --- |");
    text.push_str(&" ---: |".repeat(all.len()));
    text.push('\n');
    let mut row = |name: &str, cell: &dyn Fn(&Measured) -> String| {
        let cells: Vec<String> = all.iter().map(cell).collect();
        if cells.iter().any(|cell| cell != NONE) {
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
    };
    let keys = plan.keys();
    row(&format!("key → whole window, ms p50 / p95 / p99 (n = {keys})"), &|m| {
        times(&m.latency_us)
    });
    row(&format!("key → its letter in xterm, ms (n = {keys})"), &|m| times(&m.letter_us));
    row("card inserted → whole picture, ms p50 / max (n)", &|m| connects(&m.insert_us));
    row("viewer started → whole picture, ms p50 / max (n)", &|m| connects(&m.start_us));
    for (workload, name) in rows(plan) {
        let of = |m: &Measured, cell: &dyn Fn(Traffic) -> String| {
            m.traffic(workload).map_or(NONE.to_owned(), cell)
        };
        let is_small = matches!(workload, Workload::Typing | Workload::Idle);
        let (unit, bytes) = if is_small { ("kB", 1e3) } else { ("MB", 1e6) };
        row(&format!("{name}: {unit}"), &|m| {
            of(m, &|t| number(Some(t.cost.bytes as f64 / bytes), if is_small { 1 } else { 2 }))
        });
        if workload == Workload::Scroll {
            row("– until the last picture, s", &|m| of(m, &|t| number(Some(t.cost.time_s), 2)));
        }
        row("– pictures shown", &|m| of(m, &|t| t.pictures.to_string()));
        row("– processor time, server + viewer, s", &|m| {
            of(m, &|t| {
                let [server, viewer] = [t.cost.server_cpu_s, t.cost.viewer_cpu_s];
                format!("{} + {}", number(Some(server), 2), number(Some(viewer), 2))
            })
        });
    }
    row("memory, session with its X server + viewer, MB (PSS)", &|m| {
        m.memory_mb
            .map_or(NONE.to_owned(), |(session, viewer)| format!("{session:.0} + {viewer:.0}"))
    });
    row("at rest the viewer shows the session bit for bit", &checks);
    text.push('\n');
    text
}

fn rows(plan: &Plan) -> [(Workload, String); 6] {
    [
        (Workload::Typing, format!("{} keys typed, 10/s", plan.typed_keys())),
        (Workload::Scroll, format!("{} lines scrolled in xterm", plan.lines())),
        (Workload::Drag, format!("a window dragged for {} s, 50/s", plan.drag_ms() as f64 / 1e3)),
        (Workload::Pages, format!("{} pages, 1/s", plan.pages())),
        (Workload::Video, format!("video for {} s, 640×360, 25/s", plan.video_ms() / 1000)),
        (Workload::Idle, format!("nothing for {} s", plan.secs)),
    ]
}

/// The line for programs, of Afterglow; `-` is what was not measured.
pub fn last_line(measured: Option<&Measured>) -> String {
    let nothing = Measured::default();
    let measured = measured.unwrap_or(&nothing);
    let megabytes =
        |workload| measured.traffic(workload).map(|traffic| traffic.cost.bytes as f64 / 1e6);
    let scroll = measured.traffic(Workload::Scroll).filter(|scroll| scroll.cost.time_s > 0.0);
    let exact = match (measured.checks.is_empty(), measured.is_exact()) {
        (true, _) => NONE,
        (false, exact) => ["0", "1"][usize::from(exact)],
    };
    let fields = [
        ("latency_p50_ms", number(ms(&measured.latency_us, 50), 2)),
        ("latency_p99_ms", number(ms(&measured.latency_us, 99), 2)),
        ("letter_p50_ms", number(ms(&measured.letter_us, 50), 2)),
        ("connect_ms", number(ms(&measured.insert_us, 50), 1)),
        ("typing_kb", number(megabytes(Workload::Typing).map(|megabytes| megabytes * 1e3), 1)),
        ("scroll_mb", number(megabytes(Workload::Scroll), 2)),
        ("scroll_fps", number(scroll.map(|t| t.pictures as f64 / t.cost.time_s), 1)),
        ("drag_mb", number(megabytes(Workload::Drag), 2)),
        ("pages_mb", number(megabytes(Workload::Pages), 2)),
        ("video_mb", number(megabytes(Workload::Video), 2)),
        ("server_cpu_s", number(measured.work_s(|cost| cost.server_cpu_s), 2)),
        ("dtu_cpu_s", number(measured.work_s(|cost| cost.viewer_cpu_s), 2)),
        ("exact", exact.to_owned()),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("bench-display: {}", fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(bytes: u64) -> Traffic {
        let cost = Cost { bytes, server_cpu_s: 0.5, viewer_cpu_s: 0.25, time_s: 2.0 };
        Traffic { cost, pictures: 100, exact: true }
    }

    fn measured() -> Measured {
        let mut measured = Measured::new("Afterglow");
        measured.latency_us = (1..=400).map(|number| number * 10).collect();
        measured.letter_us = vec![900, 1000, 1100];
        measured.insert_us = vec![50_000];
        measured.traffic.push((Workload::Typing, traffic(12_345)));
        for workload in WORK {
            measured.traffic.push((workload, traffic(1_500_000)));
        }
        measured.note_exact("latency", true);
        measured
    }

    #[test]
    fn the_last_line_has_every_field() {
        assert_eq!(
            last_line(Some(&measured())),
            "bench-display: latency_p50_ms=2.00 latency_p99_ms=3.96 letter_p50_ms=1.00 \
             connect_ms=50.0 typing_kb=12.3 scroll_mb=1.50 scroll_fps=50.0 drag_mb=1.50 \
             pages_mb=1.50 video_mb=1.50 server_cpu_s=2.00 dtu_cpu_s=1.00 exact=1"
        );
        assert_eq!(
            last_line(None),
            "bench-display: latency_p50_ms=- latency_p99_ms=- letter_p50_ms=- connect_ms=- \
             typing_kb=- scroll_mb=- scroll_fps=- drag_mb=- pages_mb=- video_mb=- \
             server_cpu_s=- dtu_cpu_s=- exact=-"
        );
    }

    #[test]
    fn one_wrong_picture_is_enough() {
        let mut measured = measured();
        assert!(measured.is_exact() && !measured.is_wrong());
        measured.note_exact("drag", false);
        measured.note_exact("video", true);
        assert!(!measured.is_exact() && measured.is_wrong());
        assert!(last_line(Some(&measured)).ends_with(" exact=0"));
        assert_eq!(checks(&measured), "not after drag");
    }

    #[test]
    fn a_part_of_the_work_is_no_sum() {
        let mut measured = measured();
        measured.traffic.retain(|(workload, _)| *workload != Workload::Drag);
        let line = last_line(Some(&measured));
        assert!(line.contains("drag_mb=- ") && line.contains("server_cpu_s=- "), "{line}");
    }

    #[test]
    fn the_table_has_a_column_for_each_product_and_no_empty_row() {
        let plan = Plan::new(10, None, None).unwrap();
        let table = table(&plan, &[Measured::new("screen alone"), measured()]);
        let lines: Vec<&str> = table.trim().lines().collect();
        assert_eq!(lines[0], "| | screen alone | Afterglow |");
        assert!(lines[2].ends_with("| - | 2.00 / 3.80 / 3.96 |"), "{}", lines[2]);
        assert!(lines.iter().all(|line| line.matches('|').count() == 4), "{table}");
        assert!(!table.contains("nothing for") && !table.contains("memory"), "{table}");
    }
}
