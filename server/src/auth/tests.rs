//! Every way in, and every way to be turned away.

use super::*;
use afterglow_wire::ids::{Epoch, SessionId, Size};
use afterglow_wire::ticket::{Plan, SHORT_LIFE_MS};
use afterglow_wire::trust::{GroupKey, TicketSigner};

const DTU: DtuId = DtuId([1; 32]);
const OTHER: DtuId = DtuId([2; 32]);
const NOW: Now = Now { steady_ms: 1_000, wall_ms: 1_000_000 };

fn signer() -> TicketSigner {
    GroupKey::from_file_content(&[7; 32]).expect("32 bytes").ticket_signer()
}

fn manager() -> Authentication {
    let name = "mud".parse().expect("a name");
    Authentication::new(name, Policy::Open, Guards::ALL, signer().verifier())
}

fn insert(token: &str, cause: Cause) -> Insert {
    Insert {
        insert: 5,
        token: token.parse().expect("a token"),
        want: afterglow_wire::sessions::Want::Last,
        cause,
        ticket: None,
        unreachable: Default::default(),
        redirects: 0,
        showing: None,
        screen: Size::new(800, 600).expect("a size"),
        keymap: Default::default(),
    }
}

fn ticket(permit: Permit) -> Ticket {
    let life_ms = if permit == Permit::Resume { RESUME_LIFE_MS } else { SHORT_LIFE_MS };
    Ticket {
        permit,
        issuer: "host05".parse().expect("a name"),
        ends_ms: NOW.wall_ms + life_ms,
        nonce: [9; 16],
        dtu: DTU,
        token: "soft.ada".parse().expect("a token"),
        session: SessionId([3; 16]),
        epoch: Epoch(1),
        insert: 5,
        connection: 4,
    }
}

fn redirect_to(server: &str) -> Permit {
    Permit::Redirect { to: server.parse().expect("a name"), plan: Plan::Existing }
}

fn try_insert(
    manager: &mut Authentication,
    dtu: DtuId,
    cause: Cause,
    ticket: Option<Ticket>,
    now: Now,
) -> Result<Verdict, AuthError> {
    let mut insert = insert("soft.ada", cause);
    insert.ticket = ticket.map(|ticket| ticket.seal(&signer()));
    manager.insert(1, dtu, insert, [8; 32], now, |_| 0)
}

fn answer(nonce: u8, token: &str) -> ChallengeAnswer {
    let token = token.parse().expect("a token");
    ChallengeAnswer { insert: 5, nonce: [nonce; 32], token }
}

#[test]
fn a_token_without_a_ticket_is_challenged_and_let_in_once() {
    let mut manager = manager();
    let verdict = try_insert(&mut manager, DTU, Cause::Insert, None, NOW);
    assert_eq!(verdict, Ok(Verdict::Challenge));
    let admitted = manager.answer(1, &answer(8, "soft.ada"), NOW).expect("right");
    assert_eq!(admitted.proof, Proof::Challenge);
    let again = manager.answer(1, &answer(8, "soft.ada"), NOW);
    assert_eq!(again, Err(AuthError::NoChallenge));
}

#[test]
fn a_wrong_answer_ends_the_challenge() {
    for wrong in [answer(7, "soft.ada"), answer(8, "soft.eve")] {
        let mut manager = manager();
        try_insert(&mut manager, DTU, Cause::Insert, None, NOW).expect("a challenge");
        assert_eq!(manager.answer(1, &wrong, NOW), Err(AuthError::WrongAnswer));
        let late = manager.answer(1, &answer(8, "soft.ada"), NOW);
        assert_eq!(late, Err(AuthError::NoChallenge));
    }
}

#[test]
fn a_challenge_belongs_to_its_link_and_ends_in_time_and_with_the_token() {
    let mut manager = manager();
    let late = Now { steady_ms: NOW.steady_ms + CHALLENGE_MS, ..NOW };
    let right = answer(8, "soft.ada");
    try_insert(&mut manager, DTU, Cause::Insert, None, NOW).expect("a challenge");
    assert_eq!(manager.answer(2, &right, NOW), Err(AuthError::NoChallenge));
    assert_eq!(manager.answer(1, &right, late), Err(AuthError::NoChallenge));
    try_insert(&mut manager, DTU, Cause::Insert, None, NOW).expect("a challenge");
    manager.remove(1, DTU, 5, NOW);
    assert_eq!(manager.answer(1, &right, NOW), Err(AuthError::NoChallenge));
}

