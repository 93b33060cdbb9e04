//! A user picks another of the token's sessions, or wants one more.

use super::desk::{FIRST, at_desk, switch};
use super::world::{attach, failover, insert, name, redirect, refusal};
use crate::core::Event;
use afterglow_wire::control::{Cause, Insert, Origin, RedirectPlan, RefusalCode, ToDtu};
use afterglow_wire::ids::SessionId;
use afterglow_wire::limits::SESSIONS_MAX;
use afterglow_wire::sessions::Want;

fn challenged(message: &ToDtu) -> Option<u64> {
    match message {
        ToDtu::Challenge(challenge) => Some(challenge.insert),
        _ => None,
    }
}

#[test]
fn a_link_that_proved_the_token_switches_without_a_challenge() {
    let mut desk = at_desk(1);
    let first = desk.session;
    let second = desk.start_another();
    assert_eq!((second.insert, second.origin), (6, Origin::New));
    assert_ne!(second.session, first);
    desk.world.say(0, desk.link, switch(7, Want::Session(first)));
    let back = desk.world.last(0, desk.link, attach).expect("attached");
    assert_eq!((back.insert, back.session, back.origin), (7, first, Origin::Existing));
    assert_eq!(desk.world.last(0, desk.link, challenged), Some(5), "none but the first");
}

#[test]
fn a_switch_on_a_link_that_proved_nothing_or_another_token_is_challenged() {
    let mut desk = at_desk(1);
    let other = desk.world.connect(0, 2);
    desk.world.say(0, other, switch(3, Want::Session(desk.session)));
    assert_eq!(desk.world.last(0, other, challenged), Some(3));
    assert_eq!(desk.world.last(0, other, attach), None);
    let token = "soft.eve".parse().expect("a token");
    desk.world.say(0, desk.link, Insert { token, ..switch(6, Want::New) });
    assert_eq!(desk.world.last(0, desk.link, challenged), Some(6));
    // And a token that was taken out has proved nothing any more.
    let mut desk = at_desk(1);
    desk.world.remove(0, desk.link, 5);
    desk.world.say(0, desk.link, switch(6, Want::Session(desk.session)));
    assert_eq!(desk.world.last(0, desk.link, challenged), Some(6));
}

#[test]
fn the_session_that_was_connected_last_is_the_one_that_a_card_brings() {
    let mut desk = at_desk(1);
    let first = desk.session;
    let second = desk.start_another().session;
    desk.world.remove(0, desk.link, 6);
    desk.world.insert(0, desk.link, insert(7));
    assert_eq!(desk.world.last(0, desk.link, attach).expect("attached").session, second);
    desk.world.say(0, desk.link, switch(8, Want::Session(first)));
    desk.world.remove(0, desk.link, 8);
    desk.world.insert(0, desk.link, insert(9));
    assert_eq!(desk.world.last(0, desk.link, attach).expect("attached").session, first);
    assert_eq!(desk.world.store.sessions.len(), 2);
}

#[test]
fn a_session_that_is_over_or_another_tokens_is_refused_and_not_replaced() {
    let mut desk = at_desk(1);
    let other = desk.world.connect(0, 2);
    let token = "soft.eve".parse().expect("a token");
    let eves = Insert { token, ..insert(3) };
    desk.world.insert(0, other, eves);
    let hers = desk.world.last(0, other, attach).expect("attached").session;
    for (number, session) in [(6, SessionId([9; 16])), (7, hers)] {
        desk.world.say(0, desk.link, switch(number, Want::Session(session)));
        desk.world.run_ms(1_000);
        let refused = desk.world.last(0, desk.link, refusal).expect("refused");
        assert_eq!((refused.insert, refused.code), (number, RefusalCode::NotHere));
    }
    let attached = desk.world.last(0, desk.link, attach).expect("attached");
    assert_eq!((attached.insert, desk.world.store.sessions.len()), (5, 2));
}

#[test]
fn a_switch_to_a_session_elsewhere_is_redirected_and_attached_there() {
    let mut desk = at_desk(2);
    desk.world.tell(0, Event::Drain(true));
    desk.world.say(0, desk.link, switch(6, Want::New));
    let sent = desk.world.last(0, desk.link, redirect).expect("sent on");
    assert_eq!((sent.to.name.clone(), sent.plan), (name("host05"), RedirectPlan::New));
    let there = desk.world.connect(1, 1);
    let follow = |ticket, number, want| Insert {
        cause: Cause::Redirect,
        ticket: Some(ticket),
        redirects: 1,
        want,
        ..insert(number)
    };
    desk.world.say(1, there, follow(sent.ticket, 6, Want::New));
    let second = desk.world.last(1, there, attach).expect("attached");
    assert_eq!((second.insert, second.origin, second.host), (6, Origin::New, name("host05")));
    // And back again.
    desk.world.say(1, there, switch(7, Want::Session(desk.session)));
    let sent = desk.world.last(1, there, redirect).expect("sent back");
    assert_eq!((sent.to.name.clone(), sent.plan), (name("mud"), RedirectPlan::Existing));
    let here = desk.world.connect(0, 1);
    desk.world.say(0, here, follow(sent.ticket, 7, Want::Session(desk.session)));
    let attached = desk.world.last(0, here, attach).expect("attached");
    assert_eq!((attached.session, attached.epoch), (desk.session, FIRST));
    assert_eq!(desk.world.store.sessions.len(), 2);
}

#[test]
fn a_user_with_as_many_sessions_as_there_may_be_is_refused_one_more() {
    let mut desk = at_desk(1);
    let row = desk.world.only_row();
    for number in 1..SESSIONS_MAX {
        let row = crate::store::SessionRow { id: SessionId([number as u8; 16]), ..row.clone() };
        desk.world.store.sessions.insert(row.id, row);
    }
    desk.world.say(0, desk.link, switch(6, Want::New));
    let refused = desk.world.last(0, desk.link, refusal).expect("refused");
    assert_eq!(refused.code, RefusalCode::Full);
    assert_eq!(desk.world.store.sessions.len(), SESSIONS_MAX);
}

#[test]
fn one_more_whose_acknowledgement_is_lost_is_one_more_and_not_two() {
    let mut desk = at_desk(1);
    desk.world.hold_answers = true;
    desk.world.say(0, desk.link, switch(6, Want::New));
    desk.world.answer_read();
    desk.world.answers_lost = true;
    desk.world.let_answers_go();
    desk.world.answers_lost = false;
    desk.world.run_ms(3_000);
    assert_eq!(desk.world.last(0, desk.link, attach).expect("attached").insert, 6);
    assert_eq!(desk.world.store.sessions.len(), 2);
}

#[test]
fn a_chosen_session_whose_host_is_lost_is_taken_over_by_whoever_had_it() {
    let mut desk = at_desk(2);
    desk.world.tell(1, Event::Drain(true));
    let second = desk.start_another();
    desk.world.tell(1, Event::Drain(false));
    desk.world.servers[0].alive = false;
    desk.world.endpoints.clear();
    let link = desk.world.connect(1, 1);
    let lost = Insert {
        want: Want::Session(second.session),
        ..failover(6, "mud", None, Some(&second.resume))
    };
    desk.world.insert(1, link, lost);
    desk.world.run_ms(2_000);
    let attached = desk.world.last(1, link, attach).expect("attached");
    assert_eq!((attached.session, attached.origin), (second.session, Origin::TakenOver));
    assert_eq!(desk.world.store.sessions[&desk.session].epoch, FIRST, "the other one waits");
}
