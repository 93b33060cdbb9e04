//! Servers and sessions that stop answering, and who takes their place.

use super::*;

#[test]
fn a_silent_server_is_left_for_another_and_the_picture_goes_on() {
    let mut dtu = Dtu::attached();
    dtu.pass(3_000, true);
    assert_eq!(dtu.logged("suspected"), 0);
    dtu.pass(300, false);
    assert_eq!(dtu.logged("suspected"), 1);
    assert_eq!(dtu.badge(), Some(&Badge::ControlLost { server: name("mud") }));
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
    dtu.take();
    dtu.greet("host05");
    assert_eq!(dtu.logged("server_lost"), 1);
    let inserts = dtu.inserts();
    let [insert] = &inserts[..] else { panic!("{inserts:?}") };
    assert_eq!((insert.insert, insert.cause), (101, Cause::Failover));
    assert_eq!(insert.ticket, Some(ticket(100)));
    assert_eq!(insert.showing, Some(Showing { session: SESSION, epoch: Epoch(1) }));
    assert_eq!(insert.unreachable[..], [name("mud")]);

    let link = dtu.display;
    dtu.control(attach(101, "mud", 1, Origin::Caretaken));
    assert_eq!(dtu.display, link);
    assert_eq!(dtu.logged("resumed"), 1);
    let (server, instead_of) = (name("host05"), name("mud"));
    assert_eq!(dtu.badge(), Some(&Badge::CaredForBy { server, instead_of }));
    // Not one frame is missed.
    dtu.frame(2);
    dtu.show_frames();
    assert!(dtu.sent_display().contains(&FrameShown { number: 2 }.into()));

    // The owner is back: only the control link moves.
    dtu.control(redirect(101, "mud", RedirectPlan::Existing));
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
    dtu.greet("mud");
    let inserts = dtu.inserts();
    assert_eq!(inserts[0].cause, Cause::Redirect);
    assert!(inserts[0].showing.is_some() && inserts[0].unreachable.is_empty());
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    assert_eq!((dtu.display, dtu.badge()), (link, None));
    assert_eq!((dtu.logged("resumed"), dtu.logged("redirected")), (2, 1));
    assert_eq!(dtu.logged("detached"), 0);
}

#[test]
fn the_newest_resume_ticket_is_used() {
    let mut dtu = Dtu::attached();
    dtu.control(Alive { seq: 1, resume: Some(ticket(101)) });
    dtu.control_dies();
    dtu.greet("host05");
    assert_eq!(dtu.inserts()[0].ticket, Some(ticket(101)));
}

#[test]
fn a_refused_resume_ticket_is_not_tried_twice() {
    let mut dtu = Dtu::attached();
    dtu.control_dies();
    dtu.greet("host05");
    dtu.take();
    let code = RefusalCode::TicketRefused;
    dtu.control(Refused { insert: 101, code, text: "too old".into() });
    dtu.pass(1_000, true);
    let inserts = dtu.inserts();
    assert_eq!((inserts[0].cause, &inserts[0].ticket), (Cause::Failover, &None));
    assert_eq!(dtu.picture(), Picture::Live);
}

#[test]
fn no_refusal_takes_a_live_picture_away() {
    let mut dtu = Dtu::attached();
    dtu.control_dies();
    dtu.greet("host05");
    let codes = [RefusalCode::Unresolved, RefusalCode::TokenNotAccepted, RefusalCode::NotHere];
    for code in codes.into_iter().cycle().take(9) {
        dtu.control(Refused { insert: 101, code, text: "no".into() });
        assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
        dtu.take();
        dtu.pass(6_000, true);
        assert_eq!(dtu.inserts().len(), 1);
    }
}

#[test]
fn a_worker_that_died_is_asked_for_again_and_gets_the_rest_of_the_input() {
    let mut dtu = Dtu::attached();
    dtu.type_key(30, KeyAction::Press);
    dtu.type_key(30, KeyAction::Release);
    dtu.type_key(42, KeyAction::Press);
    dtu.display(InputDone { attachment: 1, seq: 1 });
    dtu.take();
    dtu.display_dies();
    // Nobody needs to know of so short a gap, and what is typed is kept.
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
    dtu.type_key(31, KeyAction::Press);
    let inserts = dtu.inserts();
    let [insert] = &inserts[..] else { panic!("{inserts:?}") };
    assert_eq!((insert.insert, insert.cause, insert.showing), (101, Cause::Failover, None));
    assert_eq!(insert.ticket, Some(ticket(100)));
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.session_comes(Some(InputDone { attachment: 1, seq: 2 }));
    let input = dtu.sent_display().into_iter().find_map(|message| match message {
        ToSession::Input(input) => Some(input),
        _ => None,
    });
    let input = input.unwrap();
    assert_eq!((input.attachment, input.first_seq), (2, 1));
    assert_eq!(input.events[..], [key(42, KeyAction::Press), key(31, KeyAction::Press)]);
    assert_eq!(dtu.logged("input_resent"), 1);
}

