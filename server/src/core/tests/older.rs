//! What becomes of a copy whose session was taken over elsewhere.

use super::desk::{Desk, FIRST, healed, notice, set_aside, sit_down};
use super::world::{World, ada, attach, insert, name, redirect, service, stands, status};
use crate::core::{AdminOrder, Event, Level, StoreOperation};
use crate::store::Wish;
use afterglow_wire::control::RedirectPlan;
use afterglow_wire::ids::{DtuId, Epoch, SessionId};
use afterglow_wire::limits::SESSIONS_MAX;
use afterglow_wire::local::{Status, ToKeeper};
use afterglow_wire::sessions::{Manage, SessionOrder};

fn freezes(desk: &Desk) -> usize {
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    told.iter().filter(|message| matches!(message, ToKeeper::Freeze(_))).count()
}

fn ends(desk: &Desk) -> usize {
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    told.iter().filter(|message| matches!(message, ToKeeper::End(_))).count()
}

fn frozen(desk: &Desk) -> Status {
    Status { frozen: true, ..status(desk.session, FIRST) }
}

/// The keeper of an earlier copy says that it is frozen.
fn is_frozen(desk: &mut Desk) {
    let said = frozen(desk);
    desk.world.tell(0, Event::KeeperStatus(said));
}

/// What the earlier copy was adopted as, after its keeper said so.
fn adopted(desk: &mut Desk) -> SessionId {
    let mut adopted = desk.world.servers[0].adopted.clone();
    // It is said until the keeper has heard it.
    adopted.dedup();
    let [(session, epoch, becomes)] = adopted.as_slice() else { panic!("{adopted:?}") };
    assert_eq!((*session, *epoch), (desk.session, FIRST));
    let services = [stands("mail", true), stands("music", false)].into_iter().collect();
    let said = Status { services, ..status(*becomes, FIRST) };
    desk.world.tell(0, Event::KeeperStatus(said));
    *becomes
}

#[test]
fn a_copy_that_was_taken_over_is_told_to_freeze_until_it_says_that_it_is_frozen() {
    let mut desk = healed();
    assert_eq!(freezes(&desk), 0);
    for _ in 0..60 {
        desk.world.run_ms(if freezes(&desk) == 0 { 100 } else { 0 });
    }
    assert_eq!(freezes(&desk), 1);
    // Its keeper did not hear it.
    desk.world.run_ms(2_500);
    assert_eq!(freezes(&desk), 2);
    is_frozen(&mut desk);
    desk.world.run_ms(10_000);
    assert_eq!(freezes(&desk), 2);
    assert_eq!(ends(&desk), 0, "it is never killed");
    assert!(desk.world.logged(0, "frozen").iter().any(|(level, _)| *level == Level::Warn));
}

#[test]
fn a_copy_is_told_to_freeze_again_while_the_store_is_away() {
    let mut desk = healed();
    desk.world.run_ms(5_500);
    desk.world.store_up = false;
    let before = freezes(&desk);
    desk.world.run_ms(4_500);
    assert!(freezes(&desk) >= before + 2);
}

#[test]
fn a_copy_is_noted_in_the_store_again_until_that_has_it() {
    let mut desk = healed();
    desk.world.run_ms(2_000);
    let link = desk.world.connect(1, 7);
    // A peer says it, while the store is away.
    desk.world.store_up = false;
    desk.world.run_ms(4_000);
    desk.world.store_up = true;
    desk.world.run_ms(5_500);
    let key = (desk.session, FIRST);
    let row = desk.world.store.copies.get(&key).cloned().expect("it is listed");
    assert_eq!((row.owner, row.token, row.wish), (name("mud"), ada(), None));
    desk.world.store.copies.remove(&key);
    desk.world.run_ms(2_500);
    assert!(desk.world.store.copies.contains_key(&key), "listed again");
    desk.world.tell(1, Event::LinkClosed { link });
}

