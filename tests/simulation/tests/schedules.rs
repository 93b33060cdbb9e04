//! Random schedules of faults for the session managers, with the store's
//! semantics modelled: what the store does and does not say, does late, says
//! late, says twice; races; restarts; hosts that are cut off and come back.

use afterglow_simulation::schedule::faults::Fault;
use afterglow_simulation::schedule::{Plan, run, run_plan};
use afterglow_wire::guard::{Guard, Guards};
use std::collections::BTreeMap;

/// How many schedules there are, in two parts that run side by side.
const SCHEDULES: u64 = 500;
/// How often each fault, and what else matters, comes in a part at least.
const LEAST: u64 = 30;
/// How often a take-over loses a race at least.
const RACES_LEAST: u64 = 5;
/// What matters beside the faults.
const MATTERS: [&str; 8] = [
    "attachments",
    "redirects",
    "take-overs",
    "switched",
    "one more",
    "frozen",
    "continued",
    "moved",
];

fn part(seeds: std::ops::Range<u64>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in seeds {
        let outcome = run(seed, None, false);
        outcome.counts.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
        failures.extend(outcome.violation.is_some().then(|| outcome.failure()));
    }
    println!("{counts:?}");
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    for what in Fault::EVERY.map(Fault::word).into_iter().chain(MATTERS) {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= LEAST, "{what} came only {count} times");
    }
    let races = counts.get("lost races").copied().unwrap_or(0);
    assert!(races >= RACES_LEAST, "only {races} take-overs lost a race");
}

#[test]
fn the_first_half_of_the_schedules_breaks_nothing() {
    part(0..SCHEDULES / 2);
}

#[test]
fn the_second_half_of_the_schedules_breaks_nothing() {
    part(SCHEDULES / 2..SCHEDULES);
}

#[test]
fn the_lack_of_a_check_that_the_session_manager_rests_on_is_noticed() {
    const SEEDS: [(Guard, u64); 4] = [
        (Guard::OlderCopyStale, 60),
        (Guard::CompareAndSet, 60),
        (Guard::ConfirmEpoch, 60),
        (Guard::ProbeBeforeTakeover, 60),
    ];
    for (guard, seeds) in SEEDS {
        let noticed = (0..seeds).map(|seed| run(seed, Some(guard), false));
        let noticed = noticed.into_iter().find(|outcome| outcome.violation.is_some());
        let outcome = noticed.unwrap_or_else(|| panic!("nobody noticed that {guard:?} is missing"));
        println!("without {guard:?}: {}", outcome.failure());
        let plan = Plan { guards: Guards::ALL, ..Plan::of(outcome.seed, Some(guard)) };
        let whole = run_plan(plan, None, false);
        assert!(whole.violation.is_none(), "with {guard:?} as well: {}", whole.failure());
    }
}

#[test]
fn the_same_schedule_goes_the_same_way_and_another_another() {
    let traces = || (0..12).map(|seed| run(seed, None, false).trace).collect::<Vec<_>>();
    let first = traces();
    assert_eq!(first, traces());
    let different: std::collections::BTreeSet<&u64> = first.iter().collect();
    assert_eq!(different.len(), first.len());
}