#[test]
fn a_session_that_stays_silent_is_told_and_asked_for_less_and_less_often() {
    let mut dtu = Dtu::attached();
    dtu.display_dies();
    let mut asked = Vec::new();
    let start_ms = dtu.now_ms;
    for _ in 0..6 {
        while dtu.inserts().is_empty() {
            dtu.pass(10, true);
        }
        asked.push(dtu.now_ms - start_ms);
        dtu.control(attach(101, "mud", 1, Origin::Existing));
        dtu.display_dies();
    }
    assert_eq!(asked[0], 0);
    assert!(asked.is_sorted() && asked[5] > 3_000, "{asked:?}");
    assert_eq!(dtu.picture(), Picture::Dimmed);
    assert!(matches!(dtu.panel(), Some(Panel::SessionSilent { for_ms, .. }) if *for_ms >= 3_000));
    // What is typed at a panel is not for the session.
    dtu.take();
    dtu.type_key(30, KeyAction::Press);
    while dtu.inserts().is_empty() {
        dtu.pass(10, true);
    }
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.session_comes(Some(InputDone { attachment: 1, seq: 0 }));
    assert!(!dtu.sent_display().iter().any(|message| matches!(message, ToSession::Input(_))));
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
}

#[test]
fn what_is_typed_in_the_instant_a_panel_comes_up_still_reaches_the_same_copy() {
    let mut dtu = Dtu::attached();
    dtu.control_dies();
    dtu.display_dies();
    assert!(dtu.panel().is_some(), "nobody answers, and the user is told at once");
    dtu.type_key(30, KeyAction::Press);
    dtu.pass(600, false);
    dtu.greet("host05");
    dtu.control(attach(101, "mud", 1, Origin::Caretaken));
    dtu.session_comes(Some(InputDone { attachment: 1, seq: 0 }));
    let sent = dtu.sent_display();
    let typed = |message: &ToSession| matches!(message, ToSession::Input(input) if input.events[..] == [key(30, KeyAction::Press)]);
    assert!(sent.iter().any(typed), "{sent:?}");
}

#[test]
fn a_session_that_never_answers_its_link_is_given_up_in_time() {
    let mut dtu = Dtu::attached();
    dtu.display_dies();
    dtu.take();
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.pass(DISPLAY_OPEN_TIMEOUT_MS + 10, true);
    assert!(!dtu.display_open);
    dtu.pass(1_000, true);
    assert_eq!(dtu.inserts().len(), 1);
}

#[test]
fn a_lost_host_is_told_and_its_session_taken_over() {
    let mut dtu = Dtu::attached();
    dtu.type_key(30, KeyAction::Press);
    dtu.control_dies();
    dtu.display_dies();
    dtu.pass(600, false);
    assert_eq!(dtu.picture(), Picture::Dimmed);
    assert!(matches!(dtu.panel(), Some(Panel::ServerSilent { host, .. }) if *host == name("mud")));
    dtu.take();
    dtu.greet("host05");
    let inserts = dtu.inserts();
    assert_eq!((inserts[0].cause, inserts[0].showing), (Cause::Failover, None));
    let (stage, host) = (Stage::Restarting, Some(name("mud")));
    dtu.control(Progress { insert: 101, stage, host });
    assert!(matches!(
        dtu.panel(),
        Some(Panel::Resuming { on, lost: Some(lost), stage: Some(Stage::Restarting), .. })
            if *on == name("host05") && *lost == name("mud")
    ));
    let mut taken = attach(101, "host05", 2, Origin::TakenOver);
    taken.notice = "your programs were started again".into();
    dtu.control(taken);
    assert_eq!(dtu.logged("taken_over"), 1);
    assert_eq!(dtu.picture(), Picture::Dimmed);
    dtu.session_comes(None);
    assert_eq!(dtu.picture(), Picture::Live);
    let frame = |action: &Action| matches!(action, Action::ToWindow(ToWindow::Frame { .. }));
    let live = |action: &Action| matches!(action, Action::ToWindow(ToWindow::View(view)) if view.picture == Picture::Live);
    let actions = &dtu.done;
    assert!(actions.iter().position(frame) < actions.iter().position(live), "{actions:?}");
    assert!(matches!(dtu.panel(), Some(Panel::Restarted { on, .. }) if *on == name("host05")));
    // The old desktop's input is not the new one's; new input is.
    let input = |message: &ToSession| matches!(message, ToSession::Input(_));
    assert!(!dtu.sent_display().iter().any(input));
    dtu.type_key(30, KeyAction::Release);
    dtu.type_key(31, KeyAction::Press);
    assert_eq!(dtu.sent_display().iter().filter(|message| input(message)).count(), 1);
    dtu.pass(RESTARTED_SHOWN_MS + 100, true);
    assert_eq!((dtu.panel(), dtu.badge()), (None, None));
}

