//! Refusals, and the ways out of them.

use super::panel::{OTHER, is_open, open};
use super::*;
use afterglow_wire::sessions::{ListSessions, Want};

/// The ways out of the refusal that is on the screen.
fn ways(dtu: &Dtu) -> (bool, bool) {
    match dtu.panel() {
        Some(Panel::Refused { back, sessions, .. }) => (*back, *sessions),
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn a_refused_switch_leads_back_and_a_refused_card_nowhere() {
    let refuse = |dtu: &mut Dtu, insert, code| {
        dtu.control(Refused { insert, code, text: "no".into() });
    };
    for (code, expected) in [
        (RefusalCode::SessionFailed, (true, true)),
        // This one is tried again by itself, without end.
        (RefusalCode::Full, (true, true)),
        (RefusalCode::TokenNotAccepted, (false, false)),
    ] {
        let mut dtu = open();
        dtu.ask(Ask::Switch(OTHER));
        refuse(&mut dtu, 102, code);
        assert_eq!(ways(&dtu), expected, "{code:?}");
        dtu.take();
        dtu.ask(Ask::GoBack);
        let insert = dtu.inserts().pop().expect("an insert");
        assert_eq!((insert.insert, insert.want), (103, Want::Last));
        // There is nothing more to go back to.
        refuse(&mut dtu, 103, RefusalCode::Full);
        assert_eq!(ways(&dtu), (false, true));
        dtu.take();
        dtu.ask(Ask::GoBack);
        assert_eq!(dtu.inserts(), []);
    }
}

#[test]
fn what_was_refused_is_what_is_tried_again() {
    let mut dtu = open();
    dtu.ask(Ask::NewSession);
    dtu.control(Refused { insert: 102, code: RefusalCode::SessionFailed, text: "no".into() });
    dtu.take();
    dtu.ask(Ask::TryAgain);
    let insert = dtu.inserts().pop().expect("an insert");
    assert_eq!((insert.insert, insert.want), (103, Want::New));
    // What is tried again by itself is tried at once.
    dtu.control(Refused { insert: 103, code: RefusalCode::Full, text: "full".into() });
    dtu.take();
    dtu.ask(Ask::TryAgain);
    let insert = dtu.inserts().pop().expect("an insert");
    assert_eq!((insert.insert, insert.want), (103, Want::New));
}

#[test]
fn the_panel_opens_over_a_refusal() {
    let mut dtu = open();
    dtu.ask(Ask::NewSession);
    dtu.control(Refused { insert: 102, code: RefusalCode::SessionFailed, text: "no".into() });
    dtu.take();
    dtu.ask(Ask::TogglePanel);
    assert_eq!(dtu.sent_control(), [ListSessions { insert: 102 }.into()]);
    assert!(is_open(&dtu));
    dtu.ask(Ask::Switch(OTHER));
    let insert = dtu.inserts().pop().expect("an insert");
    assert_eq!((insert.insert, insert.want), (103, Want::Session(OTHER)));
}
