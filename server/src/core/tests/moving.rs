//! A session that goes to another server on purpose.

use super::desk::{Desk, FIRST, at_desk, question, switch};
use super::world::{attach, insert, name, redirect};
use crate::core::{AdminOrder, Event, StoreOperation};
use crate::store::Wish;
use afterglow_wire::control::{Cause, Insert, Origin, RedirectPlan, ToDtu};
use afterglow_wire::ids::Epoch;
use afterglow_wire::local::ToKeeper;
use afterglow_wire::sessions::{Consent, Want};

fn order_move(desk: &mut Desk, force: bool) {
    let (session, to) = (desk.session, name("host05"));
    desk.order(AdminOrder::Move { session, to, force });
}

fn consent(desk: &mut Desk, insert: u64, yes: bool) {
    let asked = desk.world.last(0, desk.link, question).expect("a question");
    desk.world.say(0, desk.link, Consent { insert, question: asked.question, yes });
}

fn refused(desk: &Desk) -> String {
    desk.answer().expect("an answer").expect_err("not moved")
}

/// The session is where it was, and nothing of it ended.
fn assert_stays(desk: &Desk) {
    let row = desk.world.only_row();
    assert_eq!((row.owner, row.epoch, row.ended), (name("mud"), FIRST, false));
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    assert!(!told.iter().any(|message| matches!(message, ToKeeper::End(_))), "{told:?}");
}

