//! Events that race: whatever comes first, what always holds does.

use super::*;

/// A DTU whose insert 101 is with `mud` and not answered yet.
fn asking() -> Dtu {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.take();
    dtu
}

#[test]
fn an_attach_that_a_remove_overtook_is_dropped() {
    let mut dtu = asking();
    dtu.remove();
    dtu.control(attach(101, "mud", 1, Origin::New));
    assert!(!dtu.display_open);
    assert_eq!(dtu.logged("dropped"), 1);
    // Nor does it answer the next insert of the same card.
    dtu.insert("aa");
    dtu.control(attach(101, "mud", 1, Origin::New));
    assert!(!dtu.display_open);
    dtu.control(attach(102, "mud", 1, Origin::Existing));
    assert!(dtu.display_open);
}

#[test]
fn a_remove_ends_an_attachment_at_each_of_its_steps() {
    for steps in 0..5 {
        let mut dtu = asking();
        dtu.control(attach(101, "mud", 1, Origin::New));
        if steps > 0 {
            dtu.event(Event::DisplayOpened { link: dtu.display });
        }
        if steps > 1 {
            dtu.session_attaches(None);
        }
        if steps > 2 {
            dtu.frame(1);
        }
        if steps > 3 {
            dtu.show_frames();
        }
        let link = dtu.display;
        dtu.take();
        dtu.remove();
        let told = Remove { insert: 101 };
        assert_eq!(dtu.sent_display().contains(&told.into()), steps > 0, "after {steps}");
        // What the link still says changes nothing.
        dtu.event(Event::DisplayOpened { link });
        let (session, epoch, size) = (SESSION, Epoch(1), size());
        dtu.display(Attached { session, epoch, attachment: 1, size, resumes: None });
        dtu.frame(1);
        dtu.event(Event::DisplayClosed { link, why: "late".into() });
        dtu.pass(5_000, true);
        assert_eq!(dtu.inserts(), []);
        assert_eq!(dtu.picture(), Picture::Blank);
    }
}

#[test]
fn a_redirect_that_a_remove_overtook_is_dropped() {
    let mut dtu = asking();
    dtu.remove();
    dtu.control(redirect(101, "host05", RedirectPlan::Existing));
    assert_eq!(dtu.opening(), None);
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })));
}

#[test]
fn a_remove_on_the_way_to_a_redirects_target_inserts_nothing_there() {
    let mut dtu = asking();
    dtu.control(redirect(101, "host05", RedirectPlan::Existing));
    assert!(matches!(dtu.panel(), Some(Panel::Moving { .. })));
    dtu.remove();
    dtu.take();
    dtu.greet("host05");
    let sent = dtu.sent_control();
    assert!(matches!(&sent[..], [ToServer::Hello(_), ToServer::Remove(Remove { insert: 101 })]));
    dtu.pass(3_000, true);
    assert_eq!(dtu.inserts(), []);
}

#[test]
fn a_remove_while_everything_is_dead_blanks_and_is_told_later() {
    let mut dtu = Dtu::attached();
    dtu.control_dies();
    dtu.display_dies();
    dtu.control_fails();
    dtu.pass(1_000, false);
    assert_eq!(dtu.picture(), Picture::Dimmed);
    dtu.remove();
    assert_eq!(dtu.picture(), Picture::Blank);
    // Another insert, before any server is there, is told after it.
    dtu.insert("aa");
    dtu.take();
    while dtu.opening().is_none() {
        dtu.pass(100, false);
    }
    dtu.take();
    let back = if dtu.opening() == Some(address("mud")) { "mud" } else { "host05" };
    dtu.greet(back);
    let sent = dtu.sent_control();
    let [
        ToServer::Hello(_),
        ToServer::Remove(Remove { insert: 101 }),
        ToServer::Insert(Insert { insert: 102, cause: Cause::Insert, ticket: None, .. }),
    ] = &sent[..]
    else {
        panic!("{sent:?}");
    };
}

