//! The session panel: what a user is told of the token's sessions, and what
//! becomes of what is wanted of them.

use super::desk::{Desk, FIRST, at_desk, notice, question, sessions, set_aside};
use super::world::{attach, insert, name, service, stands, status};
use crate::core::{AdminOrder, Event, StoreOperation};
use crate::store::Wish;
use afterglow_wire::control::Insert;
use afterglow_wire::ids::{DtuId, Epoch, SessionId};
use afterglow_wire::limits::SESSION_NAME_CHARS_MAX;
use afterglow_wire::local::{Status, ToKeeper};
use afterglow_wire::service::{ServiceAct, ServiceOrder};
use afterglow_wire::sessions::Want;
use afterglow_wire::sessions::{Consent, ListSessions, Manage, SessionOrder, SessionState};

fn order(text: &str) -> SessionOrder {
    SessionOrder::Service(ServiceOrder { name: service(text), act: ServiceAct::Restart })
}

/// Ada's session runs on the first server, and she sits at the second, where
/// she has another.
fn at_another_server() -> (Desk, u64, (SessionId, Epoch)) {
    let mut desk = at_desk(2);
    desk.world.tell(0, Event::Drain(true));
    let link = desk.world.connect(1, 2);
    desk.world.insert(1, link, Insert { want: Want::New, ..insert(9) });
    let attached = desk.world.last(1, link, attach).expect("attached");
    assert_eq!(attached.host, name("host05"));
    let copy = (desk.session, FIRST);
    (desk, link, copy)
}

#[test]
fn a_list_has_all_sessions_of_the_token_the_last_connected_first() {
    let mut desk = at_desk(1);
    let first = desk.session;
    let second = desk.start_another().session;
    let (link, list) = (desk.link, desk.list(0, desk.link, 6).expect("a list"));
    let told: Vec<_> = list.sessions.iter().map(|entry| (entry.session, entry.state)).collect();
    assert_eq!(told, [(second, SessionState::Shown), (first, SessionState::Running)]);
    assert!(list.sessions.iter().all(|entry| entry.server == name("mud") && entry.age_ms < 9_000));
    assert_eq!(list.trouble, "");
    // Nobody else's is in it.
    let other = desk.world.connect(0, 9);
    let token = "soft.eve".parse().expect("a token");
    let eves = Insert { token, ..insert(3) };
    desk.world.insert(0, other, eves);
    assert_eq!(desk.list(0, other, 3).expect("a list").sessions.len(), 1);
    assert_eq!(desk.list(0, link, 6).expect("a list").sessions.len(), 2);
}