#[test]
fn a_user_who_agrees_is_taken_along_and_the_session_starts_again_there() {
    let mut desk = at_desk(2);
    order_move(&mut desk, false);
    assert_eq!(desk.answer(), None, "its user is asked first");
    let asked = desk.world.last(0, desk.link, question).expect("a question");
    assert!(asked.text.contains("host05") && asked.insert == 5, "{}", asked.text);
    assert_stays(&desk);
    consent(&mut desk, 5, true);
    assert!(desk.answer().expect("an answer").is_ok());
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    assert!(matches!(told.as_slice(), [ToKeeper::End(_)]), "{told:?}");
    let (session, epoch, text) = (desk.session, FIRST, "It goes on elsewhere.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: true });
    let ended = |message: &ToDtu| matches!(message, ToDtu::SessionEnded(_)).then_some(());
    assert_eq!(desk.world.last(0, desk.link, ended), None, "it is not over for its user");

    let sent = desk.world.last(0, desk.link, redirect).expect("sent on");
    assert_eq!((sent.to.name, sent.plan), (name("host05"), RedirectPlan::Takeover));
    let link = desk.world.connect(1, 1);
    let (cause, ticket) = (Cause::Redirect, Some(sent.ticket));
    desk.world.say(1, link, Insert { cause, ticket, redirects: 1, ..insert(5) });
    desk.world.run_ms(500);
    let attached = desk.world.last(1, link, attach).expect("attached");
    assert_eq!((attached.session, attached.origin), (session, Origin::TakenOver));
    let row = desk.world.only_row();
    assert!(row.owner == name("host05") && row.epoch > FIRST && row.endpoint.is_some());
    assert_eq!(desk.world.store.copies.len(), 0, "nothing is left behind");
}

#[test]
fn a_user_who_does_not_agree_keeps_the_session() {
    let mut desk = at_desk(2);
    order_move(&mut desk, false);
    consent(&mut desk, 5, false);
    assert!(refused(&desk).contains("does not agree"));
    // The question is answered, once and for all.
    consent(&mut desk, 5, true);
    assert_stays(&desk);
}

#[test]
fn a_user_who_gives_no_answer_keeps_the_session() {
    let mut desk = at_desk(2);
    order_move(&mut desk, false);
    desk.world.run_ms(59_000);
    assert_eq!(desk.answer(), None);
    desk.world.run_ms(2_000);
    assert!(refused(&desk).contains("no answer"));
    consent(&mut desk, 5, true);
    assert_stays(&desk);
}

#[test]
fn nobody_agrees_for_another() {
    let mut desk = at_desk(2);
    order_move(&mut desk, false);
    let asked = desk.world.last(0, desk.link, question).expect("a question");
    let other = desk.world.connect(0, 8);
    let token = "soft.eve".parse().expect("a token");
    desk.world.insert(0, other, Insert { token, ..insert(5) });
    let rows = desk.world.store.sessions.len();
    let forged = Consent { insert: 5, question: asked.question, yes: true };
    desk.world.say(0, other, forged);
    assert_eq!((desk.answer(), rows), (None, 2));
    consent(&mut desk, 4, true);
    assert_eq!(desk.answer(), None, "an answer of another insert is none");
}

#[test]
fn a_session_that_nobody_sees_is_moved_only_by_force() {
    let mut desk = at_desk(2);
    desk.world.remove(0, desk.link, 5);
    order_move(&mut desk, false);
    assert!(refused(&desk).contains("--force"));
    assert_stays(&desk);
    order_move(&mut desk, true);
    assert!(desk.answer().expect("an answer").is_ok());
    let row = desk.world.only_row();
    assert_eq!((row.owner, row.epoch, row.endpoint), (name("host05"), Epoch(2), None));
    // Whoever inserts, wherever, is led there.
    let (session, epoch, text) = (desk.session, FIRST, "It goes on elsewhere.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: true });
    let link = desk.world.connect(1, 4);
    desk.world.insert(1, link, insert(9));
    desk.world.run_ms(500);
    let attached = desk.world.last(1, link, attach).expect("attached");
    assert_eq!((attached.session, attached.host), (session, name("host05")));
}

#[test]
fn a_session_is_not_moved_to_a_server_that_is_not_up_nor_to_its_own() {
    let mut desk = at_desk(2);
    let session = desk.session;
    for force in [true, false] {
        for (to, why) in [("host21", "host21 is no server"), ("mud", "on mud already")] {
            desk.order(AdminOrder::Move { session, to: name(to), force });
            assert!(refused(&desk).contains(why));
        }
    }
    desk.world.tell(1, Event::Drain(true));
    desk.world.run_ms(3_000);
    order_move(&mut desk, true);
    assert!(refused(&desk).contains("host05 takes leave"));
    desk.world.servers[1].alive = false;
    desk.world.run_ms(9_000);
    for force in [true, false] {
        order_move(&mut desk, force);
        assert!(refused(&desk).contains("host05 is silent"));
    }
    assert_stays(&desk);
}

#[test]
fn a_session_stays_when_the_store_does_not_take_its_new_owner() {
    let mut desk = at_desk(2);
    desk.world.store_up = false;
    order_move(&mut desk, true);
    assert!(refused(&desk).contains("store"));
    assert_stays(&desk);
    // It is on the screen as before.
    assert_eq!(desk.world.last(0, desk.link, redirect), None);
}

#[test]
fn a_move_whose_acknowledgement_is_lost_leaves_a_copy_that_is_frozen_and_listed() {
    let mut desk = at_desk(2);
    desk.world.answers_lost = true;
    order_move(&mut desk, true);
    desk.world.answers_lost = false;
    assert!(refused(&desk).contains("store"));
    assert_eq!(desk.world.only_row().owner, name("host05"));
    desk.world.run_ms(6_000);
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    assert!(told.iter().any(|message| matches!(message, ToKeeper::Freeze(_))), "{told:?}");
    assert!(!told.iter().any(|message| matches!(message, ToKeeper::End(_))), "{told:?}");
    assert!(desk.world.store.copies.contains_key(&(desk.session, FIRST)));
}

#[test]
fn a_session_that_still_starts_is_neither_moved_nor_ended_by_an_administrator() {
    let mut desk = at_desk(2);
    desk.world.tell(1, Event::Drain(true));
    desk.world.starts_at_once = false;
    desk.world.say(0, desk.link, switch(6, Want::New));
    let session = desk.world.servers[0].started.last().expect("it starts").row.id;
    desk.order(AdminOrder::Move { session, to: name("host05"), force: true });
    assert!(refused(&desk).contains("still starts"));
    desk.order(AdminOrder::End { session, epoch: None });
    assert!(refused(&desk).contains("still starts"));
    desk.world.finish_start(Ok(7101));
    assert_eq!(desk.world.last(0, desk.link, attach).expect("attached").session, session);
    desk.world.tell(1, Event::Drain(false));
    desk.world.run_ms(3_000);
    desk.order(AdminOrder::Move { session, to: name("host05"), force: true });
    assert!(desk.answer().expect("an answer").is_ok());
}

#[test]
fn what_another_wants_to_be_moved_is_moved_when_its_owner_reads_it() {
    let mut desk = at_desk(2);
    let (session, epoch) = (desk.session, FIRST);
    let wish = Some(Wish::Move(name("host05")));
    let noted = StoreOperation::Wish { session, epoch, wish };
    desk.world.store.perform(&noted, 0);
    desk.world.run_ms(5_500);
    let row = desk.world.only_row();
    assert_eq!((row.owner, row.wish), (name("host05"), None));
    // A wish that cannot be is dropped, and not tried for ever.
    let mut desk = at_desk(1);
    let wish = Some(Wish::Move(name("host05")));
    let noted = StoreOperation::Wish { session: desk.session, epoch, wish };
    desk.world.store.perform(&noted, 0);
    desk.world.run_ms(5_500);
    assert_eq!(desk.world.only_row().wish, None);
    assert_stays(&desk);
}

#[test]
fn a_user_who_turns_to_another_session_is_not_led_along_with_the_one_that_moves() {
    let mut desk = at_desk(2);
    let first = desk.session;
    desk.world.tell(1, Event::Drain(true));
    let second = desk.start_another().session;
    desk.world.tell(1, Event::Drain(false));
    desk.world.run_ms(2_000);
    // The store takes its time about the switch, and the move is quicker.
    desk.world.hold_answers = true;
    desk.world.say(0, desk.link, switch(7, Want::Session(first)));
    desk.world.hold_answers = false;
    desk.order(AdminOrder::Move { session: second, to: name("host05"), force: true });
    assert!(desk.answer().expect("an answer").is_ok());
    assert_eq!(desk.world.last(0, desk.link, redirect), None);
    desk.world.let_answers_go();
    let attached = desk.world.last(0, desk.link, attach).expect("attached");
    assert_eq!((attached.insert, attached.session), (7, first));
}

#[test]
fn an_answer_from_before_a_session_moved_does_not_attach_to_what_has_ended() {
    let mut desk = at_desk(2);
    desk.world.keep_answers = true;
    desk.world.say(0, desk.link, switch(6, Want::Session(desk.session)));
    let kept = desk.world.asked(0, |asked| matches!(asked, StoreOperation::Connect { .. }));
    assert_eq!(kept, 1, "the store counted the connection, and its answer is late");
    desk.world.keep_answers = false;
    order_move(&mut desk, true);
    let (session, epoch, text) = (desk.session, FIRST, "It goes on elsewhere.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: true });
    desk.world.endpoints.clear();
    desk.world.give_answers();
    desk.world.run_ms(2_000);
    let newest = desk.world.last(0, desk.link, attach).expect("the first attachment");
    assert!(newest.insert == 5 || newest.epoch > FIRST, "{newest:?}");
}
