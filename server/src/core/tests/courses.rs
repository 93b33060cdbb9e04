//! Inserts that come to their ends.

use super::world::{World, ada, attach, insert, name, redirect, refusal};
use crate::core::Event;
use afterglow_wire::control::{Cause, Insert, Origin, RedirectPlan, ToDtu};
use afterglow_wire::ids::Epoch;
use afterglow_wire::local::ToKeeper;

#[test]
fn a_new_session_is_noted_started_and_attached_in_this_order() {
    let mut world = World::new(1);
    world.starts_at_once = false;
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    assert_eq!(world.only_row().endpoint, None);
    assert_eq!(world.last(0, link, attach), None);
    world.finish_start(Ok(7123));
    let attached = world.last(0, link, attach).expect("attached");
    assert_eq!((attached.origin, attached.endpoint.port()), (Origin::New, 7123));
    assert_eq!(world.only_row().endpoint, Some(attached.endpoint));
}

#[test]
fn a_start_goes_on_when_its_dtu_goes_and_the_next_insert_finds_it() {
    let mut world = World::new(1);
    world.starts_at_once = false;
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    world.tell(0, Event::LinkClosed { link });
    let other = world.connect(0, 2);
    world.insert(0, other, insert(9));
    world.finish_start(Ok(7100));
    assert_eq!(world.last(0, link, attach), None);
    let attached = world.last(0, other, attach).expect("attached");
    assert_eq!(attached.origin, Origin::Existing);
    assert_eq!(world.servers[0].started.len(), 1);
}

#[test]
fn a_start_that_fails_is_refused_and_leaves_nothing_behind() {
    let mut world = World::new(1);
    world.starts_at_once = false;
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    world.finish_start(Err("no Xvfb".into()));
    assert_eq!(world.last(0, link, refusal).expect("refused").text, "no Xvfb");
    assert!(world.only_row().ended && world.servers[0].core.table().is_empty());
    world.starts_at_once = true;
    world.insert(0, link, insert(6));
    assert!(world.last(0, link, attach).is_some());
}

#[test]
fn what_comes_for_an_insert_after_its_remove_is_not_told() {
    let mut world = World::new(1);
    world.starts_at_once = false;
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    world.remove(0, link, 5);
    world.finish_start(Ok(7100));
    assert_eq!(world.last(0, link, attach), None);
    // It runs, and the next insert gets it; its remove is told to the keeper.
    world.insert(0, link, insert(6));
    assert_eq!(world.last(0, link, attach).expect("attached").origin, Origin::Existing);
    world.remove(0, link, 6);
    let told = &world.servers[0].keepers_told;
    assert!(
        matches!(told.as_slice(), [(_, _, ToKeeper::Detach(detach))] if detach.insert == 6),
        "{told:?}"
    );
}

#[test]
fn a_session_elsewhere_is_found_and_redirected_to_without_a_second_challenge() {
    let mut world = World::new(3);
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    let home = match world.last(0, link, redirect) {
        None => 0,
        Some(sent) => {
            let index = if sent.to.name == name("host05") { 1 } else { 2 };
            let there = world.connect(index, 1);
            let (cause, ticket) = (Cause::Redirect, Some(sent.ticket));
            world.say(index, there, Insert { cause, ticket, ..insert(5) });
            index
        }
    };
    assert_eq!(world.servers[home].core.table().len(), 1);
    // From each other server the session is found by tokenQ and tokenR.
    for index in (0..3).filter(|index| *index != home) {
        let link = world.connect(index, 2);
        world.insert(index, link, insert(7));
        let sent = world.last(index, link, redirect).expect("redirected");
        assert_eq!(sent.plan, RedirectPlan::Existing);
        let there = world.connect(home, 2);
        let again =
            Insert { cause: Cause::Redirect, ticket: Some(sent.ticket), redirects: 1, ..insert(7) };
        world.say(home, there, again);
        let attached = world.last(home, there, attach).expect("attached");
        assert_eq!((attached.origin, attached.epoch), (Origin::Existing, Epoch::FIRST));
    }
    assert_eq!(world.store.sessions.len(), 1);
    assert!(world.store.sessions.values().all(|row| row.token == ada()));
}

#[test]
fn a_server_that_takes_leave_keeps_what_it_has_and_starts_nothing() {
    let mut world = World::new(2);
    world.tell(0, Event::Drain(true));
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    let sent = world.last(0, link, redirect).expect("redirected");
    assert_eq!((sent.to.name.clone(), sent.plan), (name("host05"), RedirectPlan::New));
    // The other one chooses itself, and not the one that takes leave.
    for number in 1..4 {
        let other = world.connect(1, 10 + number);
        let token = format!("soft.user{number}").parse().expect("a token");
        let insert = Insert { token, ..insert(u64::from(number)) };
        world.insert(1, other, insert);
        assert_eq!(world.last(1, other, redirect), None);
    }
    assert_eq!(world.servers[1].core.table().len(), 3);
    // Alone and taking leave, it says so.
    world.servers[1].alive = false;
    world.run_ms(10_000);
    world.insert(0, link, insert(6));
    assert!(world.last(0, link, refusal).expect("refused").text.contains("no more sessions"));
}

#[test]
fn without_the_store_nothing_is_started_until_it_is_back() {
    let mut world = World::new(1);
    world.store_up = false;
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    world.run_ms(5_000);
    assert_eq!(world.last(0, link, attach), None);
    world.store_up = true;
    world.run_ms(1_500);
    assert!(world.last(0, link, attach).is_some());
}

#[test]
fn every_link_hears_that_the_server_lives_and_a_second_link_replaces_the_first() {
    let mut world = World::new(1);
    let link = world.connect(0, 1);
    world.run_ms(1_050);
    let alive = |message: &&ToDtu| matches!(message, ToDtu::Alive(_));
    assert_eq!(world.servers[0].told[&link].iter().filter(alive).count(), 10);
    let again = world.connect(0, 1);
    world.run_ms(1_000);
    assert_eq!(world.servers[0].told[&link].iter().filter(alive).count(), 10);
    assert!(world.servers[0].told[&again].iter().filter(alive).count() >= 9);
}
