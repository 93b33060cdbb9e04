//! From the search to the picture and back.

use super::*;

#[test]
fn from_nothing_to_a_picture_and_back() {
    let mut dtu = Dtu::configured(|_| ());
    assert!(matches!(dtu.panel(), Some(Panel::Searching { .. })));
    assert!(dtu.take().contains(&Action::Resolve));
    dtu.found("mud");
    assert!(matches!(dtu.panel(), Some(Panel::Connecting { .. })));
    dtu.greet("mud");
    assert!(matches!(dtu.sent_control()[..], [ToServer::Hello(_)]));
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { pseudo_offered: true, .. })));

    dtu.insert("aa");
    let inserts = dtu.inserts();
    let [insert] = &inserts[..] else { panic!("{inserts:?}") };
    assert_eq!((insert.insert, insert.cause, insert.redirects), (101, Cause::Insert, 0));
    assert_eq!((&insert.ticket, insert.showing, insert.screen), (&None, None, size()));
    // It is announced if it does not come at once.
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })));
    dtu.pass(99, true);
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })));
    dtu.pass(1, true);
    assert!(matches!(dtu.panel(), Some(Panel::Inserting { .. })));

    dtu.control(attach(101, "mud", 1, Origin::New));
    dtu.event(Event::DisplayOpened { link: dtu.display });
    assert_eq!(dtu.picture(), Picture::Blank);
    dtu.session_attaches(None);
    dtu.frame(1);
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
    assert_eq!(dtu.logged("first_frame"), 0);
    dtu.show_frames();
    assert_eq!(dtu.logged("first_frame"), 1);
    let sent = dtu.sent_display();
    assert!(matches!(
        &sent[..],
        [ToSession::Attach(_), ToSession::FrameShown(FrameShown { number: 1 })]
    ));

    dtu.remove();
    let done = dtu.take();
    let told = |wanted: &dyn Fn(&Action) -> bool| done.iter().any(wanted);
    let removed = Remove { insert: 101 };
    assert!(told(
        &|a| matches!(a, Action::SendControl { message, .. } if *message == removed.into())
    ));
    assert!(told(
        &|a| matches!(a, Action::SendDisplay { message, .. } if *message == removed.into())
    ));
    assert!(told(&|a| matches!(a, Action::CloseDisplay { .. })));
    assert_eq!(dtu.picture(), Picture::Blank);
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })));
    assert_eq!((dtu.logged("removed"), dtu.logged("detached")), (1, 1));
}

#[test]
fn the_window_hears_of_a_session_before_its_first_frame() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.control(attach(101, "mud", 1, Origin::New));
    dtu.session_comes(None);
    let to_window = |action: &Action| match action {
        Action::ToWindow(ToWindow::Attached { .. }) => Some("attached"),
        Action::ToWindow(ToWindow::View(View { picture: Picture::Live, .. })) => Some("live"),
        Action::ToWindow(ToWindow::Frame { .. }) => Some("frame"),
        _ => None,
    };
    let told: Vec<&str> = dtu.take().iter().filter_map(to_window).collect();
    assert_eq!(told, ["attached", "live", "frame"]);
}

#[test]
fn a_challenge_is_answered_with_the_token_as_it_is_now() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.take();
    dtu.control(Challenge { insert: 101, nonce: [9; 32] });
    assert!(dtu.take().contains(&Action::ReadTokenAgain));
    dtu.event(Event::Token(token::Event::ReadAgain(Some(token("aa")))));
    let answer = ChallengeAnswer { insert: 101, nonce: [9; 32], token: token("aa") };
    assert_eq!(dtu.sent_control(), [answer.into()]);

    // A nonce is good for one answer, and none is given for another card.
    dtu.event(Event::Token(token::Event::ReadAgain(Some(token("aa")))));
    dtu.control(Challenge { insert: 101, nonce: [8; 32] });
    dtu.event(Event::Token(token::Event::ReadAgain(Some(token("bb")))));
    assert_eq!(dtu.sent_control(), []);
    assert_eq!(dtu.logged("challenged"), 2);
}

#[test]
fn an_insert_waits_for_the_window() {
    let mut connection = Dtu::new();
    connection.connection.screen = None;
    connection.greet("mud");
    connection.insert("aa");
    assert_eq!(connection.inserts(), []);
    let ready = FromWindow::Ready { size: size(), keymap: "de".parse().unwrap() };
    connection.event(Event::Window(ready));
    assert_eq!(connection.inserts()[0].keymap.as_str(), "de");
}

#[test]
fn the_session_follows_the_window() {
    let mut dtu = Dtu::attached();
    let larger = Size::new(800, 600).unwrap();
    dtu.event(Event::Window(FromWindow::Resized(larger)));
    dtu.event(Event::Window(FromWindow::Resized(larger)));
    assert_eq!(dtu.sent_display(), [Resize { screen: larger }.into()]);
    let ready = FromWindow::Ready { size: larger, keymap: "de".parse().unwrap() };
    dtu.event(Event::Window(ready));
    assert_eq!(dtu.sent_display(), [Layout { keymap: "de".parse().unwrap() }.into()]);
}

