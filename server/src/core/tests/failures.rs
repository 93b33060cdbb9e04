//! Servers and hosts that fall silent.

use super::world::{World, attach, failover, insert, name, redirect, refusal, status};
use crate::core::Event;
use afterglow_wire::control::{Origin, RefusalCode, Showing};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::ticket::SealedTicket;

/// Two servers, and ada's session on the first of them.
fn with_session() -> (World, SessionId, SealedTicket) {
    let mut world = World::new(2);
    world.tell(1, Event::Drain(true));
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    world.tell(1, Event::Drain(false));
    let attached = world.last(0, link, attach).expect("attached");
    assert_eq!(attached.host, name("mud"));
    world.endpoints.insert(attached.endpoint);
    world.run_ms(10_000);
    (world, attached.session, attached.resume)
}

#[test]
fn a_lost_host_is_taken_over_after_its_rounds_with_what_was_made_ready() {
    let (mut world, session, resume) = with_session();
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&resume)));
    // Ready, and not wanted yet.
    assert_eq!(world.servers[1].prepared, vec![(session, Epoch(2))]);
    assert!(world.servers[1].started.is_empty());
    let began_ms = world.now_ms;
    while world.last(1, link, attach).is_none() {
        world.run_ms(10);
        assert!(world.now_ms < began_ms + 2_000, "no take-over");
    }
    let took_ms = world.now_ms - began_ms;
    assert!((140..=170).contains(&took_ms), "three rounds on a quiet network: {took_ms} ms");
    let attached = world.last(1, link, attach).expect("attached");
    assert_eq!((attached.origin, attached.epoch), (Origin::TakenOver, Epoch(2)));
    assert!(world.servers[1].discarded.is_empty());
}

#[test]
fn who_comes_anew_waits_until_the_silent_host_counts_as_down() {
    let (mut world, session, _) = with_session();
    world.servers[0].alive = false;
    world.endpoints.clear();
    world.run_ms(1_000);
    let link = world.connect(1, 2);
    world.insert(1, link, insert(9));
    world.run_ms(3_000);
    assert_eq!(world.last(1, link, attach), None);
    assert_eq!(world.only_row().epoch, Epoch(1));
    world.run_ms(5_000);
    let attached = world.last(1, link, attach).expect("attached");
    assert_eq!((attached.session, attached.epoch), (session, Epoch(2)));
}

#[test]
fn who_inserts_without_end_is_sent_away() {
    let (mut world, ..) = with_session();
    let link = world.connect(0, 9);
    for number in 0..100 {
        world.insert(0, link, insert(number));
    }
    let [links, ..] = world.servers[0].core.table_sizes();
    assert_eq!(links, 1, "only the session's own DTU is left");
}

#[test]
fn what_was_made_ready_is_discarded_when_the_endpoint_answers_after_all() {
    let (mut world, session, resume) = with_session();
    world.servers[0].alive = false;
    let endpoints = std::mem::take(&mut world.endpoints);
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&resume)));
    world.run_ms(60);
    world.endpoints = endpoints;
    world.run_ms(100);
    let attached = world.last(1, link, attach).expect("attached");
    assert_eq!((attached.origin, attached.epoch), (Origin::Caretaken, Epoch(1)));
    world.run_ms(1_000);
    assert_eq!(world.servers[1].discarded, vec![(session, Epoch(2))]);
    assert_eq!(world.only_row().owner, name("mud"));
}

#[test]
fn what_was_made_ready_goes_with_the_link_that_it_was_for() {
    let (mut world, session, resume) = with_session();
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&resume)));
    world.tell(1, Event::LinkClosed { link });
    world.run_ms(900);
    assert!(world.servers[1].discarded.is_empty());
    world.run_ms(200);
    assert_eq!(world.servers[1].discarded, vec![(session, Epoch(2))]);
    assert_eq!(world.only_row().epoch, Epoch(1));
}

#[test]
fn what_was_made_ready_is_used_by_the_dtus_next_insert() {
    let (mut world, session, resume) = with_session();
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&resume)));
    world.run_ms(100);
    world.insert(1, link, failover(5, "mud", None, Some(&resume)));
    world.run_ms(3_000);
    assert_eq!(world.last(1, link, attach).expect("attached").epoch, Epoch(2));
    assert_eq!(world.servers[1].prepared, vec![(session, Epoch(2))]);
    assert!(world.servers[1].discarded.is_empty());
}

#[test]
fn a_session_that_its_dtu_shows_is_cared_for_and_goes_home_when_its_server_speaks_again() {
    let (mut world, session, resume) = with_session();
    world.servers[0].alive = false;
    let link = world.connect(1, 1);
    let showing = Some(Showing { session, epoch: Epoch(1) });
    world.insert(1, link, failover(5, "mud", showing, Some(&resume)));
    let attached = world.last(1, link, attach).expect("attached");
    assert_eq!((attached.origin, attached.host), (Origin::Caretaken, name("mud")));
    assert!(world.servers[1].prepared.is_empty());
    world.servers[0].alive = true;
    world.run_ms(3_000);
    let sent = world.last(1, link, redirect).expect("sent home");
    assert_eq!(sent.to.name, name("mud"));
}

