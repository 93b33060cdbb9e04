//! The simulation is able to fail: each check that the invariants rest on is
//! taken away in turn, and a stated number of seeds is enough to notice.

use afterglow_simulation::run::first_to_notice;
use afterglow_wire::guard::Guard;

/// Within how many seeds, from 0 on, the lack of each check is noticed.
const SEEDS: [(Guard, u64); 20] = [
    (Guard::DtuHighestEpoch, 400),
    (Guard::SessionOrder, 400),
    (Guard::ConfirmEpoch, 400),
    (Guard::DtuRemoveEndsInsert, 400),
    (Guard::SessionRemoveEndsInsert, 400),
    (Guard::Challenge, 400),
    (Guard::Signature, 400),
    (Guard::Replay, 400),
    (Guard::ProbeBeforeTakeover, 400),
    (Guard::ShownIsAlive, 400),
    (Guard::CompareAndSet, 400),
    (Guard::RedirectLimit, 400),
    (Guard::Unreachable, 400),
    (Guard::ExistingStaysExisting, 400),
    (Guard::AnswerRate, 400),
    (Guard::UntrustedBound, 400),
    (Guard::Draining, 400),
    (Guard::SilenceIsDown, 400),
    (Guard::SearchGoesOn, 400),
    (Guard::OlderCopyStale, 400),
];

#[test]
fn the_table_has_every_check() {
    assert_eq!(SEEDS.map(|(guard, _)| guard), Guard::EVERY);
}

#[test]
fn the_lack_of_any_check_is_noticed() {
    let mut missed = Vec::new();
    for (guard, seeds) in SEEDS {
        match first_to_notice(guard, seeds) {
            Some(report) => println!("without {guard:?}: {}", report.failure()),
            None => missed.push((guard, seeds)),
        }
    }
    assert!(missed.is_empty(), "nobody noticed that these are missing: {missed:?}");
}
