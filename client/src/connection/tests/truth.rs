//! The picture that rests is compared with what the session says that it is.

use super::*;
use afterglow_wire::truth::{Differs, Truth};

fn truth(frame: u64) -> Truth {
    Truth { frame, size: size(), blocks: [[7; 8]; 2].into_iter().collect() }
}

fn is_compared(dtu: &mut Dtu, frame: u64) -> bool {
    let compare = |action: &Action| match action {
        Action::ToWindow(ToWindow::Compare(truth)) => truth.frame == frame,
        _ => false,
    };
    dtu.take().iter().any(compare)
}

fn compared(dtu: &mut Dtu, frame: u64, others: &[u16]) {
    dtu.event(Event::Window(FromWindow::Compared { frame, others: others.to_vec() }));
}

/// How many blocks differed each time that the picture was compared.
fn differing(dtu: &Dtu) -> Vec<usize> {
    let differing = |event: &Logged| match event {
        Logged::Compared { blocks_differing, .. } => Some(*blocks_differing),
        _ => None,
    };
    dtu.logged.iter().filter_map(differing).collect()
}

/// A DTU that shows its first frame.
fn at_rest() -> Dtu {
    let mut dtu = Dtu::attached();
    dtu.show_frames();
    dtu.take();
    dtu
}

#[test]
fn what_differs_is_asked_for_and_counted_and_what_is_right_is_not() {
    let mut dtu = at_rest();
    dtu.display(truth(1));
    assert!(is_compared(&mut dtu, 1));
    compared(&mut dtu, 1, &[]);
    assert_eq!((dtu.sent_display(), differing(&dtu)), (vec![], vec![0]));
    dtu.display(truth(1));
    compared(&mut dtu, 1, &[0, 5]);
    let differs = Differs { frame: 1, blocks: [0, 5].into_iter().collect() };
    assert_eq!((dtu.sent_display(), differing(&dtu)), (vec![differs.into()], vec![0, 2]));
    // It was asked once.
    compared(&mut dtu, 1, &[0]);
    assert_eq!((dtu.sent_display(), differing(&dtu)), (vec![], vec![0, 2]));
}

#[test]
fn a_truth_about_a_frame_that_is_not_the_last_breaks_the_rules() {
    for (under_way, told) in [(false, 2), (false, 0), (true, 1), (true, 2)] {
        let mut dtu = at_rest();
        if under_way {
            dtu.frame(2);
        }
        dtu.display(truth(told));
        let lost = |event: &Logged| matches!(event, Logged::Detached { reason: "protocol", .. });
        assert!(dtu.logged.iter().any(lost), "{under_way} {told}");
    }
}

#[test]
fn what_is_compared_of_a_link_that_is_gone_is_told_to_nobody() {
    let mut dtu = at_rest();
    dtu.display(truth(1));
    dtu.display_dies();
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.event(Event::DisplayOpened { link: dtu.display });
    compared(&mut dtu, 1, &[0]);
    assert!(differing(&dtu).is_empty());
}
