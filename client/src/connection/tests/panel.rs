//! The session panel, and what the user does in it.

use super::*;
use afterglow_wire::quality::Quality;
use afterglow_wire::service::{ServiceAct, ServiceOrder};
use afterglow_wire::sessions::{
    Consent, ListSessions, Manage, Notice, Question, SessionEntry, SessionOrder, SessionState,
    Sessions, Want,
};

pub(super) const OTHER: SessionId = SessionId([6; 16]);

fn entry(session: SessionId, state: SessionState) -> SessionEntry {
    SessionEntry {
        session,
        epoch: Epoch(1),
        name: String::new(),
        server: name("mud"),
        state,
        age_ms: 1_000,
        services: Default::default(),
    }
}

fn listed(insert: u64) -> Sessions {
    let all = [entry(SESSION, SessionState::Shown), entry(OTHER, SessionState::Running)];
    Sessions {
        insert,
        sessions: all.into_iter().collect(),
        services: Default::default(),
        trouble: String::new(),
    }
}

pub(super) fn is_open(dtu: &Dtu) -> bool {
    matches!(dtu.panel(), Some(Panel::Sessions(_)))
}

/// A DTU whose panel is open and filled.
pub(super) fn open() -> Dtu {
    let mut dtu = Dtu::attached();
    dtu.ask(Ask::TogglePanel);
    assert_eq!(dtu.sent_control(), [ListSessions { insert: 101 }.into()]);
    dtu.control(listed(101));
    assert!(is_open(&dtu));
    dtu
}

#[test]
fn an_open_panel_asks_once_a_second_and_a_closed_one_not_at_all() {
    let mut dtu = open();
    assert_eq!(dtu.picture(), Picture::Dimmed);
    dtu.pass(3_050, true);
    let asked = dtu.sent_control();
    let lists = asked.iter().filter(|message| matches!(message, ToServer::ListSessions(_)));
    assert_eq!(lists.count(), 3);
    dtu.ask(Ask::TogglePanel);
    assert_eq!((dtu.panel(), dtu.picture()), (None, Picture::Live));
    dtu.pass(3_000, true);
    assert!(!dtu.sent_control().iter().any(|m| matches!(m, ToServer::ListSessions(_))));
    // Nothing opens without a card.
    dtu.remove();
    dtu.ask(Ask::TogglePanel);
    assert!(!is_open(&dtu));
}

#[test]
fn a_switch_is_an_insert_of_its_own_and_the_old_picture_is_gone_at_once() {
    let mut dtu = open();
    let old = dtu.display;
    dtu.ask(Ask::Switch(OTHER));
    let done = dtu.take();
    let removed = ToSession::from(Remove { insert: 101 });
    assert!(done.iter().any(|action| {
        matches!(action, Action::SendDisplay { link, message } if *link == old && *message == removed)
    }));
    let inserts: Vec<_> = done
        .into_iter()
        .filter_map(|action| match action {
            Action::SendControl { message: ToServer::Insert(insert), .. } => Some(insert),
            _ => None,
        })
        .collect();
    let [insert] = &inserts[..] else { panic!("{inserts:?}") };
    assert_eq!((insert.insert, insert.cause), (102, Cause::Switch));
    assert_eq!((insert.want, insert.showing), (Want::Session(OTHER), None));
    assert_eq!(dtu.picture(), Picture::Blank);
    assert!(!is_open(&dtu) && !dtu.display_open);
    // What is still said about the old one is dropped.
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    assert!(!dtu.display_open);
    dtu.control(Attach { session: OTHER, ..attach(102, "mud", 1, Origin::Existing) });
    dtu.session_comes(None);
    assert_eq!(dtu.picture(), Picture::Live);
    // From now on that is the session: a failover asks for it by its ticket.
    dtu.control_dies();
    dtu.display_dies();
    dtu.pass(2_000, false);
    dtu.greet("host05");
    let insert = dtu.inserts().pop().expect("an insert");
    assert_eq!((insert.cause, insert.want), (Cause::Failover, Want::Last));
    assert!(insert.ticket.is_some());
}