#[test]
fn a_refusal_is_shown_until_the_user_tries_again() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    let code = RefusalCode::TokenNotAccepted;
    dtu.control(Refused { insert: 101, code, text: "not you".into() });
    assert!(matches!(dtu.panel(), Some(Panel::Refused { text, .. }) if text == "not you"));
    dtu.take();
    dtu.pass(10_000, true);
    assert_eq!(dtu.inserts(), []);
    dtu.ask(Ask::TryAgain);
    let sent = dtu.sent_control();
    assert!(matches!(
        &sent[..],
        [
            ToServer::Remove(Remove { insert: 101 }),
            ToServer::Insert(Insert { insert: 102, cause: Cause::Insert, .. }),
        ]
    ));
}

#[test]
fn what_may_be_a_matter_of_moments_is_asked_again() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.take();
    let code = RefusalCode::StoreUnavailable;
    for _ in 0..4 {
        dtu.control(Refused { insert: 101, code, text: "the store".into() });
        dtu.pass(10_000, true);
        assert_eq!(dtu.inserts().len(), 1);
        assert!(matches!(dtu.panel(), Some(Panel::Refused { .. })));
    }
}

#[test]
fn another_dtu_takes_the_session_and_keeps_it() {
    let mut dtu = Dtu::attached();
    dtu.display(Detached { reason: DetachReason::Elsewhere, text: "kitchen".into() });
    assert_eq!(dtu.picture(), Picture::Blank);
    assert!(matches!(dtu.panel(), Some(Panel::Elsewhere { dtu }) if dtu == "kitchen"));
    assert!(!dtu.display_open);
    // Neither a late answer nor a new server brings it back by itself.
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.control_dies();
    dtu.greet("host05");
    dtu.pass(5_000, true);
    assert_eq!(dtu.inserts(), []);
    assert!(!dtu.display_open);
    dtu.ask(Ask::TryAgain);
    assert_eq!(dtu.inserts()[0].insert, 102);
}

#[test]
fn an_ended_session_says_so() {
    for by_server in [true, false] {
        let mut dtu = Dtu::attached();
        let text = "its programs ended".to_owned();
        if by_server {
            dtu.control(SessionEnded { session: SESSION, text });
        } else {
            dtu.display(Detached { reason: DetachReason::Ended, text });
        }
        assert!(matches!(dtu.panel(), Some(Panel::Ended { .. })));
        assert!(!dtu.display_open);
    }
    let mut dtu = Dtu::attached();
    dtu.control(SessionEnded { session: SessionId([9; 16]), text: "another".into() });
    assert_eq!(dtu.picture(), Picture::Live);
}

#[test]
fn a_card_in_place_of_another_is_a_remove_and_an_insert() {
    let mut dtu = Dtu::attached();
    dtu.insert("bb");
    let sent = dtu.sent_control();
    assert!(matches!(&sent[..], [ToServer::Remove(_), ToServer::Insert(_)]), "{sent:?}");
    assert_eq!(dtu.picture(), Picture::Blank);
}

#[test]
fn the_end_tells_both_links() {
    let mut dtu = Dtu::attached();
    dtu.event(Event::Quit { reason: "SIGTERM" });
    let done = dtu.take();
    let index = |wanted: &dyn Fn(&Action) -> bool| done.iter().position(wanted).unwrap();
    let removed = index(&|a| matches!(a, Action::SendControl { message: ToServer::Remove(_), .. }));
    let closed = index(&|a| matches!(a, Action::CloseControl { .. }));
    assert!(removed < closed);
    assert!(done.contains(&Action::ToWindow(ToWindow::Quit)));
    assert_eq!(done.last(), Some(&Action::Quit));
    assert_eq!(dtu.connection.wake_ms(), None);
    dtu.event(Event::Tick);
    assert_eq!(dtu.take(), []);
}

#[test]
fn the_own_token_is_used_only_where_it_is_offered() {
    let mut dtu = Dtu::new();
    dtu.take();
    dtu.ask(Ask::UsePseudo);
    assert!(dtu.take().contains(&Action::UsePseudo));
    let mut dtu = Dtu::configured(|config| config.pseudo_offered = false);
    dtu.ask(Ask::UsePseudo);
    assert!(!dtu.take().contains(&Action::UsePseudo));
}

#[test]
fn no_network_is_told_and_ends() {
    let mut dtu = Dtu::configured(|_| ());
    dtu.event(Event::Network { up: false });
    assert_eq!(dtu.panel(), Some(&Panel::NoNetwork));
    dtu.take();
    dtu.pass(10_000, false);
    assert!(!dtu.take().contains(&Action::Resolve));
    dtu.event(Event::Network { up: true });
    assert!(matches!(dtu.panel(), Some(Panel::Searching { .. })));
    assert!(dtu.take().contains(&Action::Resolve));
}
