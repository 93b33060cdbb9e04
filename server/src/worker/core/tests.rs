//! Who may attach and what is left behind, in whatever order things happen.

mod frames;

use super::*;
use afterglow_wire::control::Remove;
use afterglow_wire::display::{AttachDisplay, Attached, FrameShown, Probe};
use afterglow_wire::ids::ServerName;
use afterglow_wire::input::KeyAction;
use afterglow_wire::local::{ClockAhead, DetachDtu, End, Freeze};
use afterglow_wire::ticket::{Permit, SHORT_LIFE_MS, Ticket};
use afterglow_wire::trust::GroupKey;
use proptest::prelude::*;

pub(super) const NOW: Now = Now { steady_ms: 1_000, wall_ms: 1_700_000_000_000 };
pub(super) const ONE: DtuId = DtuId([1; 32]);
const TWO: DtuId = DtuId([2; 32]);
const PRESS_A: InputEvent = InputEvent::Key { scancode: 30, action: KeyAction::Press };

fn key() -> GroupKey {
    GroupKey::from_file_content(&[7; 32]).unwrap()
}

fn later(ms: u64) -> Now {
    Now { steady_ms: NOW.steady_ms + ms, wall_ms: NOW.wall_ms + ms }
}

fn about() -> About {
    About {
        session: SessionId([5; 16]),
        epoch: Epoch(3),
        token: "soft.anna".parse().unwrap(),
        verifier: key().ticket_signer().verifier(),
        size_max: Size::new(1920, 1080).unwrap(),
        quality: Quality::Lossless,
        guards: Guards::ALL,
    }
}

pub(super) fn core() -> Core {
    Core::new(about(), Clocks::default(), None, None, NOW)
}

/// The nth connection's ticket of a DTU; `insert` is that DTU's own count.
pub(super) fn ticket(dtu: DtuId, insert: u64, connection: u64) -> Ticket {
    let mut nonce = [0; 16];
    aws_lc_rs::rand::fill(&mut nonce).unwrap();
    Ticket {
        permit: Permit::Attach,
        issuer: "mud".parse().unwrap(),
        ends_ms: NOW.wall_ms + SHORT_LIFE_MS,
        nonce,
        dtu,
        token: about().token,
        session: about().session,
        epoch: about().epoch,
        insert,
        connection,
    }
}

fn attach_message(ticket: &Ticket) -> ToSession {
    ToSession::Attach(AttachDisplay {
        ticket: ticket.seal(&key().ticket_signer()),
        dtu_name: "desk\n7".into(),
        screen: Size::new(3000, 500).unwrap(),
        keymap: Keymap::default(),
    })
}

pub(super) fn drain(core: &mut Core) -> Vec<Action> {
    std::iter::from_fn(|| core.poll()).collect()
}

pub(super) fn attach(core: &mut Core, link: LinkId, dtu: DtuId, ticket: &Ticket) -> Vec<Action> {
    core.opened(link, Peer::Dtu(dtu));
    core.message(link, attach_message(ticket), NOW);
    drain(core)
}

fn attached(actions: &[Action]) -> Attached {
    let attached = actions.iter().find_map(|action| match action {
        Action::Send(_, FromSession::Attached(attached)) => Some(*attached),
        _ => None,
    });
    attached.unwrap_or_else(|| panic!("{actions:?}"))
}

/// Which link was closed, and the reason that it was told.
pub(super) fn closed(actions: &[Action]) -> Option<(LinkId, Option<DetachReason>)> {
    actions.iter().find_map(|action| match action {
        Action::Close { link, farewell, .. } => {
            Some((*link, farewell.as_ref().map(|detached| detached.reason)))
        }
        _ => None,
    })
}

fn input(attachment: u64, first_seq: u64, count: usize) -> ToSession {
    ToSession::Input(Input {
        attachment,
        first_seq,
        events: std::iter::repeat_n(PRESS_A, count).collect(),
    })
}

/// The numbers of the events that were handed on.
fn typed(actions: &[Action]) -> Vec<(u64, u64)> {
    let numbers = |action: &Action| match action {
        Action::Type { first, events } => (first.seq..first.seq + events.len() as u64)
            .map(|seq| (first.attachment, seq))
            .collect(),
        _ => Vec::new(),
    };
    actions.iter().flat_map(numbers).collect()
}

#[test]
fn a_dtu_attaches_with_its_size_within_the_largest() {
    let mut core = core();
    let actions = attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    let attached = attached(&actions);
    assert_eq!((attached.attachment, attached.resumes), (1, None));
    assert_eq!(attached.size, Size::new(1920, 500).unwrap());
    let report = actions.iter().position(|action| matches!(action, Action::Report(_)));
    let told = actions.iter().position(|action| matches!(action, Action::Send(..)));
    assert!(report < told, "the keeper hears first: {actions:?}");
}

