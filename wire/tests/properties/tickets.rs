//! Tickets: which are accepted, and which are refused, and why.

use crate::messages::group_key;
use afterglow_wire::codec::{Reader, Wire};
use afterglow_wire::ids::{DtuId, Epoch, SessionId};
use afterglow_wire::limits::TICKET_BYTES_MAX;
use afterglow_wire::ticket::*;
use afterglow_wire::trust::GroupKey;
use bytes::BytesMut;
use proptest::prelude::*;

const NOW_MS: u64 = 1_000_000;
const BEARER: DtuId = DtuId([3; 32]);

fn a_ticket(permit: Permit, ends_ms: u64) -> Ticket {
    Ticket {
        permit,
        issuer: "mud".parse().expect("a name"),
        ends_ms,
        nonce: [9; 16],
        dtu: BEARER,
        token: "soft.ada".parse().expect("a token"),
        session: SessionId([1; 16]),
        epoch: Epoch(2),
        insert: 4,
        connection: 5,
    }
}

fn open(ticket: &Ticket, now_ms: u64, ahead_ms: i64) -> Result<Ticket, TicketError> {
    let signer = group_key().ticket_signer();
    ticket.seal(&signer).open(&signer.verifier(), BEARER, now_ms, |_| ahead_ms)
}

#[test]
fn a_good_ticket_gives_its_fields() {
    let ticket = a_ticket(Permit::Attach, NOW_MS + SHORT_LIFE_MS);
    assert_eq!(open(&ticket, NOW_MS, 0), Ok(ticket));
}

#[test]
fn a_ticket_of_another_group_is_forged() {
    let theirs = GroupKey::from_file_content(&[8; 32]).expect("32 bytes").ticket_signer();
    let sealed = a_ticket(Permit::Attach, NOW_MS + 1).seal(&theirs);
    let ours = group_key().ticket_signer().verifier();
    assert_eq!(sealed.open(&ours, BEARER, NOW_MS, |_| 0), Err(TicketError::Forged));
}

#[test]
fn a_changed_ticket_is_forged_wherever_it_was_changed() {
    let signer = group_key().ticket_signer();
    let mut bytes = BytesMut::new();
    a_ticket(Permit::Attach, NOW_MS + 1).seal(&signer).put(&mut bytes);
    for at in 4..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let sealed = SealedTicket::get(&mut Reader::new(changed.freeze())).expect("bytes");
        let opened = sealed.open(&signer.verifier(), BEARER, NOW_MS, |_| 0);
        assert_eq!(opened, Err(TicketError::Forged), "byte {at}");
    }
}

#[test]
fn a_ticket_ends_when_it_says() {
    let ticket = a_ticket(Permit::Attach, NOW_MS);
    assert!(open(&ticket, NOW_MS - 1, 0).is_ok());
    assert_eq!(open(&ticket, NOW_MS, 0), Err(TicketError::Expired));
    assert_eq!(open(&a_ticket(Permit::Resume, 0), NOW_MS, 0), Err(TicketError::Expired));
}

#[test]
fn an_issuers_clock_is_corrected() {
    // The issuer is 30 s ahead: its ticket would seem to be from the future.
    let ticket = a_ticket(Permit::Attach, NOW_MS + 30_000 + SHORT_LIFE_MS);
    assert_eq!(open(&ticket, NOW_MS, 0), Err(TicketError::FromTheFuture));
    assert!(open(&ticket, NOW_MS, 30_000).is_ok());
    // The issuer is 30 s behind: its ticket would seem to be over.
    let ticket = a_ticket(Permit::Attach, NOW_MS - 30_000 + SHORT_LIFE_MS);
    assert_eq!(open(&ticket, NOW_MS, 0), Err(TicketError::Expired));
    assert!(open(&ticket, NOW_MS, -30_000).is_ok());
}

#[test]
fn no_kind_of_ticket_is_good_for_longer_than_its_life() {
    let to = "host05".parse().expect("a name");
    for (permit, life_ms) in [
        (Permit::Attach, SHORT_LIFE_MS),
        (Permit::Redirect { to, plan: Plan::New }, SHORT_LIFE_MS),
        (Permit::Resume, RESUME_LIFE_MS),
    ] {
        let latest_ms = NOW_MS + life_ms + CLOCK_SLACK_MS;
        assert!(open(&a_ticket(permit.clone(), latest_ms), NOW_MS, 0).is_ok());
        let later = a_ticket(permit, latest_ms + 1);
        assert_eq!(open(&later, NOW_MS, 0), Err(TicketError::FromTheFuture));
    }
    let forever = a_ticket(Permit::Resume, u64::MAX);
    assert_eq!(open(&forever, NOW_MS, i64::MIN + 1), Err(TicketError::FromTheFuture));
}

#[test]
fn only_its_own_dtu_may_carry_it() {
    let signer = group_key().ticket_signer();
    let sealed = a_ticket(Permit::Resume, NOW_MS + 1).seal(&signer);
    let opened = sealed.open(&signer.verifier(), DtuId([4; 32]), NOW_MS, |_| 0);
    assert_eq!(opened, Err(TicketError::OtherDtu));
}

#[test]
fn a_ticket_of_a_single_use_is_used_once() {
    let mut used = UsedTickets::new(8);
    assert!(used.take([1; 16], NOW_MS));
    assert!(!used.take([1; 16], NOW_MS));
    assert!(used.take([2; 16], NOW_MS));
    // As long as it could still be accepted somewhere, it is remembered.
    let last_ms = NOW_MS + SHORT_LIFE_MS + CLOCK_SLACK_MS - 1;
    assert!(!used.take([1; 16], last_ms));
}

#[test]
fn the_memory_of_used_tickets_is_bounded_and_never_forgets_too_early() {
    let mut used = UsedTickets::new(3);
    for nonce in 0..3 {
        assert!(used.take([nonce; 16], NOW_MS));
    }
    assert!(!used.take([9; 16], NOW_MS), "there is no room to remember it");
    assert!(!used.take([0; 16], NOW_MS), "it was used");
    assert!(used.take([9; 16], NOW_MS + SHORT_LIFE_MS + CLOCK_SLACK_MS));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_ticket_fits_and_keeps_its_fields(ticket in crate::messages::ticket()) {
        let signer = group_key().ticket_signer();
        let mut bytes = BytesMut::new();
        ticket.seal(&signer).put(&mut bytes);
        prop_assert!(bytes.len() <= 4 + TICKET_BYTES_MAX);
        let sealed = SealedTicket::get(&mut Reader::new(bytes.freeze())).expect("fits");
        let now_ms = ticket.ends_ms.saturating_sub(1);
        prop_assume!(now_ms < ticket.ends_ms);
        prop_assert_eq!(sealed.open(&signer.verifier(), ticket.dtu, now_ms, |_| 0), Ok(ticket));
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..TICKET_BYTES_MAX)) {
        let mut framed = BytesMut::new();
        afterglow_wire::codec::put_bytes(&mut framed, &bytes);
        let sealed = SealedTicket::get(&mut Reader::new(framed.freeze())).expect("bytes");
        let verifier = group_key().ticket_signer().verifier();
        prop_assert_eq!(sealed.open(&verifier, BEARER, NOW_MS, |_| 0), Err(TicketError::Forged));
    }
}
