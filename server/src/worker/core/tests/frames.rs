//! What a DTU says about its frames.

use super::*;
use afterglow_wire::display::Diagnose;

#[test]
fn only_frames_that_were_sent_are_acknowledged() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    assert_eq!(core.frame(1), Some(1));
    assert_eq!(core.frame(2), None, "of another attachment");
    core.message(1, ToSession::FrameShown(FrameShown { number: 1 }), NOW);
    assert_eq!(drain(&mut core), [Action::FrameShown { attachment: 1, number: 1 }]);
    for (frames, shown) in [
        (0, &[0][..]),
        (0, &[1]),
        (1, &[2]),
        (1, &[0]),
        (1, &[1, 1]),
        (2, &[2, 1]),
        (2, &[u64::MAX]),
    ] {
        let mut core = self::core();
        attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
        (0..frames).for_each(|_| assert_eq!(core.frame(1), Some(1)));
        for number in shown {
            core.message(1, ToSession::FrameShown(FrameShown { number: *number }), NOW);
        }
        let closed = closed(&drain(&mut core));
        assert_eq!(closed, Some((1, Some(DetachReason::Protocol))), "{shown:?} of {frames}");
    }
}

#[test]
fn a_dtu_that_asks_what_frames_cost_is_told() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    for on in [true, false] {
        core.message(1, ToSession::Diagnose(Diagnose { on }), NOW);
        assert_eq!(drain(&mut core), [Action::Diagnose { attachment: 1, on }]);
    }
}