#[test]
fn a_new_session_is_wanted_until_a_server_answers_wherever_it_is_asked() {
    let mut dtu = open();
    dtu.ask(Ask::NewSession);
    dtu.take();
    dtu.control_dies();
    dtu.pass(500, false);
    dtu.greet("host05");
    let insert = dtu.inserts().pop().expect("an insert");
    assert_eq!((insert.insert, insert.cause, insert.want), (102, Cause::Switch, Want::New));
    // Its end is told, for a server may know of the token.
    dtu.remove();
    assert!(dtu.sent_control().contains(&Remove { insert: 102 }.into()));
}

#[test]
fn the_pictures_quality_is_what_the_session_says_and_switched_there() {
    let quality = |dtu: &Dtu| match dtu.panel() {
        Some(Panel::Sessions(panel)) => panel.quality,
        other => panic!("{other:?}"),
    };
    let mut dtu = open();
    // A session of an older version says nothing, and is told nothing.
    assert_eq!(quality(&dtu), None);
    dtu.ask(Ask::SetQuality(Quality::Auto));
    assert_eq!(dtu.sent_display(), []);
    dtu.display(Quality::Lossless);
    assert_eq!(quality(&dtu), Some(Quality::Lossless));
    dtu.ask(Ask::SetQuality(Quality::Auto));
    assert_eq!(dtu.sent_display(), [Quality::Auto.into()]);
    assert_eq!(quality(&dtu), Some(Quality::Lossless), "not before the session says so");
    dtu.display(Quality::Auto);
    assert_eq!(quality(&dtu), Some(Quality::Auto));
    let logged = |event: &&Logged| matches!(event, Logged::Quality { .. });
    assert_eq!(dtu.logged.iter().filter(logged).count(), 2);
    // Pressed while the panel closed: it is not meant.
    dtu.ask(Ask::TogglePanel);
    dtu.ask(Ask::SetQuality(Quality::Lossless));
    assert_eq!(dtu.sent_display(), []);
}

#[test]
fn what_the_user_wants_of_a_session_goes_to_the_server() {
    let mut dtu = open();
    let order = SessionOrder::Rename("work".into());
    dtu.ask(Ask::Manage { session: OTHER, epoch: Epoch(1), order: order.clone() });
    let wanted = Manage { insert: 101, session: OTHER, epoch: Epoch(1), order };
    assert_eq!(dtu.sent_control(), [wanted.into()]);
    dtu.control(Question { insert: 101, question: 9, text: "Move?".into() });
    assert!(matches!(dtu.panel(), Some(Panel::Question { question: 9, .. })));
    dtu.ask(Ask::Answer { question: 8, yes: true });
    assert_eq!(dtu.sent_control(), []);
    dtu.ask(Ask::Answer { question: 9, yes: true });
    assert_eq!(dtu.sent_control(), [Consent { insert: 101, question: 9, yes: true }.into()]);
    dtu.ask(Ask::Answer { question: 9, yes: false });
    assert_eq!(dtu.sent_control(), []);
}

#[test]
fn a_notice_is_up_for_a_while_and_only_for_its_insert() {
    let mut dtu = Dtu::attached();
    dtu.control(Notice { insert: 100, text: "old".into() });
    assert_eq!(dtu.badge(), None);
    dtu.control(Notice { insert: 101, text: "mail failed".into() });
    assert_eq!(dtu.badge(), Some(&Badge::Notice { text: "mail failed".into() }));
    dtu.pass(8_100, true);
    assert_eq!(dtu.badge(), None);
}

#[test]
fn signing_off_leaves_nothing_here_until_the_user_wants_it_back() {
    let mut dtu = open();
    dtu.ask(Ask::SignOff);
    assert!(dtu.sent_control().contains(&Remove { insert: 101 }.into()));
    assert_eq!((dtu.panel(), dtu.picture()), (Some(&Panel::SignedOff), Picture::Blank));
    dtu.pass(5_000, true);
    assert_eq!(dtu.inserts(), []);
    dtu.ask(Ask::TryAgain);
    let insert = dtu.inserts().pop().expect("an insert");
    assert_eq!((insert.cause, insert.want), (Cause::Insert, Want::Last));
}

