//! What a DTU says about its frames and its window.

use super::*;
use afterglow_wire::display::{Diagnose, Resize, SizeLimited};

#[test]
fn only_frames_that_were_sent_are_acknowledged() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    assert_eq!(core.frame(1, NOW), Some(1));
    assert_eq!(core.frame(2, NOW), None, "of another attachment");
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
        (0..frames).for_each(|_| assert_eq!(core.frame(1, NOW), Some(1)));
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

#[test]
fn a_dtu_whose_window_is_too_large_is_told_once_in_each_attachment() {
    let size = |width_px, height_px| Size::new(width_px, height_px).unwrap();
    let max = size(1920, 1080);
    let limited = Action::Send(1, SizeLimited { max }.into());
    let attached = |screen| {
        let mut core = core();
        core.opened(1, Peer::Dtu(ONE));
        let ToSession::Attach(attach) = attach_message(&ticket(ONE, 1, 1)) else { unreachable!() };
        core.message(1, AttachDisplay { screen, ..attach }.into(), NOW);
        let actions = drain(&mut core);
        (core, actions)
    };
    let (mut core, actions) = attached(max);
    assert!(!actions.contains(&limited), "{actions:?}");
    for (window, screen, told) in [
        (size(16, 1080), size(16, 1080), false),
        (size(16, 1081), size(16, 1080), true),
        (size(4000, 4000), max, false),
    ] {
        core.message(1, ToSession::Resize(Resize { screen: window }), NOW);
        let expected = [Action::Resize(screen)].into_iter().chain(told.then(|| limited.clone()));
        assert_eq!(drain(&mut core), expected.collect::<Vec<_>>(), "{window}");
    }
    // A DTU that comes with such a window hears it after it is attached.
    let (_, actions) = attached(size(2000, 500));
    assert_eq!(actions.last(), Some(&limited));
    let shown = Action::Show { attachment: 1, size: size(1920, 500) };
    assert!(actions.contains(&shown), "{actions:?}");
}