#[test]
fn a_list_tells_of_hosts_that_are_silent_of_sessions_that_are_lost_and_of_earlier_copies() {
    let (mut desk, link, copy) = at_another_server();
    desk.world.servers[0].alive = false;
    desk.world.run_ms(9_000);
    let state = |desk: &mut Desk, copy: (SessionId, Epoch)| {
        let list = desk.list(1, link, 9).expect("a list");
        let of_copy = list.sessions.iter().find(|e| (e.session, e.epoch) == copy);
        of_copy.map(|entry| entry.state)
    };
    assert_eq!(state(&mut desk, copy), Some(SessionState::HostSilent));
    desk.world.servers[0].alive = true;
    desk.world.run_ms(3_000);
    assert_eq!(state(&mut desk, copy), Some(SessionState::Running));
    let (session, epoch, text) = (copy.0, copy.1, "Its keeper is lost.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: false });
    assert_eq!(state(&mut desk, copy), Some(SessionState::Lost));

    let mut desk = set_aside();
    let older = desk.entry((desk.session, FIRST)).expect("the earlier copy is listed");
    assert_eq!((older.state, older.server), (SessionState::OlderCopy, name("mud")));
    let live = desk.entry((desk.session, Epoch(2))).expect("the session is listed");
    assert_eq!((live.state, live.server), (SessionState::Running, name("host05")));
}

#[test]
fn without_the_store_a_list_has_what_is_here_and_says_that_it_may_not_be_whole() {
    let mut desk = at_desk(1);
    desk.world.store_up = false;
    let list = desk.list(0, desk.link, 5).expect("a list");
    let told: Vec<_> = list.sessions.iter().map(|entry| (entry.session, entry.state)).collect();
    assert_eq!(told, [(desk.session, SessionState::Shown)]);
    assert!(list.trouble.contains("store does not answer"), "{}", list.trouble);
    desk.manage((desk.session, FIRST), SessionOrder::Rename("work".into()));
    let told = desk.notice(0, desk.link).expect("a notice");
    assert!(told.contains("try again"), "{told}");
}

#[test]
fn a_list_has_the_services_of_the_session_that_is_shown() {
    let mut desk = at_desk(1);
    let services = [stands("mail", true), stands("music", false)];
    let services = services.into_iter().collect();
    let said = Status { services, ..status(desk.session, FIRST) };
    desk.world.tell(0, Event::KeeperStatus(said));
    let list = desk.list(0, desk.link, 5).expect("a list");
    assert_eq!(list.services.len(), 2);
    assert_eq!(list.sessions[0].services.to_vec(), [service("mail")]);
    // That of another is not told here.
    desk.start_another();
    assert_eq!(desk.list(0, desk.link, 6).expect("a list").services.len(), 0);
}

#[test]
fn lists_are_asked_for_at_a_bounded_rate() {
    let mut desk = at_desk(1);
    let before = desk.world.servers[0].asked.len();
    for _ in 0..500 {
        desk.world.say(0, desk.link, ListSessions { insert: 5 });
    }
    assert!(desk.world.servers[0].asked.len() - before <= 20);
    desk.world.run_ms(2_000);
    assert!(desk.list(0, desk.link, 5).is_some(), "the panel works again");
}

#[test]
fn a_list_for_another_insert_or_after_a_remove_is_not_told() {
    let mut desk = at_desk(1);
    assert!(desk.list(0, desk.link, 4).is_none() && desk.list(0, desk.link, 6).is_none());
    assert!(desk.list(0, desk.link, 5).is_some());
    desk.world.remove(0, desk.link, 5);
    assert!(desk.list(0, desk.link, 5).is_none(), "a removed token's panel is deaf");
    desk.manage((desk.session, FIRST), SessionOrder::End);
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    assert!(told.iter().all(|message| matches!(message, ToKeeper::Detach(_))), "{told:?}");
}

#[test]
fn an_answer_that_comes_after_the_remove_is_not_told() {
    let mut desk = at_desk(1);
    desk.world.hold_answers = true;
    desk.world.say(0, desk.link, ListSessions { insert: 5 });
    desk.manage((desk.session, FIRST), SessionOrder::Rename("work".into()));
    desk.world.remove(0, desk.link, 5);
    desk.world.let_answers_go();
    assert!(desk.world.last(0, desk.link, sessions).is_none());
}

#[test]
fn a_removed_token_agrees_to_nothing() {
    let mut desk = at_desk(2);
    let (session, to) = (desk.session, name("host05"));
    desk.order(AdminOrder::Move { session, to, force: false });
    let asked = desk.world.last(0, desk.link, question).expect("a question");
    desk.world.remove(0, desk.link, 5);
    let consent = Consent { insert: 5, question: asked.question, yes: true };
    desk.world.say(0, desk.link, consent);
    assert_eq!(desk.world.only_row().owner, name("mud"));
}

#[test]
fn a_session_here_is_ended_at_once_and_one_elsewhere_by_way_of_the_store() {
    let mut desk = at_desk(1);
    desk.manage((desk.session, FIRST), SessionOrder::End);
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    assert!(matches!(told.as_slice(), [ToKeeper::End(_)]), "{told:?}");

    let (mut desk, link, copy) = at_another_server();
    let (session, epoch) = copy;
    desk.world.say(1, link, Manage { insert: 9, session, epoch, order: SessionOrder::End });
    assert_eq!(desk.world.store.sessions[&session].wish, Some(Wish::End));
    assert!(desk.world.last(1, link, sessions).is_some(), "the list is told again");
    assert_eq!(desk.world.told_keeper(0, copy), []);
    desk.world.run_ms(5_500);
    let told = desk.world.told_keeper(0, copy);
    assert!(matches!(told.as_slice(), [ToKeeper::End(_)]), "{told:?}");
}

#[test]
fn a_session_that_is_lost_is_ended_in_the_store_alone() {
    let (mut desk, link, (session, epoch)) = at_another_server();
    let text = "Its keeper is lost.".into();
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: false });
    desk.world.say(1, link, Manage { insert: 9, session, epoch, order: SessionOrder::End });
    assert!(desk.world.store.sessions[&session].ended);
}

#[test]
fn a_new_name_is_tidied_and_stored() {
    let mut desk = at_desk(1);
    let copy = (desk.session, FIRST);
    let untidy = format!("  wo\u{7}rk\n{}  ", "x".repeat(300));
    desk.manage(copy, SessionOrder::Rename(untidy));
    let named = desk.entry(copy).expect("is listed").name;
    assert!(named.starts_with("workxxx") && named.chars().count() == SESSION_NAME_CHARS_MAX);
}

#[test]
fn a_service_is_told_to_the_session_here_and_refused_with_the_servers_name_elsewhere() {
    let mut desk = at_desk(1);
    desk.manage((desk.session, FIRST), order("mail"));
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    assert!(matches!(told.as_slice(), [ToKeeper::Service(_)]), "{told:?}");

    let (mut desk, link, (session, epoch)) = at_another_server();
    desk.world.say(1, link, Manage { insert: 9, session, epoch, order: order("mail") });
    let told = desk.notice(1, link).expect("a notice");
    assert!(told.contains("mud") && told.contains("switch"), "{told}");
    desk.world.run_ms(6_000);
    assert_eq!(desk.world.told_keeper(0, (session, epoch)), []);
}