#[test]
fn nothing_of_the_panel_outlives_the_card() {
    for step in 0..4 {
        let mut dtu = open();
        match step {
            0 => {}
            1 => dtu.ask(Ask::Switch(OTHER)),
            2 => dtu.control(Question { insert: 101, question: 1, text: "?".into() }),
            _ => dtu.control(Notice { insert: 101, text: "!".into() }),
        }
        dtu.remove();
        // What comes late finds nobody.
        dtu.control(listed(101));
        dtu.control(Notice { insert: 101, text: "late".into() });
        dtu.control(Question { insert: 101, question: 2, text: "late".into() });
        dtu.control(Attach { session: OTHER, ..attach(102, "mud", 1, Origin::Existing) });
        assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })), "after {step}");
        assert_eq!((dtu.picture(), dtu.badge()), (Picture::Blank, None));
        assert!(!dtu.display_open);
        // The next card begins with nothing open.
        dtu.insert("bb");
        dtu.control(listed(101));
        assert!(!is_open(&dtu));
    }
}

/// What the user was told at the edge of the screen.
fn told(dtu: &Dtu) -> &str {
    match dtu.badge() {
        Some(Badge::Notice { text }) => text,
        other => panic!("{other:?} tells nothing"),
    }
}

fn manage(order: SessionOrder) -> Ask {
    Ask::Manage { session: OTHER, epoch: Epoch(1), order }
}

fn service(name: &str) -> SessionOrder {
    let act = ServiceAct::Restart;
    SessionOrder::Service(ServiceOrder { name: name.parse().unwrap(), act })
}

