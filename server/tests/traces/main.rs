//! Sessions of real programs that were recorded, replayed: the DTU's picture is
//! the session's, and the bytes that it takes are within a budget that may only
//! go down.
//!
//! `make traces` records them anew (`AFTERGLOW_RECORD_TRACES=terminal,editor`):
//! they are then other traces, and want other budgets.

mod budgets;
mod programs;
mod recording;
mod replay;
mod trace;
mod writing;

use afterglow_wire::quality::Quality;
use budgets::BUDGETS;
use std::sync::LazyLock;
use trace::{NAMES, Trace};

/// What one trace may take in the repository, and all of them.
const FILE_BYTES_MAX: usize = 300_000;
const FILES_BYTES_MAX: usize = 1_500_000;

/// All traces, by name; those that are asked for are recorded before.
static TRACES: LazyLock<Vec<(&str, Trace)>> = LazyLock::new(|| {
    let wanted = std::env::var("AFTERGLOW_RECORD_TRACES").unwrap_or_default();
    recording::record(|name| wanted.split(',').any(|wanted| wanted == name));
    NAMES.iter().map(|name| (*name, Trace::load(name))).collect()
});

/// Fails with all that is wrong with the bytes of any trace.
fn keep_to_budgets(quality: Quality, budget_of: impl Fn(&budgets::Budget) -> usize) {
    let wrong: Vec<String> = TRACES
        .iter()
        .zip(&BUDGETS)
        .filter_map(|((name, trace), budget)| {
            assert_eq!(*name, budget.name);
            let (bytes, budget) = (replay::bytes_of(trace, quality), budget_of(budget));
            budgets::complaint(bytes, budget).map(|why| format!("{name}: {bytes} bytes, {why}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{quality:?}:\n{}", wrong.join("\n"));
}

#[test]
fn lossless_every_frame_is_exact_and_the_bytes_are_within_their_budget() {
    keep_to_budgets(Quality::Lossless, |budget| budget.lossless_bytes);
}

#[test]
fn auto_is_exact_at_rest_and_the_bytes_are_within_their_budget() {
    keep_to_budgets(Quality::Auto, |budget| budget.auto_bytes);
}

#[test]
fn traces_are_small() {
    let mut all_bytes = 0;
    for (name, trace) in TRACES.iter() {
        let file_bytes = std::fs::metadata(trace::path(name)).expect("a file").len() as usize;
        assert!(file_bytes <= FILE_BYTES_MAX, "{name}: {file_bytes} bytes");
        assert!(trace.frames.len() > 5 || *name == "pages", "{name}: {}", trace.frames.len());
        all_bytes += file_bytes;
    }
    assert!(all_bytes <= FILES_BYTES_MAX, "{all_bytes} bytes");
}