#[test]
fn a_display_that_dies_during_a_failover_is_told_to_the_new_server() {
    let mut dtu = Dtu::attached();
    dtu.control_dies();
    dtu.greet("host05");
    assert!(dtu.inserts()[0].showing.is_some());
    dtu.display_dies();
    dtu.pass(10, true);
    let inserts = dtu.inserts();
    assert_eq!((inserts[0].insert, inserts[0].showing), (101, None));
}

#[test]
fn an_insert_that_its_server_took_to_the_grave_is_made_at_the_next() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.control_dies();
    dtu.greet("host05");
    let inserts = dtu.inserts();
    let insert = inserts.last().unwrap();
    assert_eq!((insert.insert, insert.cause, &insert.ticket), (101, Cause::Insert, &None));
    assert_eq!(insert.unreachable[..], [name("mud")]);
}

#[test]
fn a_server_that_never_answers_an_insert_is_left() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.pass(ANSWER_TIMEOUT_MS - 1_000, true);
    let (stage, host) = (Stage::Starting, None);
    dtu.control(Progress { insert: 101, stage, host });
    dtu.pass(ANSWER_TIMEOUT_MS - 1_000, true);
    assert_eq!(dtu.logged("server_lost"), 0);
    dtu.pass(2_000, true);
    assert_eq!(dtu.logged("server_lost"), 1);
}

#[test]
fn a_lone_server_is_tried_again_and_again_but_not_all_the_time() {
    let mut dtu = Dtu::configured(|config| config.known_groups = vec![GROUP]);
    dtu.found("mud");
    let mut attempts = 0;
    while dtu.now_ms < 60_000 {
        if dtu.opening().is_some() {
            attempts += 1;
            dtu.control_fails();
        }
        dtu.pass(50, false);
    }
    assert!((15..60).contains(&attempts), "{attempts}");
    assert!(matches!(
        dtu.panel(),
        Some(Panel::Searching { for_ms, trouble: Some(text) })
            if *for_ms > 55_000 && text.contains("10.0.0.1:7010")
    ));
    let questions = dtu.take().iter().filter(|a| matches!(a, Action::SendServerQ)).count();
    assert!((5..40).contains(&questions), "{questions}");
}

#[test]
fn our_own_standstill_is_not_the_servers_silence() {
    let mut dtu = Dtu::attached();
    dtu.now_ms += 60_000;
    dtu.event(Event::Tick);
    assert_eq!(dtu.logged("suspected"), 0);
    dtu.pass(1_100, false);
    assert_eq!(dtu.logged("suspected"), 1);
}

#[test]
fn servers_learnt_from_the_group_are_remembered() {
    let mut dtu = Dtu::configured(|_| ());
    dtu.found("mud");
    dtu.greet("mud");
    let servers = vec![server("mud"), server("host05")];
    dtu.take();
    dtu.control(Servers { servers: servers.iter().cloned().collect() });
    dtu.control(Servers { servers: servers.iter().cloned().collect() });
    let remembered = dtu.take();
    let remembered: Vec<_> =
        remembered.iter().filter(|a| matches!(a, Action::RememberServers(_))).collect();
    assert_eq!(remembered, [&Action::RememberServers(servers.clone())]);
    dtu.control_dies();
    assert_eq!(dtu.opening(), Some(address("host05")));

    let dtu = Dtu::configured(|config| config.remembered = servers);
    assert_eq!(dtu.opening(), Some(address("mud")));
}

#[test]
fn the_servers_that_are_known_stay_within_their_bound() {
    let mut dtu = Dtu::new();
    for port in 1..2_000 {
        let address = SocketAddrV4::new([10, 9, 9, 9].into(), port);
        let server = Some(name("flood"));
        dtu.event(Event::ServerFound { address, server, via: Via::Answer });
    }
    let logged = dtu.logged("server_found");
    assert!(logged < 200, "{logged}");
    // What the user listed is still there and still first.
    assert_eq!(dtu.opening(), Some(address("mud")));
    dtu.control_fails();
    assert_eq!(dtu.opening(), Some(address("host05")));
}