#[test]
fn a_copy_that_was_found_running_is_stale_if_the_store_knows_a_higher_epoch() {
    let (mut world, session, resume) = with_session();
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&resume)));
    world.run_ms(2_000);
    assert_eq!(world.only_row().epoch, Epoch(2));
    world.servers[0].alive = true;
    let epoch = Epoch(1);
    world.tell(0, Event::KeeperFound(status(session, epoch)));
    assert!(world.servers[0].core.table().get(session, epoch).is_some_and(|copy| copy.stale));
    // Whoever inserts there is sent to the right copy.
    world.run_ms(3_000);
    let other = world.connect(0, 2);
    world.insert(0, other, insert(9));
    assert_eq!(world.last(0, other, redirect).expect("redirected").to.name, name("host05"));
}

#[test]
fn no_table_of_the_core_grows_with_inserts_that_lead_nowhere() {
    let (mut world, ..) = with_session();
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    for number in 6..400 {
        world.insert(1, link, failover(number, "mud", None, None));
        world.remove(1, link, number);
        world.run_ms(200);
    }
    world.run_ms(5_000);
    let [links, courses, starts, asked, questions, due] = world.servers[1].core.table_sizes();
    assert_eq!((links, courses, starts, asked, questions), (1, 0, 0, 0, 0));
    assert!(due <= 1, "{due}");
    assert_eq!(world.servers[1].prepared.len(), world.servers[1].discarded.len());
}

#[test]
fn a_keeper_that_is_found_while_its_session_is_being_taken_over_is_not_frozen_before_it_is() {
    let (mut world, session, _) = with_session();
    let text = "Its keeper is lost.".into();
    world.tell(0, Event::KeeperEnded { session, epoch: Epoch(1), text, by_itself: false });
    world.hold_answers = true;
    let link = world.connect(0, 1);
    world.insert(0, link, insert(6));
    for _ in 0..40 {
        if world.servers[0].core.table().get(session, Epoch(2)).is_some() {
            break;
        }
        world.answer_read();
        world.run_ms(100);
    }
    assert!(world.servers[0].core.table().get(session, Epoch(2)).is_some());
    world.tell(0, Event::KeeperFound(status(session, Epoch(1))));
    assert_eq!(world.only_row().epoch, Epoch(1));
    assert_eq!(world.told_keeper(0, (session, Epoch(1))), []);
}

#[test]
fn who_waits_for_a_silent_host_hears_where_its_session_is_by_now() {
    let (mut world, session, _) = with_session();
    let endpoint = world.only_row().endpoint;
    world.store.sessions.get_mut(&session).expect("a row").endpoint = None;
    world.servers[0].alive = false;
    let link = world.connect(1, 2);
    world.insert(1, link, insert(9));
    world.run_ms(1_000);
    world.store.sessions.get_mut(&session).expect("a row").endpoint = endpoint;
    world.run_ms(9_000);
    let attached = world.last(1, link, attach).expect("attached");
    assert_eq!((attached.origin, attached.epoch), (Origin::Caretaken, Epoch(1)));
}

#[test]
fn what_was_wanted_of_a_lost_host_is_over_when_the_session_is_taken_over() {
    let (mut world, session, resume) = with_session();
    world.servers[0].alive = false;
    world.endpoints.clear();
    let row = world.store.sessions.get_mut(&session).expect("a row");
    row.wish = Some(crate::store::Wish::End);
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&resume)));
    world.run_ms(10_000);
    assert_eq!((world.only_row().epoch, world.only_row().wish), (Epoch(2), None));
    assert_eq!(
        world.told_keeper(1, (session, Epoch(2))),
        [],
        "what its user works in is not ended"
    );
}

#[test]
fn a_corrupt_row_is_told_to_its_user_and_keeps_nobody_from_what_runs() {
    let (mut world, session, resume) = with_session();
    world.store_corrupt = true;
    // At its own server, and by way of the group.
    let link = world.connect(0, 2);
    world.insert(0, link, insert(7));
    assert_eq!(world.last(0, link, attach).expect("attached").session, session);
    let link = world.connect(1, 3);
    world.insert(1, link, insert(8));
    world.run_ms(1_000);
    assert_eq!(world.last(1, link, redirect).expect("sent on").to.name, name("mud"));
    // Once its host is lost there is no way around the store.
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    world.insert(1, link, failover(9, "mud", None, Some(&resume)));
    world.run_ms(9_000);
    let refused = world.last(1, link, refusal).expect("refused");
    assert_eq!(refused.code, RefusalCode::StoreUnavailable);
    assert!(refused.text.contains("session 03") && refused.text.contains("administrator"));
    assert!(world.servers[1].started.is_empty());
}
