//! What the session and the link are asked for while the user looks at the
//! diagnostics.

use super::*;

fn diagnose(dtu: &mut Dtu, on: bool) {
    dtu.event(Event::Window(FromWindow::Diagnose { on }));
}

fn spent(frame: u64) -> Spent {
    Spent { frame, capture_us: 1, encode_us: 2 }
}

/// How often the link was looked at, and what the session was asked.
fn asked(dtu: &mut Dtu) -> (usize, Vec<bool>) {
    let actions = dtu.take();
    let looked = |action: &&Action| matches!(action, Action::MeasureLink { .. });
    let asked = |action: &Action| match action {
        Action::SendDisplay { message: ToSession::Diagnose(diagnose), .. } => Some(diagnose.on),
        _ => None,
    };
    (actions.iter().filter(looked).count(), actions.iter().filter_map(asked).collect())
}

/// The frames whose costs the window was told.
fn told(dtu: &mut Dtu) -> Vec<u64> {
    let told = |action| match action {
        Action::ToWindow(ToWindow::Spent(spent)) => Some(spent.frame),
        _ => None,
    };
    dtu.take().into_iter().filter_map(told).collect()
}

#[test]
fn the_session_is_asked_once_and_the_link_looked_at_each_time() {
    let mut dtu = Dtu::attached();
    diagnose(&mut dtu, true);
    assert_eq!(asked(&mut dtu), (1, vec![true]));
    diagnose(&mut dtu, true);
    assert_eq!(asked(&mut dtu), (1, vec![]));
    diagnose(&mut dtu, false);
    diagnose(&mut dtu, false);
    assert_eq!(asked(&mut dtu), (0, vec![false]));
}

#[test]
fn the_next_attachment_is_asked_too_and_nobody_while_there_is_none() {
    let mut dtu = Dtu::attached();
    dtu.display_dies();
    dtu.take();
    diagnose(&mut dtu, true);
    assert_eq!(asked(&mut dtu), (0, vec![]));
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.session_comes(None);
    assert_eq!(asked(&mut dtu), (0, vec![true]));
    dtu.display_dies();
    diagnose(&mut dtu, false);
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.session_comes(None);
    assert_eq!(asked(&mut dtu), (0, vec![]));
}

#[test]
fn the_window_hears_once_what_a_frame_cost_that_came() {
    let mut dtu = Dtu::attached();
    dtu.frame(2);
    dtu.display(spent(1));
    assert!(told(&mut dtu).is_empty());
    diagnose(&mut dtu, true);
    dtu.take();
    for frame in [1, 1, 3, 2, 1] {
        dtu.display(spent(frame));
    }
    assert_eq!(told(&mut dtu), [1, 2]);
    dtu.frame(3);
    diagnose(&mut dtu, false);
    dtu.display(spent(3));
    assert!(told(&mut dtu).is_empty());
    assert!(dtu.display_open);
}