#[test]
fn an_older_connection_does_not_come_back() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 5));
    let actions = attach(&mut core, 2, TWO, &ticket(TWO, 9, 4));
    assert_eq!(closed(&actions), Some((2, Some(DetachReason::Elsewhere))));
    // Also not with a new worker, which hears of it from the keeper.
    let last = core.last;
    let mut core = Core::new(about(), Clocks::default(), last, None, NOW);
    drain(&mut core);
    let actions = attach(&mut core, 1, TWO, &ticket(TWO, 9, 4));
    assert_eq!(closed(&actions), Some((1, Some(DetachReason::Elsewhere))));
    let actions = attach(&mut core, 2, TWO, &ticket(TWO, 9, 6));
    assert_eq!(attached(&actions).attachment, 2);
}

#[test]
fn tickets_are_judged_by_their_issuers_clock() {
    let mud: ServerName = "mud".parse().unwrap();
    let hour_ms = 3_600_000;
    let ahead = Ticket { ends_ms: NOW.wall_ms + hour_ms + 5_000, ..ticket(ONE, 1, 1) };
    let mut core = core();
    let actions = attach(&mut core, 1, ONE, &ahead);
    assert_eq!(closed(&actions), Some((1, Some(DetachReason::TicketRefused))));
    let clock = ClockAhead { server: mud, ahead_ms: hour_ms as i64 };
    core.server_said(ToKeeper::Clocks(Clocks { ahead: [clock].into_iter().collect() }));
    let actions = attach(&mut core, 2, ONE, &ahead);
    assert_eq!(attached(&actions).attachment, 1);
}

#[test]
fn a_quality_is_the_sessions_until_its_worker_ends() {
    let mut core = core();
    let said = |actions: &[Action]| {
        let said = |action: &Action| match action {
            Action::Send(link, FromSession::Quality(quality)) => Some((*link, *quality)),
            _ => None,
        };
        actions.iter().filter_map(said).collect::<Vec<_>>()
    };
    let actions = attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    assert_eq!(said(&actions), [(1, Quality::Lossless)]);
    core.message(1, ToSession::Quality(Quality::Auto), NOW);
    let actions = drain(&mut core);
    assert!(actions.contains(&Action::SetQuality(Quality::Auto)));
    assert_eq!(said(&actions), [(1, Quality::Auto)]);
    let actions = attach(&mut core, 2, TWO, &ticket(TWO, 1, 2));
    assert_eq!(said(&actions), [(2, Quality::Auto)]);
    // Who is not attached has no say.
    core.opened(3, Peer::Dtu(ONE));
    core.message(3, ToSession::Quality(Quality::Lossless), NOW);
    let actions = drain(&mut core);
    assert_eq!(closed(&actions), Some((3, Some(DetachReason::Protocol))));
    assert!(!actions.contains(&Action::SetQuality(Quality::Lossless)));
}

#[test]
fn a_removed_token_detaches_in_whatever_order_events_race() {
    let removes: [fn(&mut Core); 2] = [
        |core| core.message(1, ToSession::Remove(Remove { insert: 4 }), NOW),
        |core| core.server_said(ToKeeper::Detach(DetachDtu { dtu: ONE, insert: 4 })),
    ];
    for remove in removes {
        let mut core = core();
        attach(&mut core, 1, ONE, &ticket(ONE, 4, 1));
        remove(&mut core);
        let actions = drain(&mut core);
        assert_eq!(closed(&actions), Some((1, Some(DetachReason::Removed))));
        assert!(actions.contains(&Action::Hide) && actions.contains(&Action::ReleaseAll));
        let late = attach(&mut core, 2, ONE, &ticket(ONE, 4, 1));
        assert_eq!(closed(&late), Some((2, Some(DetachReason::TicketRefused))));
        let next = attach(&mut core, 3, ONE, &ticket(ONE, 5, 2));
        assert_eq!(attached(&next).resumes, None);
    }
    // The remove comes before the attach that it ends.
    let mut core = core();
    core.server_said(ToKeeper::Detach(DetachDtu { dtu: ONE, insert: 4 }));
    let actions = attach(&mut core, 1, ONE, &ticket(ONE, 4, 1));
    assert_eq!(closed(&actions), Some((1, Some(DetachReason::TicketRefused))));
    // And one of an older insert ends nothing.
    attach(&mut core, 2, ONE, &ticket(ONE, 5, 2));
    core.server_said(ToKeeper::Detach(DetachDtu { dtu: ONE, insert: 4 }));
    assert_eq!(drain(&mut core), []);
}