#[test]
fn a_copy_that_is_over_is_forgotten() {
    let mut desk = set_aside();
    assert_eq!(desk.world.store.copies.len(), 1);
    let (session, epoch, text) = (desk.session, FIRST, "It is over.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: true });
    assert_eq!(desk.world.store.copies.len(), 0);
    assert!(!desk.world.only_row().ended, "the session itself goes on");
    desk.world.run_ms(10_000);
    assert_eq!(desk.world.store.copies.len(), 0);
}

#[test]
fn what_is_listed_of_a_host_that_has_no_such_copy_is_forgotten_when_its_server_starts() {
    let mut desk = set_aside();
    desk.world.restart(0);
    desk.world.run_ms(5_000);
    assert_eq!(desk.world.store.copies.len(), 0, "the host was lost, and its copies with it");
}

#[test]
fn an_earlier_copy_goes_on_as_a_session_of_its_own() {
    let mut desk = set_aside();
    let services = [stands("mail", true), stands("music", false)].into_iter().collect();
    let said = Status { services, ..frozen(&desk) };
    desk.world.tell(0, Event::KeeperStatus(said));
    let copy = (desk.session, FIRST);
    desk.manage(copy, SessionOrder::Continue);
    let becomes = adopted(&mut desk);
    let row = desk.world.store.sessions[&becomes].clone();
    assert_eq!((row.owner, row.epoch, row.token), (name("mud"), FIRST, ada()));
    assert_eq!(row.name, "Desktop (earlier copy)");
    assert_eq!(row.services, [service("mail")]);
    assert!(row.endpoint.is_some(), "the store knows where it is");
    assert_eq!(desk.world.store.copies.len(), 0, "it is no earlier copy any more");
    let table = desk.world.servers[0].core.table();
    assert!(table.get(desk.session, FIRST).is_none());
    assert!(table.get(becomes, FIRST).is_some_and(|known| !known.stale && known.verified));
    // The session that it was is where it was.
    assert_eq!(desk.world.store.sessions[&desk.session].owner, name("host05"));
    // And it is attached when it is chosen.
    desk.world.run_ms(3_000);
    let link = desk.world.connect(0, 4);
    let want = afterglow_wire::sessions::Want::Session(becomes);
    desk.world.insert(0, link, afterglow_wire::control::Insert { want, ..insert(3) });
    assert_eq!(desk.world.last(0, link, attach).expect("attached").session, becomes);
}

#[test]
fn an_earlier_copy_that_is_told_to_go_on_twice_becomes_one_session() {
    let mut desk = set_aside();
    let copy = (desk.session, FIRST);
    desk.world.hold_answers = true;
    desk.manage(copy, SessionOrder::Continue);
    desk.manage(copy, SessionOrder::Continue);
    desk.world.let_answers_go();
    desk.manage(copy, SessionOrder::Continue);
    assert_eq!(desk.world.servers[0].adopted.len(), 1);
    assert_eq!(desk.world.store.sessions.len(), 2);
}

#[test]
fn what_another_server_hears_about_an_earlier_copy_is_done_by_its_own() {
    for (order, wish) in [(SessionOrder::Continue, Wish::Continue), (SessionOrder::End, Wish::End)]
    {
        let mut desk = set_aside();
        is_frozen(&mut desk);
        let link = desk.world.connect(1, 3);
        desk.world.insert(1, link, insert(9));
        let (session, epoch) = (desk.session, FIRST);
        desk.world.say(1, link, Manage { insert: 9, session, epoch, order });
        let copy = &desk.world.store.copies[&(session, epoch)];
        assert_eq!(copy.wish, Some(wish.clone()));
        desk.world.run_ms(2_500);
        let continued = desk.world.servers[0].adopted.len();
        assert_eq!(
            (continued, ends(&desk).min(1)),
            match wish {
                Wish::Continue => (1, 0),
                _ => (0, 1),
            }
        );
    }
}

#[test]
fn an_administrator_lets_an_earlier_copy_go_on_or_ends_it() {
    let mut desk = set_aside();
    let (session, epoch) = (desk.session, FIRST);
    desk.order(AdminOrder::Continue { session, epoch });
    assert!(desk.answer().expect("an answer").is_ok());
    adopted(&mut desk);
    let mut desk = set_aside();
    let session = desk.session;
    desk.order(AdminOrder::End { session, epoch: Some(epoch) });
    assert_eq!(ends(&desk), 1);
}

#[test]
fn an_earlier_copy_stays_frozen_when_the_store_takes_no_more_sessions() {
    let mut desk = set_aside();
    let row = desk.world.only_row();
    for number in 1..SESSIONS_MAX {
        let row = crate::store::SessionRow { id: SessionId([number as u8; 16]), ..row.clone() };
        desk.world.store.sessions.insert(row.id, row);
    }
    desk.manage((desk.session, FIRST), SessionOrder::Continue);
    let key = (desk.session, FIRST);
    desk.world.store.copies.get_mut(&key).expect("is listed").wish = Some(Wish::Continue);
    desk.world.run_ms(20_000);
    assert_eq!(desk.world.servers[0].adopted, []);
    assert_eq!(desk.world.logged(0, "cannot go on").len(), 1, "said once, and tried again");
    assert!(desk.world.store.copies.contains_key(&(desk.session, FIRST)));
    assert_eq!(desk.world.store.sessions.len(), SESSIONS_MAX);
    // Its user ends another, and it goes on.
    desk.world.store.sessions.remove(&SessionId([1; 16]));
    desk.world.run_ms(2_500);
    adopted(&mut desk);
}

#[test]
fn a_copy_that_does_not_hear_that_it_goes_on_is_told_again() {
    let mut desk = set_aside();
    is_frozen(&mut desk);
    desk.manage((desk.session, FIRST), SessionOrder::Continue);
    desk.world.run_ms(4_500);
    let told = desk.world.servers[0].adopted.clone();
    assert!(told.len() >= 2 && told.iter().all(|one| *one == told[0]), "{told:?}");
    // It ends instead: then nothing is left of what it was to become.
    let (session, epoch, text) = (desk.session, FIRST, "It is over.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: false });
    assert!(desk.world.store.sessions[&told[0].2].ended);
    assert_eq!(desk.world.store.copies.len(), 0);
}

#[test]
fn an_earlier_copy_whose_new_row_was_stored_without_an_answer_becomes_one_session() {
    let mut desk = set_aside();
    is_frozen(&mut desk);
    let (session, epoch, wish) = (desk.session, FIRST, Wish::Continue);
    desk.world.hold_answers = true;
    desk.manage((session, epoch), SessionOrder::Continue);
    desk.world.answer_read();
    // The row is stored, and nobody hears of it.
    desk.world.answers_lost = true;
    desk.world.let_answers_go();
    desk.world.answers_lost = false;
    let key = (session, epoch);
    desk.world.store.copies.get_mut(&key).expect("is listed").wish = Some(wish);
    desk.world.run_ms(5_000);
    adopted(&mut desk);
    assert_eq!(desk.world.store.sessions.len(), 2, "one row for the copy, and not two");
}

#[test]
fn a_screen_that_shows_an_earlier_copy_is_led_to_the_session() {
    let mut desk = healed();
    let shown_on = Some(DtuId([1; 32]));
    let said = Status { shown_on, ..status(desk.session, FIRST) };
    desk.world.tell(0, Event::KeeperStatus(said));
    desk.world.run_ms(5_500);
    let told = desk.world.told_keeper(0, (desk.session, FIRST));
    assert!(matches!(told.as_slice(), [ToKeeper::Detach(_), ToKeeper::Freeze(_), ..]), "{told:?}");
    desk.world.insert(0, desk.link, insert(6));
    let sent = desk.world.last(0, desk.link, redirect).expect("sent on");
    assert_eq!((sent.to.name, sent.plan), (name("host05"), RedirectPlan::Existing));
}

#[test]
fn a_frozen_copy_that_a_server_finds_when_it_starts_is_an_earlier_one_and_its_wishes_are_read() {
    let mut desk = set_aside();
    is_frozen(&mut desk);
    let said = frozen(&desk);
    desk.world.restart(0);
    desk.world.tell(0, Event::KeeperFound(said));
    let key = (desk.session, FIRST);
    assert!(desk.world.servers[0].core.table().get(key.0, key.1).is_some_and(|copy| copy.stale));
    desk.world.run_ms(1_000);
    desk.world.store.copies.get_mut(&key).expect("still listed").wish = Some(Wish::Continue);
    desk.world.run_ms(4_500);
    adopted(&mut desk);
}

#[test]
fn an_older_copy_that_is_found_beside_a_newer_one_on_its_own_host_is_frozen() {
    let mut desk = sit_down(World::new(1), 1);
    let (session, epoch, text) = (desk.session, FIRST, "Its keeper is lost.".into());
    desk.world.tell(0, Event::KeeperEnded { session, epoch, text, by_itself: false });
    desk.world.endpoints.clear();
    desk.world.insert(0, desk.link, insert(6));
    desk.world.run_ms(3_000);
    assert_eq!(desk.world.last(0, desk.link, attach).expect("attached").epoch, Epoch(2));
    // The keeper was only out of reach.
    desk.world.tell(0, Event::KeeperFound(status(session, FIRST)));
    desk.world.run_ms(2_500);
    assert!(freezes(&desk) >= 1);
    assert!(desk.world.store.copies.contains_key(&(session, FIRST)));
}

#[test]
fn an_earlier_copy_ends_by_its_users_word_alone() {
    let mut desk = set_aside();
    is_frozen(&mut desk);
    desk.world.run_ms(60_000);
    desk.world.restart(1);
    desk.world.run_ms(20_000);
    assert_eq!(ends(&desk), 0);
    desk.manage((desk.session, FIRST), SessionOrder::End);
    assert_eq!(ends(&desk), 1);
    let asks_end = |operation: &StoreOperation| matches!(operation, StoreOperation::End { .. });
    assert_eq!(desk.world.asked(0, asks_end), 0, "the session itself is not ended");
    assert!(desk.world.last(0, desk.link, notice).is_none());
}
