//! What the simulation found, each by the seed that found it. A seed's world
//! changes as the simulation grows; what stays is that these are well now, and
//! where it can be said without a world, a test beside the code that was wrong.
//!
//! | fault found | seed | mended by |
//! | --- | --- | --- |
//! | a session that one insert had made ready and another started was made ready again, and given up while it ran | 17 | `core/start.rs` forgets what was made ready once it is wanted, and nothing is made ready that the table has |
//! | two DTUs with one token: the one that came first was refused for ever, because a resumed insert keeps its count of connections | 71, 664 | the worker answers "elsewhere", which ends the asking |
//! | a host that was cut off never learnt that its session was taken over, and its DTU went on showing the older copy | 231, 576 | a server asks the store now and then, and detaches a DTU from a stale copy |
//! | a replayed host message passed for a late one after its sender's clock had gone back | 558 | a late message's clock is not ahead of the last one's |
//! | while the store was away a server counted on alone; back at the store's count, a card that was inserted again was refused as older | 24, 200 | a DTU's own inserts are ordered by their numbers, and a server counts on from what it knows |
//! | what was typed at the old copy's picture went to the new copy before its first frame came | 1207, 1229 | the DTU drops it |
//! | a lost answer of the store was taken for "nothing known" although the copy had turned out to be older meanwhile | 3102 | the answer to a question about a stale copy is that it is superseded |
//! | a session was taken over while it was still starting; the DTU was attached to it when it was stale already | 1507 | a stale copy that says it is shown is told to detach |

use afterglow_simulation::run::run;

fn is_well(seed: u64) {
    let report = run(seed, None, false);
    assert!(report.violation.is_none(), "{}", report.failure());
}

#[test]
fn what_another_insert_started_is_not_given_up() {
    is_well(17);
}

#[test]
fn one_of_two_dtus_with_one_token_is_told_that_its_session_is_elsewhere() {
    [71, 664].into_iter().for_each(is_well);
}

#[test]
fn a_host_that_was_cut_off_learns_that_its_session_was_taken_over() {
    [231, 576].into_iter().for_each(is_well);
}

#[test]
fn a_replay_is_no_late_message_after_a_clock_went_back() {
    is_well(558);
}

#[test]
fn a_card_comes_in_again_after_the_store_was_away() {
    [24, 200].into_iter().for_each(is_well);
}

#[test]
fn nothing_typed_at_an_older_picture_reaches_the_newer_copy() {
    [1207, 1229].into_iter().for_each(is_well);
}

#[test]
fn a_lost_answer_of_the_store_does_not_attach_to_an_older_copy() {
    is_well(3102);
}

#[test]
fn a_session_that_was_taken_over_while_it_started_is_left_again() {
    is_well(1507);
}
