//! The session panel, and what the user does in it.

use super::*;
use afterglow_wire::sessions::{
    Consent, ListSessions, Manage, Notice, Question, SessionEntry, SessionOrder, SessionState,
    Sessions, Want,
};

const OTHER: SessionId = SessionId([6; 16]);

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

fn is_open(dtu: &Dtu) -> bool {
    matches!(dtu.panel(), Some(Panel::Sessions(_)))
}

/// A DTU whose panel is open and filled.
fn open() -> Dtu {
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