#[test]
fn a_pseudo_token_is_the_links_own_key_or_nothing() {
    let mut manager = manager();
    let own = insert(Token::pseudo(DTU).as_str(), Cause::Insert);
    let verdict = manager.insert(1, DTU, own.clone(), [8; 32], NOW, |_| 0);
    assert_eq!(verdict, Ok(Verdict::Challenge));
    let verdict = manager.insert(1, OTHER, own, [8; 32], NOW, |_| 0);
    assert_eq!(verdict, Err(AuthError::OtherPseudo));
    let piv = insert("piv.x", Cause::Insert);
    let verdict = manager.insert(1, DTU, piv, [8; 32], NOW, |_| 0);
    assert_eq!(verdict, Err(AuthError::CannotCheck));
}

#[test]
fn a_redirect_ticket_lets_its_dtu_in_here_once() {
    let mut manager = manager();
    let good = ticket(redirect_to("mud"));
    let verdict = try_insert(&mut manager, DTU, Cause::Redirect, Some(good.clone()), NOW);
    let Ok(Verdict::Admit(admitted)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(admitted.proof, Proof::Redirect(good.clone()));
    let again = try_insert(&mut manager, DTU, Cause::Redirect, Some(good), NOW);
    assert_eq!(again, Err(AuthError::RedirectTicket("it was used before")));
}

#[test]
fn a_redirect_without_its_right_ticket_is_refused() {
    let mut other_insert = ticket(redirect_to("mud"));
    other_insert.insert = 4;
    let mut other_token = ticket(redirect_to("mud"));
    other_token.token = "soft.eve".parse().expect("a token");
    let cases = [
        (DTU, None),
        (DTU, Some(ticket(redirect_to("host21")))),
        (DTU, Some(ticket(Permit::Resume))),
        (DTU, Some(ticket(Permit::Attach))),
        (OTHER, Some(ticket(redirect_to("mud")))),
        (DTU, Some(other_insert)),
        (DTU, Some(other_token)),
    ];
    for (dtu, ticket) in cases {
        let verdict = try_insert(&mut manager(), dtu, Cause::Redirect, ticket.clone(), NOW);
        assert!(matches!(verdict, Err(AuthError::RedirectTicket(_))), "{ticket:?}: {verdict:?}");
    }
    let late = Now { wall_ms: NOW.wall_ms + SHORT_LIFE_MS, ..NOW };
    let ticket = Some(ticket(redirect_to("mud")));
    let verdict = try_insert(&mut manager(), DTU, Cause::Redirect, ticket, late);
    assert!(matches!(verdict, Err(AuthError::RedirectTicket(_))), "{verdict:?}");
}

#[test]
fn a_resume_ticket_spares_the_challenge_until_the_token_is_removed() {
    let mut manager = manager();
    let resume = ticket(Permit::Resume);
    for _ in 0..2 {
        let verdict = try_insert(&mut manager, DTU, Cause::Failover, Some(resume.clone()), NOW);
        assert!(matches!(verdict, Ok(Verdict::Admit(_))), "{verdict:?}");
    }
    manager.remove(1, DTU, 5, NOW);
    let verdict = try_insert(&mut manager, DTU, Cause::Failover, Some(resume), NOW);
    assert_eq!(verdict, Err(AuthError::Removed));
    let mut newer = ticket(Permit::Resume);
    newer.insert = 6;
    let mut insert = insert("soft.ada", Cause::Failover);
    (insert.insert, insert.ticket) = (6, Some(newer.seal(&signer())));
    let verdict = manager.insert(1, DTU, insert, [8; 32], NOW, |_| 0);
    assert!(matches!(verdict, Ok(Verdict::Admit(_))), "{verdict:?}");
}

#[test]
fn a_resume_ticket_that_is_no_good_spares_nothing() {
    let late = Now { wall_ms: NOW.wall_ms + RESUME_LIFE_MS, ..NOW };
    for (dtu, now) in [(OTHER, NOW), (DTU, late)] {
        let ticket = Some(ticket(Permit::Resume));
        let verdict = try_insert(&mut manager(), dtu, Cause::Failover, ticket, now);
        assert_eq!(verdict, Ok(Verdict::Challenge));
    }
}

#[test]
fn the_memory_of_removes_is_bounded_and_keeps_the_newest() {
    let mut manager = manager();
    for i in 0..REMOVED_MAX as u64 + 100 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&i.to_be_bytes());
        let now = Now { steady_ms: NOW.steady_ms + i, ..NOW };
        manager.remove(1, DtuId(id), 1, now);
        assert!(manager.is_removed(DtuId(id), 1));
        assert!(manager.removed.len() <= REMOVED_MAX);
    }
}