#[test]
fn the_resume_ticket_ends_with_its_insert() {
    let mut dtu = Dtu::attached();
    dtu.remove();
    dtu.insert("aa");
    // An Alive that was sent before the remove arrived.
    dtu.control(Alive { seq: 1, resume: Some(ticket(77)) });
    dtu.take();
    dtu.control_dies();
    dtu.greet("host05");
    let inserts = dtu.inserts();
    assert_eq!((inserts[0].cause, &inserts[0].ticket), (Cause::Insert, &None));
}

#[test]
fn answers_to_another_insert_are_dropped() {
    let mut dtu = asking();
    dtu.control(attach(102, "mud", 1, Origin::New));
    dtu.control(attach(7, "mud", 1, Origin::New));
    dtu.control(redirect(102, "host05", RedirectPlan::New));
    let code = RefusalCode::TokenNotAccepted;
    dtu.control(Refused { insert: 100, code, text: String::new() });
    dtu.control(Challenge { insert: 100, nonce: [0; 32] });
    assert!(!dtu.display_open);
    dtu.pass(100, true);
    assert!(matches!(dtu.panel(), Some(Panel::Inserting { .. })));
    assert_eq!(dtu.take().iter().filter(|a| matches!(a, Action::ReadTokenAgain)).count(), 0);
}

#[test]
fn a_stale_epoch_is_never_shown_again() {
    let mut dtu = Dtu::attached();
    dtu.control_dies();
    dtu.display_dies();
    dtu.greet("host05");
    dtu.control(attach(101, "host05", 2, Origin::TakenOver));
    dtu.session_comes(None);
    dtu.take();
    // The old host is back and believes that it still has the session.
    dtu.control_dies();
    while dtu.opening() != Some(address("mud")) {
        dtu.control_fails();
        dtu.pass(100, false);
    }
    dtu.greet("mud");
    let showing = dtu.inserts()[0].showing.unwrap();
    assert_eq!(showing.epoch, Epoch(2));
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    assert!(dtu.display_open, "the newer copy stays");
    assert_eq!(dtu.logged("dropped"), 1);
    assert_eq!(dtu.picture(), Picture::Live);
    // Also after a new insert.
    dtu.remove();
    dtu.insert("aa");
    dtu.control(attach(102, "mud", 1, Origin::Existing));
    assert!(!dtu.display_open);
}

#[test]
fn a_newer_epoch_replaces_the_copy_that_is_being_opened() {
    let mut dtu = Dtu::attached();
    dtu.control_dies();
    dtu.greet("host05");
    // The caretaker believed for a moment that the session still answers.
    dtu.display_dies();
    dtu.control(attach(101, "mud", 1, Origin::Caretaken));
    let stale = dtu.display;
    dtu.control(attach(101, "host05", 2, Origin::TakenOver));
    assert_ne!(dtu.display, stale);
    assert_eq!(dtu.opened_session().1, Epoch(2));
    dtu.session_comes(None);
    assert_eq!(dtu.picture(), Picture::Live);
}

#[test]
fn redirects_end() {
    let mut dtu = asking();
    let (mut at, mut to) = ("mud", "host05");
    for followed in 1..=3 {
        dtu.control(redirect(101, to, RedirectPlan::Existing));
        dtu.greet(to);
        let inserts = dtu.inserts();
        let insert = inserts.last().unwrap();
        assert_eq!(
            (insert.cause, insert.redirects, insert.insert),
            (Cause::Redirect, followed, 101)
        );
        assert_eq!(insert.ticket, Some(ticket(50)));
        std::mem::swap(&mut at, &mut to);
    }
    dtu.control(redirect(101, to, RedirectPlan::Existing));
    assert_eq!(dtu.opening(), None);
    assert!(matches!(
        dtu.panel(),
        Some(Panel::Refused { code: RefusalCode::TooManyRedirects, .. })
    ));
    assert_eq!((dtu.logged("redirected"), dtu.logged("refused")), (3, 1));
}

