//! Thousands of seeds, each with a random subset of the faults. The seeds are
//! split over several tests, so that they run side by side.

use afterglow_simulation::fault::Fault;
use afterglow_simulation::run::{Summary, run, run_many};

/// How many seeds each part runs; there are four parts.
const SEEDS_PER_PART: u64 = 500;
/// How often each kind of fault comes in a part, at the least.
const LEAST: u64 = 20;

fn part(number: u64) {
    let summary = run_many(number * SEEDS_PER_PART, SEEDS_PER_PART);
    assert_eq!(summary.failures, Vec::<String>::new(), "{}", summary.line());
    assert_faults(&summary);
}

/// A simulation in which nothing goes wrong would prove nothing.
fn assert_faults(summary: &Summary) {
    for fault in Fault::EVERY {
        let count = summary.counts.of(*fault);
        assert!(count >= LEAST, "{} came only {count} times", fault.word());
    }
    assert!(summary.take_overs >= LEAST, "{} take-overs", summary.take_overs);
    let (frozen, went_on) = summary.older;
    assert!(frozen >= LEAST && went_on >= LEAST / 4, "{frozen} frozen, {went_on} went on");
    assert!(summary.redirects >= LEAST, "{} redirects", summary.redirects);
}

#[test]
fn the_first_quarter_of_the_seeds_breaks_nothing() {
    part(0);
}

#[test]
fn the_second_quarter_of_the_seeds_breaks_nothing() {
    part(1);
}

#[test]
fn the_third_quarter_of_the_seeds_breaks_nothing() {
    part(2);
}

#[test]
fn the_last_quarter_of_the_seeds_breaks_nothing() {
    part(3);
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let traces: Vec<u64> = (0..24).map(|seed| run(seed, None, false).trace).collect();
    let again: Vec<u64> = (0..24).map(|seed| run(seed, None, false).trace).collect();
    assert_eq!(traces, again);
    let different: std::collections::BTreeSet<u64> = traces.iter().copied().collect();
    assert_eq!(different.len(), traces.len());
}