/// What can be wanted of a server in the panel, and how its refusal begins.
fn wishes() -> [(Ask, &'static str); 6] {
    [
        (Ask::Switch(OTHER), "No server answers: your session was not switched."),
        (Ask::NewSession, "No server answers: no new session was started."),
        (manage(SessionOrder::Rename("x".into())), "No server answers: the session was not rena"),
        (manage(SessionOrder::End), "No server answers: the session was not ended."),
        (manage(SessionOrder::Continue), "No server answers: the earlier copy was not continued"),
        (manage(service("mail")), "No server answers: the service mail is as it was."),
    ]
}

#[test]
fn what_needs_a_server_is_refused_in_words_without_one_and_the_picture_stays() {
    for (ask, words) in wishes() {
        let mut dtu = open();
        dtu.session_alive = true;
        dtu.pass(1_000, true);
        dtu.control_dies();
        dtu.take();
        dtu.ask(ask.clone());
        assert!(told(&dtu).starts_with(words), "{ask:?}: {}", told(&dtu));
        assert_eq!(dtu.picture(), Picture::Dimmed, "{ask:?}");
        assert!(dtu.display_open && is_open(&dtu), "{ask:?}");
        assert_eq!(dtu.sent_display(), [], "{ask:?}");
        // Nothing of it is done later, when nobody expects it.
        dtu.ask(Ask::TogglePanel);
        assert_eq!(dtu.picture(), Picture::Live);
        dtu.pass(500, false);
        dtu.greet("host05");
        let sent = dtu.sent_control();
        let late = |one: &ToServer| match one {
            ToServer::Insert(insert) => insert.insert != 101,
            other => matches!(other, ToServer::Manage(_)),
        };
        assert!(!sent.iter().any(late), "{ask:?}: {sent:?}");
    }
}

#[test]
fn a_suspected_server_is_no_server_and_an_answer_waits_until_it_speaks_again() {
    let mut dtu = Dtu::settled();
    dtu.control(Question { insert: 101, question: 9, text: "Move?".into() });
    let mud = dtu.control;
    dtu.pass(1_500, false);
    assert_eq!((dtu.logged("suspected"), dtu.logged("server_lost")), (1, 0));
    dtu.take();
    dtu.ask(Ask::Answer { question: 9, yes: true });
    assert!(told(&dtu).starts_with("No server answers: your answer was not sent."));
    assert!(matches!(dtu.panel(), Some(Panel::Question { question: 9, .. })));
    assert_eq!(dtu.sent_control(), []);
    dtu.event(Event::Control { link: mud, message: Alive { seq: 0, resume: None }.into() });
    dtu.ask(Ask::Answer { question: 9, yes: false });
    let answer = Consent { insert: 101, question: 9, yes: false };
    assert!(dtu.sent_control().contains(&answer.into()));
    assert_eq!(dtu.panel(), None);
}

#[test]
fn an_order_that_the_server_may_not_have_heard_is_told() {
    let order = || manage(SessionOrder::End);
    let mut dtu = open();
    dtu.ask(order());
    dtu.control_dies();
    assert!(told(&dtu).starts_with("mud was lost before it confirmed your order: perhaps the ses"));
    // What it spoke on after is not in doubt.
    let mut dtu = open();
    dtu.session_alive = true;
    dtu.ask(order());
    dtu.pass(1_500, true);
    dtu.control_dies();
    assert_eq!(dtu.badge(), Some(&Badge::ControlLost { server: name("mud") }));
    // Nor is what the list shows.
    let mut dtu = open();
    dtu.ask(order());
    dtu.pass(300, true);
    dtu.control(listed(101));
    dtu.control_dies();
    assert_eq!(dtu.badge(), Some(&Badge::ControlLost { server: name("mud") }));
}

#[test]
fn what_is_pressed_twice_is_done_once() {
    let mut dtu = open();
    dtu.ask(Ask::NewSession);
    dtu.ask(Ask::NewSession);
    assert_eq!(dtu.inserts().len(), 1);
    dtu.ask(Ask::SignOff);
    assert!(matches!(dtu.panel(), Some(Panel::Inserting { .. })));
}

#[test]
fn the_session_that_is_shown_is_switched_to_by_closing_the_panel() {
    let mut dtu = open();
    dtu.control(Notice { insert: 101, text: "mail failed".into() });
    dtu.ask(Ask::Switch(SESSION));
    assert_eq!((dtu.panel(), dtu.picture()), (None, Picture::Live));
    assert_eq!(told(&dtu), "mail failed");
    assert_eq!(dtu.inserts(), []);
}

/// The session's host is silent on both links, and another server is there.
fn silent_host() -> Dtu {
    let mut dtu = Dtu::settled();
    dtu.session_alive = false;
    dtu.pass(1_500, false);
    dtu.greet("host05");
    dtu.take();
    dtu
}

#[test]
fn the_panel_opens_over_a_silent_host_and_leads_away_from_it() {
    let mut dtu = silent_host();
    assert!(matches!(dtu.panel(), Some(Panel::Resuming { .. })));
    dtu.ask(Ask::TogglePanel);
    assert_eq!(dtu.sent_control(), [ListSessions { insert: 101 }.into()]);
    assert_eq!(dtu.picture(), Picture::Dimmed);
    let Some(Panel::Sessions(panel)) = dtu.panel() else { panic!("{:?}", dtu.panel()) };
    assert!(panel.trouble.contains("does not answer"), "{}", panel.trouble);
    dtu.ask(Ask::Switch(OTHER));
    let insert = dtu.inserts().pop().expect("an insert");
    assert_eq!((insert.insert, insert.want), (102, Want::Session(OTHER)));
    assert_eq!(dtu.picture(), Picture::Blank);
}

#[test]
fn the_panel_is_up_while_it_is_open_and_never_comes_by_itself() {
    // Opened and closed over a silent host: it is gone for good.
    let mut dtu = silent_host();
    dtu.ask(Ask::TogglePanel);
    dtu.ask(Ask::TogglePanel);
    assert!(matches!(dtu.panel(), Some(Panel::Resuming { .. })));
    dtu.control(attach(101, "host05", 2, Origin::TakenOver));
    dtu.session_comes(None);
    assert!(matches!(dtu.panel(), Some(Panel::Restarted { .. })));
    // Open when the host falls silent: it stays, until the user closes it, and
    // then what happened meanwhile is still to be read.
    let mut dtu = Dtu::settled();
    dtu.ask(Ask::TogglePanel);
    dtu.session_alive = false;
    dtu.pass(1_500, false);
    assert!(is_open(&dtu));
    dtu.greet("host05");
    dtu.control(attach(101, "host05", 2, Origin::TakenOver));
    dtu.session_comes(None);
    dtu.pass(10_000, true);
    assert!(is_open(&dtu));
    dtu.ask(Ask::TogglePanel);
    assert!(matches!(dtu.panel(), Some(Panel::Restarted { .. })));
    // Without a picture it gives way to the search, and does not come back.
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.ask(Ask::TogglePanel);
    assert!(is_open(&dtu));
    dtu.control_dies();
    assert!(!is_open(&dtu));
    dtu.pass(500, false);
    dtu.greet("host05");
    dtu.control(attach(101, "host05", 1, Origin::Existing));
    dtu.session_comes(None);
    assert_eq!((dtu.panel(), dtu.picture()), (None, Picture::Live));
}

#[test]
fn no_key_reaches_the_session_from_the_moment_the_panel_opens() {
    let typed = |dtu: &mut Dtu| {
        let sent = dtu.sent_display().into_iter().filter_map(|message| match message {
            ToSession::Input(input) => Some(input.events.into_vec()),
            _ => None,
        });
        sent.flatten().collect::<Vec<_>>()
    };
    let (press, release) = (KeyAction::Press, KeyAction::Release);
    for lost in [false, true] {
        let mut dtu = Dtu::settled();
        dtu.type_key(29, press);
        assert_eq!(typed(&mut dtu), [key(29, press)]);
        if lost {
            dtu.session_alive = false;
            dtu.pass(900, false);
        }
        dtu.ask(Ask::TogglePanel);
        assert!(is_open(&dtu));
        for action in [press, KeyAction::Repeat, release] {
            dtu.type_key(30, action);
        }
        dtu.type_key(29, KeyAction::Repeat);
        assert_eq!(typed(&mut dtu), []);
        // What the session saw go down comes up there.
        dtu.type_key(29, release);
        assert_eq!(typed(&mut dtu), [key(29, release)]);
        dtu.ask(Ask::TogglePanel);
        dtu.type_key(30, press);
        assert_eq!(typed(&mut dtu), [key(30, press)]);
    }
}

#[test]
fn a_question_ends_with_the_link_that_it_came_on() {
    let asked = || {
        let mut dtu = Dtu::attached();
        dtu.control(Question { insert: 101, question: 9, text: "Move?".into() });
        assert!(matches!(dtu.panel(), Some(Panel::Question { .. })));
        dtu
    };
    let mut dtu = asked();
    dtu.control_dies();
    assert_eq!((dtu.panel(), dtu.picture()), (None, Picture::Live));
    dtu.greet("host05");
    dtu.take();
    dtu.ask(Ask::Answer { question: 9, yes: true });
    assert_eq!(dtu.sent_control(), []);
    // Nor does a redirect's target know of it.
    let mut dtu = asked();
    dtu.control(redirect(101, "host05", RedirectPlan::Existing));
    assert!(!matches!(dtu.panel(), Some(Panel::Question { .. })));
}

#[test]
fn who_signed_off_has_no_panel_and_asks_no_server() {
    let mut dtu = open();
    dtu.ask(Ask::SignOff);
    dtu.take();
    dtu.ask(Ask::TogglePanel);
    assert_eq!(dtu.panel(), Some(&Panel::SignedOff));
    dtu.pass(3_000, true);
    assert_eq!(dtu.sent_control(), []);
}

#[test]
fn a_notice_is_up_over_what_came_to_its_end() {
    let code = RefusalCode::SessionFailed;
    type Happens = fn(&mut Dtu);
    let ends: [(&str, Happens); 3] = [
        ("ended", |dtu| dtu.control(SessionEnded { session: SESSION, text: "over".into() })),
        ("elsewhere", |dtu| {
            dtu.display(Detached { reason: DetachReason::Elsewhere, text: "hall".into() });
        }),
        ("refused", |dtu| {
            dtu.display_dies();
            dtu.pass(300, true);
            let code = RefusalCode::SessionFailed;
            dtu.control(Refused { insert: 101, code, text: "no".into() });
        }),
    ];
    for (end, happens) in ends {
        let mut dtu = Dtu::attached();
        happens(&mut dtu);
        assert_eq!((dtu.picture(), dtu.badge()), (Picture::Blank, None), "{end}");
        dtu.control(Notice { insert: 101, text: "That could not be done.".into() });
        assert_eq!(told(&dtu), "That could not be done.", "{end}");
    }
    // Also while the insert is still tried.
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.control(Refused { insert: 101, code, text: "no".into() });
    dtu.control(Notice { insert: 101, text: "Later.".into() });
    assert_eq!(told(&dtu), "Later.");
    dtu.pass(8_100, true);
    assert_eq!(dtu.badge(), None);
}
