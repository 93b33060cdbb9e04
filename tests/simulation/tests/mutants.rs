//! The simulation is able to fail: each check that the invariants rest on is
//! taken away in turn, and a stated number of seeds is enough to notice.

use afterglow_simulation::run::first_to_notice;
use afterglow_wire::guard::Guard;

/// Within how many seeds, from 0 on, the lack of each check is noticed.
const SEEDS: [(Guard, u64); 20] = [
    (Guard::DtuHighestEpoch, 150),
    (Guard::SessionOrder, 60),
    (Guard::ConfirmEpoch, 150),
    (Guard::DtuRemoveEndsInsert, 150),
    (Guard::SessionRemoveEndsInsert, 200),
    (Guard::Challenge, 20),
    (Guard::Signature, 20),
    (Guard::Replay, 20),
    (Guard::ProbeBeforeTakeover, 200),
    (Guard::ShownIsAlive, 60),
    (Guard::CompareAndSet, 200),
    (Guard::RedirectLimit, 40),
    (Guard::Unreachable, 20),
    (Guard::ExistingStaysExisting, 100),
    (Guard::AnswerRate, 30),
    (Guard::UntrustedBound, 30),
    (Guard::Draining, 200),
    (Guard::SilenceIsDown, 80),
    (Guard::SearchGoesOn, 100),
    (Guard::OlderCopyStale, 150),
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
            Ok(Some(report)) => println!("without {guard:?}: {}", report.failure()),
            Ok(None) => missed.push((guard, seeds)),
            Err(whole) => panic!("with {guard:?} as well: {}", whole.failure()),
        }
    }
    assert!(missed.is_empty(), "nobody noticed that these are missing: {missed:?}");
}