#[test]
fn a_displaced_dtu_hears_who_has_the_session() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    let actions = attach(&mut core, 2, TWO, &ticket(TWO, 1, 2));
    let farewell = Some(Detached { reason: DetachReason::Elsewhere, text: "desk7".into() });
    assert!(actions.iter().any(|action| {
        matches!(action, Action::Close { link: 1, farewell: said, .. } if *said == farewell)
    }));
    assert!(actions.contains(&Action::ReleaseAll));
    // What it says meanwhile does nothing.
    core.message(1, input(1, 1, 1), NOW);
    core.closed(1, NOW);
    assert_eq!(drain(&mut core), []);
    assert_eq!(core.input_link(), Some(2));
}

#[test]
fn a_link_that_broke_resumes_where_it_was_and_keys_stay_held() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    core.message(1, input(1, 1, 3), NOW);
    core.closed(1, NOW);
    let actions = drain(&mut core);
    assert!(!actions.contains(&Action::ReleaseAll), "{actions:?}");
    let actions = attach(&mut core, 2, ONE, &ticket(ONE, 1, 1));
    assert_eq!(attached(&actions).resumes, Some(InputDone { attachment: 1, seq: 3 }));
    assert!(!actions.contains(&Action::ReleaseAll), "{actions:?}");
    core.tick(later(10 * HELD_KEYS_GRACE_MS));
    assert!(!drain(&mut core).contains(&Action::ReleaseAll));
    // Again, before any input of the second attachment.
    core.closed(2, NOW);
    let actions = attach(&mut core, 3, ONE, &ticket(ONE, 1, 1));
    assert_eq!(attached(&actions).resumes, Some(InputDone { attachment: 2, seq: 0 }));
}

#[test]
fn keys_of_a_dtu_that_does_not_come_back_are_let_go() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    core.closed(1, NOW);
    drain(&mut core);
    let deadline_ms = core.deadline_ms().unwrap();
    core.tick(Now { steady_ms: deadline_ms - 1, ..NOW });
    assert_eq!(drain(&mut core), []);
    core.tick(Now { steady_ms: deadline_ms, ..NOW });
    assert_eq!(drain(&mut core), [Action::ReleaseAll]);
    assert_eq!(core.deadline_ms(), None);
}

#[test]
fn whoever_sends_a_frame_need_not_say_that_it_lives() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    assert_eq!(words_of_life(&mut core, 99), []);
    assert_eq!(core.frame(1, later(90)), Some(1));
    assert_eq!(words_of_life(&mut core, 189), []);
    assert_eq!(words_of_life(&mut core, 190), [(190, 1, 1)]);
    // A frame of another attachment is none of this one's.
    assert_eq!(core.frame(2, later(200)), None);
    assert_eq!(words_of_life(&mut core, 290), [(290, 1, 2)]);
}

/// What is said of life until `ms` after the start, at each deadline.
fn words_of_life(core: &mut Core, ms: u64) -> Vec<(u64, LinkId, u64)> {
    let mut words = Vec::new();
    while let Some(deadline_ms) = core.deadline_ms()
        && deadline_ms <= NOW.steady_ms + ms
    {
        let after_ms = deadline_ms - NOW.steady_ms;
        core.tick(later(after_ms));
        for action in drain(core) {
            if let Action::SayAlive(link, alive) = action {
                words.push((after_ms, link, alive.seq));
            }
        }
    }
    words
}

#[test]
fn the_attached_dtu_hears_ten_times_a_second_that_the_session_lives() {
    let mut core = core();
    assert_eq!(words_of_life(&mut core, 1_000), []);
    core.opened(7, Peer::Server("host05".parse().unwrap()));
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    assert_eq!(words_of_life(&mut core, 350), [(100, 1, 1), (200, 1, 2), (300, 1, 3)]);
    // After a standstill one word is said, not one for each that is missing.
    core.tick(later(5_000));
    assert_eq!(drain(&mut core).len(), 1);
    assert_eq!(core.deadline_ms(), Some(NOW.steady_ms + 5_100));
    // Another DTU takes the session: only it hears of it from now on.
    core.opened(2, Peer::Dtu(TWO));
    core.message(2, attach_message(&ticket(TWO, 1, 2)), later(5_000));
    drain(&mut core);
    assert_eq!(words_of_life(&mut core, 5_150), [(5_100, 2, 1)]);
    core.closed(2, later(5_150));
    drain(&mut core);
    assert_eq!(words_of_life(&mut core, 60_000), []);
}