#[test]
fn what_is_not_the_tokens_or_not_there_any_more_is_left_alone() {
    let mut desk = at_desk(1);
    let other = desk.world.connect(0, 9);
    let token = "soft.eve".parse().expect("a token");
    let eves = Insert { token, ..insert(3) };
    desk.world.insert(0, other, eves);
    let copy = (desk.session, FIRST);
    for order in [SessionOrder::End, SessionOrder::Rename("mine".into()), order("mail")] {
        let (session, epoch) = copy;
        desk.world.say(0, other, Manage { insert: 3, session, epoch, order });
        let told = desk.world.last(0, other, notice).expect("a notice");
        assert!(told.contains("not there"), "{told}");
    }
    assert_eq!(desk.world.told_keeper(0, copy), []);
    let row = &desk.world.store.sessions[&copy.0];
    assert_eq!((row.name.as_str(), &row.wish), ("", &None));
    desk.manage((desk.session, Epoch(7)), SessionOrder::End);
    assert!(desk.notice(0, desk.link).expect("a notice").contains("not there"));
    assert_eq!(desk.world.told_keeper(0, copy), []);
}

#[test]
fn what_the_store_does_not_take_is_told() {
    let mut desk = at_desk(1);
    desk.world.hold_answers = true;
    desk.manage((desk.session, FIRST), SessionOrder::Rename("work".into()));
    desk.world.let_answers_go_as(|operation| matches!(operation, StoreOperation::SessionsOf(_)));
    let told = desk.notice(0, desk.link).expect("a notice");
    assert!(told.contains("could not be done"), "{told}");
}

#[test]
fn an_administrator_takes_a_session_from_a_screen_and_its_user_may_bring_it_back() {
    let mut desk = at_desk(1);
    let session = desk.session;
    desk.order(AdminOrder::Disconnect { session });
    let refused = desk.answer().expect("an answer").expect_err("nobody shows it");
    assert!(refused.contains("no desktop unit"), "{refused}");
    let shown_on = Some(DtuId([1; 32]));
    desk.world.tell(0, Event::KeeperStatus(Status { shown_on, ..status(session, FIRST) }));
    desk.order(AdminOrder::Disconnect { session });
    assert!(desk.answer().expect("an answer").is_ok());
    let told = desk.world.told_keeper(0, (session, FIRST));
    assert!(
        matches!(told.as_slice(), [ToKeeper::Detach(detach)] if detach.insert == 5),
        "{told:?}"
    );
    desk.world.insert(0, desk.link, insert(6));
    assert_eq!(desk.world.last(0, desk.link, attach).expect("attached").insert, 6);
}

#[test]
fn an_administrators_order_about_what_is_not_here_is_refused() {
    let mut desk = at_desk(1);
    let session = SessionId([3; 16]);
    let none = [
        AdminOrder::Disconnect { session },
        AdminOrder::End { session, epoch: None },
        AdminOrder::End { session: desk.session, epoch: Some(Epoch(4)) },
        AdminOrder::Continue { session: desk.session, epoch: FIRST },
        AdminOrder::Move { session, to: name("mud"), force: true },
    ];
    for order in none {
        desk.order(order.clone());
        assert!(matches!(desk.answer(), Some(Err(_))), "{order:?}");
    }
    assert_eq!(desk.world.told_keeper(0, (desk.session, FIRST)), []);
}

#[test]
fn an_administrator_ends_a_session_and_orders_its_services() {
    let mut desk = at_desk(1);
    let session = desk.session;
    let act = ServiceOrder { name: service("mail"), act: ServiceAct::Stop };
    desk.order(AdminOrder::Service { session, order: act });
    desk.order(AdminOrder::End { session, epoch: None });
    let told = desk.world.told_keeper(0, (session, FIRST));
    assert!(matches!(told.as_slice(), [ToKeeper::Service(_), ToKeeper::End(_)]), "{told:?}");
    assert!(desk.world.servers[0].answers.iter().all(|(_, result)| result.is_ok()));
}

#[test]
fn a_session_that_ended_while_the_store_was_away_is_over_in_it_once_it_is_back() {
    let mut desk = at_desk(1);
    desk.world.store_up = false;
    let (session, epoch, text) = (desk.session, FIRST, "The user logged out.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: true });
    desk.world.run_ms(2_000);
    desk.world.store_up = true;
    desk.world.run_ms(2_000);
    assert!(desk.world.only_row().ended, "else it would be started again, as if it were lost");
}

#[test]
fn trouble_of_a_session_is_told_to_who_looks_at_it_once() {
    let mut desk = at_desk(1);
    let trouble = "Its worker dies again and again.".to_owned();
    let said = Status { trouble: trouble.clone(), ..status(desk.session, FIRST) };
    for _ in 0..3 {
        desk.world.tell(0, Event::KeeperStatus(said.clone()));
    }
    let told = &desk.world.servers[0].told[&desk.link];
    let told: Vec<_> = told.iter().filter_map(notice).collect();
    assert_eq!(told, [trouble]);
}