#[test]
fn a_redirect_to_a_server_out_of_reach_comes_back_with_its_name() {
    let mut dtu = asking();
    dtu.control(redirect(101, "host05", RedirectPlan::New));
    assert_eq!(dtu.opening(), Some(address("host05")));
    dtu.control_fails();
    dtu.greet("mud");
    let inserts = dtu.inserts();
    let insert = inserts.last().unwrap();
    assert_eq!((insert.cause, &insert.ticket), (Cause::Insert, &None));
    assert_eq!(insert.unreachable[..], [name("host05")]);
    assert_eq!(insert.redirects, 1);
}

#[test]
fn a_session_that_is_not_where_a_redirect_said_is_asked_for_anew() {
    let mut dtu = asking();
    dtu.control(redirect(101, "host05", RedirectPlan::Existing));
    dtu.greet("host05");
    dtu.take();
    let refusal = Refused { insert: 101, code: RefusalCode::NotHere, text: "not here".into() };
    dtu.control(refusal.clone());
    let inserts = dtu.inserts();
    assert_eq!((inserts[0].cause, &inserts[0].ticket), (Cause::Insert, &None));
    // It does not go on for ever.
    for _ in 0..10 {
        dtu.control(refusal.clone());
        dtu.pass(5_000, true);
    }
    assert!(dtu.inserts().len() <= 3);
    assert!(matches!(
        dtu.connection.present,
        Some(Present { phase: insert::Phase::Stopped(_), .. })
    ));
}

#[test]
fn news_of_an_old_link_is_not_news() {
    let mut dtu = Dtu::attached();
    let (old_control, old_display) = (dtu.control, dtu.display);
    dtu.control_dies();
    dtu.display_dies();
    dtu.greet("host05");
    dtu.control(attach(101, "mud", 1, Origin::Caretaken));
    dtu.session_comes(Some(InputDone { attachment: 1, seq: 0 }));
    dtu.event(Event::ControlClosed { link: old_control, why: "late".into() });
    dtu.event(Event::DisplayClosed { link: old_display, why: "late".into() });
    let detached = Detached { reason: DetachReason::Elsewhere, text: "late".into() };
    dtu.event(Event::Display { link: old_display, message: detached.into() });
    let ended = SessionEnded { session: SESSION, text: "late".into() };
    dtu.event(Event::Control { link: old_control, message: ended.into() });
    assert_eq!(dtu.picture(), Picture::Live);
    assert!(dtu.connection.up().is_some());
}

/// Any order of what can happen leaves what always holds as it is; `Dtu`
/// checks it after each event.
#[test]
fn any_order_of_events_keeps_the_rules() {
    for seed in 1..400u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % below
        };
        let mut dtu = Dtu::new();
        let mut highest_shown = 0;
        for _ in 0..200 {
            let at = ["mud", "host05"][random(2) as usize];
            let insert = 100 + random(6);
            let epoch = 1 + random(3);
            match random(18) {
                0 => dtu.insert("aa"),
                1 => dtu.remove(),
                2 => dtu.control_dies(),
                3 => dtu.display_dies(),
                4 | 5 if dtu.opening().is_some() => dtu.greet_of(at, GROUP),
                6 => dtu.control(redirect(insert, at, RedirectPlan::Existing)),
                7 | 8 => {
                    let insert = dtu.connection.insert_number;
                    dtu.control(attach(insert, at, epoch, Origin::Existing));
                }
                9 => dtu.control(attach(insert, at, epoch, Origin::TakenOver)),
                10 => dtu.event(Event::DisplayOpened { link: dtu.display }),
                11 if dtu.display_open => dtu.session_attaches(None),
                12 => dtu.frame(1),
                13 => dtu.show_frames(),
                14 => {
                    let reason = DetachReason::Elsewhere;
                    dtu.display(Detached { reason, text: String::new() });
                }
                15 => dtu.ask(Ask::TogglePanel),
                16 => dtu.ask(Ask::SignOff),
                _ => dtu.pass(random(1_500), random(2) == 0),
            }
            if let Some(shown) = &dtu.connection.shown
                && shown.lost.is_none()
            {
                assert!(shown.epoch.0 >= highest_shown, "seed {seed}: an older copy is shown");
                highest_shown = shown.epoch.0;
            }
        }
    }
}