#[test]
fn a_new_insert_or_another_dtu_does_not_resume() {
    for (dtu, insert) in [(ONE, 2), (TWO, 1)] {
        let mut core = core();
        attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
        core.message(1, input(1, 1, 3), NOW);
        core.closed(1, NOW);
        drain(&mut core);
        let actions = attach(&mut core, 2, dtu, &ticket(dtu, insert, 2));
        assert_eq!(attached(&actions).resumes, None);
        assert!(actions.contains(&Action::ReleaseAll));
        let begin = Action::BeginInput(InputDone { attachment: 2, seq: 0 });
        assert!(actions.contains(&begin));
    }
}

#[test]
fn attachment_numbers_grow_over_workers() {
    let last =
        Attachment { number: 7, dtu: ONE, connection: 1, insert: 1, state: AttachmentState::Lost };
    let position = InputDone { attachment: 7, seq: 40 };
    let mut core = Core::new(about(), Clocks::default(), Some(last), Some(position), NOW);
    let actions = attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    let attached = attached(&actions);
    assert_eq!((attached.attachment, attached.resumes), (8, Some(position)));
    // Also if the keeper knew less than the X server.
    let mut core = Core::new(about(), Clocks::default(), None, Some(position), NOW);
    let actions = attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    assert_eq!(self::attached(&actions).attachment, 8);
}

#[test]
fn input_is_put_in_once_and_only_that_of_this_dtu() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    core.message(1, input(1, 1, 3), NOW);
    core.closed(1, NOW);
    drain(&mut core);
    attach(&mut core, 2, ONE, &ticket(ONE, 1, 1));
    // Sent again with old numbers, with an overlap; then on with new ones,
    // from which moves may have been left out.
    core.message(2, input(1, 2, 4), NOW);
    core.message(2, input(2, 1, 1), NOW);
    core.message(2, input(2, 5, 1), NOW);
    core.message(2, input(2, 5, 1), NOW);
    core.message(2, input(1, 6, 1), NOW);
    assert_eq!(typed(&drain(&mut core)), [(1, 4), (1, 5), (2, 1), (2, 5)]);
    for wrong in [input(3, 1, 1), input(0, 1, 1), input(2, u64::MAX, 2)] {
        let mut core = self::core();
        attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
        attach(&mut core, 2, TWO, &ticket(TWO, 1, 2));
        core.message(2, wrong, NOW);
        let actions = drain(&mut core);
        assert_eq!(typed(&actions), []);
        assert_eq!(closed(&actions), Some((2, Some(DetachReason::Protocol))));
    }
}

#[test]
fn whoever_breaks_the_protocol_is_closed_with_a_reason() {
    let mut core = core();
    core.opened(1, Peer::Dtu(ONE));
    core.message(1, ToSession::Unknown(99), NOW);
    assert_eq!(drain(&mut core), [], "a newer version may say more");
    core.message(1, ToSession::Probe(Probe { nonce: 1 }), NOW);
    assert_eq!(closed(&drain(&mut core)), Some((1, Some(DetachReason::Protocol))));
    core.opened(2, Peer::Server("mud".parse().unwrap()));
    core.message(2, attach_message(&ticket(ONE, 1, 1)), NOW);
    assert_eq!(closed(&drain(&mut core)), Some((2, Some(DetachReason::Protocol))));
    attach(&mut core, 3, ONE, &ticket(ONE, 1, 1));
    core.message(3, attach_message(&ticket(ONE, 1, 1)), NOW);
    let actions = drain(&mut core);
    assert_eq!(closed(&actions), Some((3, Some(DetachReason::Protocol))));
    assert!(actions.contains(&Action::Hide) && actions.contains(&Action::ReleaseAll));
}

#[test]
fn a_frozen_copy_is_shown_to_nobody() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    core.server_said(ToKeeper::Freeze(Freeze { by: Epoch(4) }));
    let actions = drain(&mut core);
    assert_eq!(closed(&actions), Some((1, Some(DetachReason::Removed))));
    assert!(actions.contains(&Action::ReleaseAll), "{actions:?}");
    for dtu in [ONE, TWO] {
        let actions = attach(&mut core, 2, dtu, &ticket(dtu, 2, 2));
        assert_eq!(closed(&actions), Some((2, Some(DetachReason::TicketRefused))));
    }
    core.server_said(ToKeeper::Freeze(Freeze { by: Epoch(4) }));
    assert_eq!(drain(&mut core), []);
}

