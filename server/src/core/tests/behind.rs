//! A store that lost data: it knows less than the servers, and is not believed
//! about losses until it has its data again.

use super::desk::{Desk, FIRST, set_aside};
use super::world::{attach, insert, name, refusal};
use crate::core::{Event, Level};
use crate::store::model::StoreModel;
use afterglow_wire::control::{Insert, RefusalCode};
use afterglow_wire::ids::Epoch;

/// Ada's session runs on the second server in epoch 2, and the store is as it
/// was before: it says epoch 1, on the first. Gives the store as it should be.
fn gone_back() -> (Desk, StoreModel) {
    let mut desk = set_aside();
    let whole = desk.world.store.clone();
    let mut before = whole.clone();
    let row = before.sessions.get_mut(&desk.session).expect("a row");
    (row.epoch, row.owner) = (FIRST, name("mud"));
    before.copies.clear();
    desk.world.store = before;
    desk.world.run_ms(5_500);
    (desk, whole)
}

/// Eve's session was on the third server, which is lost.
fn eve_waits(desk: &mut Desk, number: u64) -> u64 {
    let link = desk.world.connect(1, 40 + number as u8);
    let token = "soft.eve".parse().expect("a token");
    desk.world.insert(1, link, Insert { token, ..insert(number) });
    desk.world.run_ms(20_000);
    link
}

fn with_eves_session(desk: &mut Desk) {
    let mut row = desk.world.store.sessions[&desk.session].clone();
    row.id = afterglow_wire::ids::SessionId([8; 16]);
    row.token = "soft.eve".parse().expect("a token");
    (row.owner, row.endpoint, row.epoch) = (name("host21"), None, FIRST);
    desk.world.store.sessions.insert(row.id, row);
}

#[test]
fn a_store_that_knows_less_is_reported_once_and_nothing_is_taken_over_on_its_word() {
    let (mut desk, _) = gone_back();
    let trouble = desk.world.servers[1].core.store_trouble().expect("trouble");
    assert!(trouble.contains("lost data") && trouble.contains("epoch 2"), "{trouble}");
    desk.world.run_ms(20_000);
    let lines = desk.world.logged(1, "lost data");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].0, Level::Error);
    with_eves_session(&mut desk);
    let link = eve_waits(&mut desk, 1);
    let refused = desk.world.last(1, link, refusal).expect("refused");
    assert_eq!(refused.code, RefusalCode::StoreUnavailable);
    assert!(refused.text.contains("lost data"), "{}", refused.text);
    assert_eq!(desk.world.last(1, link, attach), None);
}

#[test]
fn what_runs_goes_on_while_the_store_is_behind() {
    let (mut desk, _) = gone_back();
    let link = desk.world.connect(1, 5);
    desk.world.insert(1, link, insert(9));
    let attached = desk.world.last(1, link, attach).expect("attached");
    assert_eq!((attached.session, attached.epoch), (desk.session, Epoch(2)));
}

#[test]
fn once_the_store_has_its_data_again_sessions_are_taken_over_again() {
    let (mut desk, whole) = gone_back();
    desk.world.store = whole;
    desk.world.run_ms(5_500);
    assert_eq!(desk.world.servers[1].core.store_trouble(), None);
    with_eves_session(&mut desk);
    let link = eve_waits(&mut desk, 1);
    let attached = desk.world.last(1, link, attach).expect("attached");
    assert_eq!(attached.epoch, Epoch(2));
}

#[test]
fn a_store_is_looked_at_again_although_the_copy_that_showed_its_loss_is_over() {
    let (mut desk, whole) = gone_back();
    let (session, epoch, text) = (desk.session, Epoch(2), "The user logged out.".into());
    desk.world.tell(1, Event::KeeperEnded { session, epoch, text, by_itself: true });
    desk.world.run_ms(6_000);
    assert!(desk.world.servers[1].core.store_trouble().is_some());
    desk.world.store = whole;
    desk.world.run_ms(6_000);
    assert_eq!(desk.world.servers[1].core.store_trouble(), None);
}