#[test]
fn the_end_is_told_and_stays() {
    let mut core = core();
    attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
    core.server_said(ToKeeper::End(End { text: "power".into() }));
    let actions = drain(&mut core);
    assert_eq!(closed(&actions), Some((1, Some(DetachReason::Ended))));
    assert_eq!(actions.last(), Some(&Action::Finish));
    let actions = attach(&mut core, 2, ONE, &ticket(ONE, 1, 1));
    assert_eq!(closed(&actions), Some((2, Some(DetachReason::Ended))));
}

/// Anything that can happen, from a few peers.
#[derive(Debug, Clone)]
enum Happening {
    Attach { two: bool, insert: u64, connection: u64 },
    Input { link: LinkId, attachment: u64, first_seq: u64, count: usize },
    Frame { attachment: u64 },
    Shown { link: LinkId, number: u64 },
    Remove { link: LinkId, insert: u64 },
    Detach { two: bool, insert: u64 },
    Closed { link: LinkId },
    Tick,
}

fn happenings() -> impl Strategy<Value = Happening> {
    let link = 1..6u64;
    prop_oneof![
        (any::<bool>(), 1..4u64, 1..6u64).prop_map(|(two, insert, connection)| {
            Happening::Attach { two, insert, connection }
        }),
        (link.clone(), 0..8u64, 0..10u64, 0..5usize).prop_map(
            |(link, attachment, first_seq, count)| Happening::Input {
                link,
                attachment,
                first_seq,
                count
            }
        ),
        (0..8u64).prop_map(|attachment| Happening::Frame { attachment }),
        (link.clone(), 0..5u64).prop_map(|(link, number)| Happening::Shown { link, number }),
        (link.clone(), 1..4u64).prop_map(|(link, insert)| Happening::Remove { link, insert }),
        (any::<bool>(), 1..4u64).prop_map(|(two, insert)| Happening::Detach { two, insert }),
        link.prop_map(|link| Happening::Closed { link }),
        Just(Happening::Tick),
    ]
}

proptest! {
    #[test]
    fn at_most_one_dtu_is_attached_and_nothing_is_typed_twice(
        happenings in prop::collection::vec(happenings(), 0..60),
    ) {
        let mut core = core();
        let (mut number, mut connection) = (0, 0);
        let mut last_typed = (0, 0);
        let mut attached_link = None;
        let mut links = Vec::new();
        for (step, happening) in happenings.into_iter().enumerate() {
            let now = later(step as u64 * 100);
            // Mostly the attached one, sometimes one of before.
            let pick = |link: LinkId| match link {
                1..4 => attached_link.unwrap_or(0),
                _ => links.get(link as usize - 4).copied().unwrap_or(0),
            };
            match happening {
                Happening::Attach { two, insert, connection } => {
                    let dtu = if two { TWO } else { ONE };
                    // Links are numbered anew by the shell, never reused.
                    let link = step as u64 + 1;
                    links.push(link);
                    core.opened(link, Peer::Dtu(dtu));
                    core.message(link, attach_message(&ticket(dtu, insert, connection)), now);
                }
                Happening::Input { link, attachment, first_seq, count } => {
                    core.message(pick(link), input(attachment, first_seq, count), now);
                }
                Happening::Frame { attachment } => {
                    core.frame(attachment, now);
                }
                Happening::Shown { link, number } => {
                    let shown = ToSession::FrameShown(FrameShown { number });
                    core.message(pick(link), shown, now);
                }
                Happening::Remove { link, insert } => {
                    let remove = ToSession::Remove(Remove { insert });
                    core.message(pick(link), remove, now);
                }
                Happening::Detach { two, insert } => {
                    let dtu = if two { TWO } else { ONE };
                    core.server_said(ToKeeper::Detach(DetachDtu { dtu, insert }));
                }
                Happening::Closed { link } => core.closed(pick(link), now),
                Happening::Tick => core.tick(now),
            }
            for action in drain(&mut core) {
                match action {
                    Action::Send(link, FromSession::Attached(attached)) => {
                        prop_assert!(attached.attachment > number);
                        number = attached.attachment;
                        attached_link = Some(link);
                    }
                    Action::Report(report) => {
                        prop_assert!(report.connection >= connection);
                        connection = report.connection;
                        if report.state != AttachmentState::Shown {
                            attached_link = None;
                        }
                    }
                    Action::Type { first, events } => {
                        prop_assert!(attached_link.is_some());
                        let from = (first.attachment, first.seq);
                        prop_assert!(from > last_typed, "{from:?} after {last_typed:?}");
                        last_typed = (first.attachment, first.seq + events.len() as u64 - 1);
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(core.input_link(), attached_link);
        }
    }
}
