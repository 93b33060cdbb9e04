//! Inserts in a small world: this host, the other servers, the store, and the
//! hosts that fell silent.

use super::*;
use crate::session::act::{Confirmed, Probed};
use crate::session::notice::Notice;
use afterglow_wire::control::Insert;
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::{DtuId, Size};
use afterglow_wire::limits::REDIRECTS_MAX;
use afterglow_wire::ticket::Ticket;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

const MINE: SessionId = SessionId([1; 16]);
const OTHER: SessionId = SessionId([2; 16]);
const FRESH: SessionId = SessionId([3; 16]);

fn name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

fn endpoint(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([127, 0, 0, 1].into(), port)
}

fn found(session: SessionId, epoch: u64, connection: u64) -> TokenSession {
    TokenSession { session, epoch: Epoch(epoch), connection }
}

fn row(owner: &str, epoch: u64) -> SessionRow {
    SessionRow {
        id: MINE,
        token: "soft.ada".parse().expect("a token"),
        owner: name(owner),
        endpoint: Some(endpoint(7100)),
        epoch: Epoch(epoch),
        connection: 3,
        home: "/homes/x".into(),
        desktop: vec!["openbox".into()],
        size: Size::new(800, 600).expect("a size"),
        name: String::new(),
        services: Vec::new(),
        wish: None,
        created_ms: 0,
        changed_ms: 0,
        ended: false,
    }
}

fn copy(epoch: u64) -> LocalCopy {
    LocalCopy {
        session: MINE,
        epoch: Epoch(epoch),
        connection: 3,
        endpoint: Some(endpoint(7100)),
        verified: true,
    }
}

/// What is the case around the placement; `mud` is us.
#[derive(Debug, Clone, Default)]
struct World {
    here: Option<LocalCopy>,
    full: bool,
    /// Servers that answer, and what they have.
    servers: BTreeMap<ServerName, Option<TokenSession>>,
    row: Option<SessionRow>,
    store_down: bool,
    /// True if the stored endpoint answers as the stored session.
    endpoint_answers: bool,
    /// Somebody else takes the session over just before us.
    beaten: bool,
    start_fails: bool,
    /// The silent server counts as down from this round on.
    down_after_rounds: u32,
    /// Another server that is lighter than we, if there is one.
    lighter: Option<ServerName>,
    /// What was asked, in order.
    asked: Vec<Act>,
}

impl World {
    fn answer(&mut self, act: &Act) -> Answer {
        match act {
            Act::LookHere => Answer::Here { copy: self.here.clone(), room: !self.full },
            Act::AwaitStart { .. } => Answer::Started(self.start()),
            Act::Confirm { session, epoch, count } => {
                Answer::Confirmed(self.store().map(|row| match row {
                    Some(row) if row.id == *session && row.epoch > *epoch => {
                        Confirmed::Superseded(row.epoch)
                    }
                    Some(row) if row.id == *session && row.epoch == *epoch => {
                        Confirmed::Right(row.connection + u64::from(*count))
                    }
                    _ => Confirmed::Unknown,
                }))
            }
            Act::AskGroup { .. } => {
                Answer::Group(Answers { spoke: self.servers.clone(), ..Answers::default() })
            }
            Act::ReadStore => Answer::Row(self.store()),
            Act::Probe { round, server, endpoint, session, epoch } => Answer::Probed(Probed {
                down: *round >= self.down_after_rounds,
                server: server.as_ref().and_then(|name| self.servers.get(name).copied()),
                endpoint: endpoint.filter(|_| self.endpoint_answers).map(|_| (*session, *epoch)),
            }),
            Act::Choose { except, room } => Answer::Chosen {
                server: self
                    .lighter
                    .clone()
                    .filter(|name| !except.contains(name))
                    .or(room.then(|| name("mud"))),
                fresh: FRESH,
            },
            Act::Create { .. } => Answer::Created(self.store().map(|row| row.is_none())),
            Act::TakeOver { row, count } => {
                if std::mem::take(&mut self.beaten) {
                    let epoch = row.epoch.next();
                    let owner = name("host22");
                    self.servers.insert(owner.clone(), Some(found(row.id, epoch.0, 9)));
                    self.row = Some(SessionRow { epoch, owner, ..(**row).clone() });
                    return Answer::TookOver(Ok(None));
                }
                Answer::TookOver(self.store().map(|_| Some(row.connection + u64::from(*count))))
            }
            Act::Start => Answer::Started(self.start()),
            Act::Wait { .. } => {
                // The store is back by then.
                self.store_down = false;
                Answer::Waited
            }
            Act::Attach(_) | Act::Redirect { .. } | Act::Refuse { .. } => {
                panic!("{act:?} is an end")
            }
        }
    }

    fn store(&self) -> Result<Option<SessionRow>, Down> {
        if self.store_down { Err(Down) } else { Ok(self.row.clone()) }
    }

    fn start(&self) -> Result<SocketAddrV4, String> {
        if self.start_fails { Err("no Xvfb".into()) } else { Ok(endpoint(7200)) }
    }

    fn count(&self, wanted: fn(&Act) -> bool) -> usize {
        self.asked.iter().filter(|act| wanted(act)).count()
    }
}

fn insert() -> Insert {
    Insert {
        insert: 5,
        token: "soft.ada".parse().expect("a token"),
        want: Want::Last,
        cause: Cause::Insert,
        ticket: None,
        unreachable: Default::default(),
        redirects: 0,
        showing: None,
        screen: Size::new(800, 600).expect("a size"),
        keymap: Default::default(),
    }
}

fn ticket(permit: Permit, session: SessionId, epoch: u64, connection: u64) -> Ticket {
    Ticket {
        permit,
        issuer: name("host05"),
        ends_ms: 0,
        nonce: [0; 16],
        dtu: DtuId([0; 32]),
        token: "soft.ada".parse().expect("a token"),
        session,
        epoch: Epoch(epoch),
        insert: 5,
        connection,
    }
}

fn challenged(insert: Insert) -> Admitted {
    Admitted { insert, proof: Proof::Challenge }
}

/// A DTU that lost its server, with or without a live picture.
fn failover(epoch: u64, showing: bool) -> Admitted {
    let showing = showing.then_some(Showing { session: MINE, epoch: Epoch(epoch) });
    let insert = Insert { cause: Cause::Failover, showing, ..insert() };
    Admitted { insert, proof: Proof::Resume(ticket(Permit::Resume, MINE, epoch, 3)) }
}

fn redirect(plan: Plan, session: SessionId, epoch: u64) -> Admitted {
    let insert = Insert { cause: Cause::Redirect, redirects: 1, ..insert() };
    let permit = Permit::Redirect { to: name("mud"), plan };
    Admitted { insert, proof: Proof::Redirect(ticket(permit, session, epoch, 0)) }
}

/// Runs an insert to its end.
fn place(world: &mut World, admitted: &Admitted) -> Act {
    let mut placement = Placement::new(name("mud"), Guards::ALL, admitted);
    let mut step = placement.begin();
    for _ in 0..100 {
        world.asked.push(step.act.clone());
        match &step.act {
            Act::Attach(_) | Act::Redirect { .. } | Act::Refuse { .. } => return step.act,
            Act::Create { id, .. } => placement.starts(id.unwrap_or(OTHER), Epoch::FIRST),
            Act::TakeOver { row, .. } => placement.starts(row.id, row.epoch.next()),
            _ => {}
        }
        let answer = world.answer(&step.act);
        step = placement.answer(answer);
    }
    panic!("no end: {:?}", world.asked);
}

fn attached(act: Act) -> Attachment {
    match act {
        Act::Attach(attachment) => attachment,
        other => panic!("not attached: {other:?}"),
    }
}

fn refused(act: Act) -> RefusalCode {
    match act {
        Act::Refuse { code, text } => {
            assert!(!text.is_empty());
            code
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn redirected(act: Act) -> (ServerName, Option<u64>) {
    match act {
        Act::Redirect { to, connection, .. } => (to, connection),
        other => panic!("not redirected: {other:?}"),
    }
}

#[test]
fn a_local_session_is_attached_and_counted() {
    let mut world = World { here: Some(copy(1)), row: Some(row("mud", 1)), ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!((attachment.origin, attachment.connection), (Origin::Existing, 4));
    assert_eq!(world.count(|act| matches!(act, Act::AskGroup { .. })), 0);
}

#[test]
fn a_failover_keeps_the_connection_of_its_insert() {
    let mut world = World { here: Some(copy(1)), row: Some(row("mud", 1)), ..World::default() };
    let attachment = attached(place(&mut world, &failover(1, true)));
    assert_eq!(attachment.connection, 3);
}

#[test]
fn a_local_copy_older_than_the_store_is_not_attached() {
    let servers = BTreeMap::from([(name("host05"), Some(found(MINE, 2, 4)))]);
    let row = Some(row("host05", 2));
    let mut world = World { here: Some(copy(1)), row, servers, ..World::default() };
    assert_eq!(redirected(place(&mut world, &challenged(insert()))).0, name("host05"));
}

#[test]
fn a_local_copy_older_than_what_the_dtu_knows_is_not_attached() {
    let mut world = World { here: Some(copy(1)), row: Some(row("mud", 1)), ..World::default() };
    let code = refused(place(&mut world, &failover(2, true)));
    assert_eq!(code, RefusalCode::Unresolved);
}

#[test]
fn without_the_store_a_verified_session_goes_on_and_a_found_one_waits() {
    let mut world = World { here: Some(copy(1)), store_down: true, ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!(attachment.connection, 4);
    let here = Some(LocalCopy { verified: false, ..copy(1) });
    let row = Some(row("mud", 1));
    let mut world = World { here, row, store_down: true, ..World::default() };
    attached(place(&mut world, &challenged(insert())));
    assert_eq!(world.count(|act| matches!(act, Act::Wait { .. })), 1);
}

#[test]
fn nothing_new_and_no_take_over_without_the_store() {
    let mut world = World { store_down: true, ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!(attachment.origin, Origin::New);
    let wait = world.asked.iter().position(|act| matches!(act, Act::Wait { .. }));
    let create = world.asked.iter().position(|act| matches!(act, Act::Create { .. }));
    assert!(wait < create, "{:?}", world.asked);
}

#[test]
fn of_several_servers_the_last_connected_session_wins() {
    let servers = BTreeMap::from([
        (name("host05"), Some(found(OTHER, 7, 4))),
        (name("host21"), Some(found(MINE, 1, 9))),
        (name("host22"), None),
    ]);
    let mut world = World { servers, ..World::default() };
    assert_eq!(redirected(place(&mut world, &challenged(insert()))).0, name("host21"));
}

#[test]
fn a_server_with_an_older_copy_does_not_win() {
    let servers = BTreeMap::from([
        (name("host05"), Some(found(MINE, 1, 9))),
        (name("host21"), Some(found(MINE, 2, 4))),
    ]);
    let mut world = World { servers, ..World::default() };
    assert_eq!(redirected(place(&mut world, &challenged(insert()))).0, name("host21"));
}

#[test]
fn redirects_end() {
    let servers = BTreeMap::from([(name("host05"), Some(found(MINE, 1, 9)))]);
    let mut world = World { servers, ..World::default() };
    let insert = Insert { redirects: REDIRECTS_MAX, ..insert() };
    let code = refused(place(&mut world, &challenged(insert)));
    assert_eq!(code, RefusalCode::TooManyRedirects);
}

#[test]
fn a_server_that_the_dtu_cannot_reach_is_not_chosen_and_its_session_not_replaced() {
    let servers = BTreeMap::from([(name("host05"), Some(found(MINE, 1, 9)))]);
    let unreachable = [name("host05")].into_iter().collect();
    let admitted = challenged(Insert { unreachable, ..insert() });
    let stored = Some(row("host05", 1));
    let mut world = World { servers: servers.clone(), row: stored, ..World::default() };
    let attachment = attached(place(&mut world, &admitted));
    assert_eq!((attachment.origin, attachment.host), (Origin::Caretaken, name("host05")));
    let mut world = World { servers, ..World::default() };
    assert_eq!(refused(place(&mut world, &admitted)), RefusalCode::Unresolved);
}

#[test]
fn a_redirect_is_followed_or_refused_and_selects_nothing() {
    let existing = redirect(Plan::Existing, MINE, 1);
    let mut world = World { here: Some(copy(1)), row: Some(row("mud", 1)), ..World::default() };
    let attachment = attached(place(&mut world, &existing));
    assert_eq!((attachment.origin, attachment.connection), (Origin::Existing, 4));
    // Not here, another one here, or an older copy here.
    for here in [None, Some(LocalCopy { session: OTHER, ..copy(1) })] {
        let servers = BTreeMap::from([(name("host05"), Some(found(MINE, 1, 9)))]);
        let mut world = World { here, servers, row: Some(row("host05", 1)), ..World::default() };
        assert_eq!(refused(place(&mut world, &existing)), RefusalCode::NotHere);
    }
    let mut world = World { here: Some(copy(1)), row: Some(row("mud", 1)), ..World::default() };
    let newer = redirect(Plan::Existing, MINE, 2);
    assert_eq!(refused(place(&mut world, &newer)), RefusalCode::NotHere);
    let row = Some(row("host05", 2));
    let mut world = World { here: Some(copy(1)), row, ..World::default() };
    assert_eq!(refused(place(&mut world, &existing)), RefusalCode::NotHere);
}

#[test]
fn a_redirect_to_start_anew_starts_the_session_that_it_names() {
    let mut world = World::default();
    let named = SessionId([9; 16]);
    let attachment = attached(place(&mut world, &redirect(Plan::New, named, 1)));
    assert_eq!((attachment.origin, attachment.session), (Origin::New, named));
}

#[test]
fn a_new_session_is_started_by_the_lightest_server() {
    let mut world = World { lighter: Some(name("host21")), ..World::default() };
    let act = place(&mut world, &challenged(insert()));
    let Act::Redirect { to, plan, found, connection } = act else { panic!("{act:?}") };
    assert_eq!((to, plan, connection), (name("host21"), Plan::New, None));
    assert_eq!((found.session, found.epoch), (FRESH, Epoch::FIRST));
    // Not where the DTU cannot go, and not after so many redirects.
    let far = Insert { unreachable: [name("host21")].into_iter().collect(), ..insert() };
    let sent_on = Insert { redirects: REDIRECTS_MAX, ..insert() };
    for insert in [far, sent_on] {
        let mut world = World { lighter: Some(name("host21")), ..World::default() };
        let attachment = attached(place(&mut world, &challenged(insert)));
        assert_eq!((attachment.origin, attachment.host), (Origin::New, name("mud")));
    }
}

#[test]
fn a_host_without_room_sends_a_take_over_to_one_that_has_room() {
    let lighter = Some(name("host21"));
    let row = Some(row("host05", 1));
    let mut world = World { row: row.clone(), lighter, full: true, ..World::default() };
    let act = place(&mut world, &failover(1, false));
    let Act::Redirect { to, plan, found, connection } = act else { panic!("{act:?}") };
    assert_eq!((to, plan, connection), (name("host21"), Plan::Takeover, Some(3)));
    assert_eq!((found.session, found.epoch), (MINE, Epoch(1)));
    assert_eq!(world.count(|act| matches!(act, Act::Probe { .. })), ROUNDS as usize);
    // There it is probed once more, and never sent on.
    let mut world = World { row, lighter: Some(name("host22")), ..World::default() };
    let attachment = attached(place(&mut world, &redirect(Plan::Takeover, MINE, 1)));
    assert_eq!((attachment.origin, attachment.epoch), (Origin::TakenOver, Epoch(2)));
    assert_eq!(world.count(|act| matches!(act, Act::Probe { .. })), ROUNDS as usize);
    let mut world = World { lighter: Some(name("host22")), ..World::default() };
    let code = refused(place(&mut world, &redirect(Plan::Takeover, MINE, 1)));
    assert_eq!(code, RefusalCode::NotHere);
}

#[test]
fn what_the_dtu_shows_is_cared_for_at_once() {
    let mut world = World { row: Some(row("host05", 1)), ..World::default() };
    let attachment = attached(place(&mut world, &failover(1, true)));
    assert_eq!((attachment.origin, attachment.host), (Origin::Caretaken, name("host05")));
    assert_eq!((attachment.epoch, attachment.connection), (Epoch(1), 3));
    assert_eq!(world.count(|act| matches!(act, Act::Probe { .. })), 0);
}

#[test]
fn a_session_whose_endpoint_answers_is_cared_for_and_not_replaced() {
    let row = Some(row("host05", 1));
    let mut world = World { row, endpoint_answers: true, ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!((attachment.origin, attachment.connection), (Origin::Caretaken, 4));
}

#[test]
fn a_silent_host_is_taken_over_after_its_rounds() {
    let mut world = World { row: Some(row("host05", 1)), ..World::default() };
    let attachment = attached(place(&mut world, &failover(1, false)));
    assert_eq!((attachment.origin, attachment.epoch), (Origin::TakenOver, Epoch(2)));
    assert_eq!((attachment.host, attachment.endpoint), (name("mud"), endpoint(7200)));
    let Notice::Restarted(row) = attachment.notice else { panic!("no notice") };
    assert_eq!(row.owner, name("host05"));
    assert_eq!(world.count(|act| matches!(act, Act::Probe { .. })), ROUNDS as usize);
}

#[test]
fn who_comes_anew_waits_until_a_silent_host_counts_as_down() {
    let row = Some(row("host05", 1));
    let mut world = World { row: row.clone(), down_after_rounds: 12, ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!(attachment.origin, Origin::TakenOver);
    assert_eq!(world.count(|act| matches!(act, Act::Probe { .. })), 12);
    // A DTU that had the session knows that it is lost.
    let mut world = World { row, down_after_rounds: 12, ..World::default() };
    attached(place(&mut world, &failover(1, false)));
    assert_eq!(world.count(|act| matches!(act, Act::Probe { .. })), ROUNDS as usize);
}

#[test]
fn what_a_dtu_only_says_makes_no_copy_stale() {
    let showing = Some(Showing { session: MINE, epoch: Epoch(9) });
    let says = challenged(Insert { cause: Cause::Failover, showing, ..insert() });
    let mut placement = Placement::new(name("mud"), Guards::ALL, &says);
    placement.begin();
    let step = placement.answer(Answer::Here { copy: Some(copy(1)), room: true });
    assert_eq!(step.seen, None);
    let mut placement = Placement::new(name("mud"), Guards::ALL, &failover(2, false));
    placement.begin();
    let step = placement.answer(Answer::Here { copy: Some(copy(1)), room: true });
    assert_eq!(step.seen, Some((MINE, Epoch(2))));
}

#[test]
fn a_server_that_says_it_has_no_session_is_believed_but_its_endpoint_is_asked() {
    let servers = BTreeMap::from([(name("host05"), None)]);
    let row = Some(row("host05", 1));
    let mut world = World { servers: servers.clone(), row: row.clone(), ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!(attachment.origin, Origin::TakenOver);
    let mut world = World { servers, row, endpoint_answers: true, ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!(attachment.origin, Origin::Caretaken);
}

#[test]
fn our_own_lost_session_is_started_again_at_once() {
    let row = Some(SessionRow { endpoint: None, ..row("mud", 4) });
    let mut world = World { row, ..World::default() };
    let attachment = attached(place(&mut world, &challenged(insert())));
    assert_eq!((attachment.origin, attachment.epoch), (Origin::TakenOver, Epoch(5)));
    assert_eq!(world.count(|act| matches!(act, Act::Probe { .. })), 0);
    let Notice::Restarted(row) = attachment.notice else { panic!("no notice") };
    assert_eq!(row.owner, name("mud"));
}

#[test]
fn who_loses_a_take_over_goes_to_the_winner() {
    let mut world = World { row: Some(row("host05", 1)), beaten: true, ..World::default() };
    let (to, connection) = redirected(place(&mut world, &failover(1, false)));
    assert_eq!((to, connection), (name("host22"), Some(3)));
}

#[test]
fn nothing_new_is_started_over_a_picture_that_nobody_knows() {
    let mut world = World::default();
    let code = refused(place(&mut world, &failover(1, true)));
    assert_eq!(code, RefusalCode::Unresolved);
}

#[test]
fn a_store_that_lost_data_stops_take_overs() {
    let mut world = World { row: Some(row("host05", 1)), ..World::default() };
    let code = refused(place(&mut world, &failover(2, false)));
    assert_eq!(code, RefusalCode::Unresolved);
}

#[test]
fn a_full_host_starts_and_takes_over_nothing() {
    for row in [None, Some(row("host05", 1))] {
        let mut world = World { row, full: true, ..World::default() };
        let code = refused(place(&mut world, &challenged(insert())));
        assert_eq!(code, RefusalCode::Full);
    }
}

#[test]
fn a_start_that_fails_is_said() {
    let mut world = World { start_fails: true, ..World::default() };
    let code = refused(place(&mut world, &challenged(insert())));
    assert_eq!(code, RefusalCode::SessionFailed);
    let here = Some(LocalCopy { endpoint: None, ..copy(1) });
    let mut world = World { here, start_fails: true, ..World::default() };
    let code = refused(place(&mut world, &challenged(insert())));
    assert_eq!(code, RefusalCode::SessionFailed);
}

#[test]
fn an_answer_to_another_question_ends_in_a_refusal() {
    let mut placement = Placement::new(name("mud"), Guards::ALL, &challenged(insert()));
    placement.begin();
    let step = placement.answer(Answer::Waited);
    assert_eq!(refused(step.act), RefusalCode::SessionFailed);
}

fn any_world() -> impl Strategy<Value = World> {
    let epoch = 1..4u64;
    let session = prop_oneof![Just(MINE), Just(OTHER)];
    let said = prop::option::of((session.clone(), epoch.clone(), 1..9u64))
        .prop_map(|said| said.map(|(s, e, c)| found(s, e, c)));
    let servers = prop::collection::btree_map(
        prop_oneof![Just(name("host05")), Just(name("host21"))],
        said,
        0..3,
    );
    let here =
        prop::option::of((session, epoch.clone(), any::<bool>(), any::<bool>())).prop_map(|here| {
            here.map(|(session, e, verified, up)| LocalCopy {
                session,
                verified,
                endpoint: up.then_some(endpoint(7100)),
                ..copy(e)
            })
        });
    let owner = prop_oneof![Just("mud"), Just("host05"), Just("host21")];
    let stored = prop::option::of((owner, epoch, any::<bool>())).prop_map(|stored| {
        stored.map(|(owner, e, up)| SessionRow {
            endpoint: up.then_some(endpoint(7100)),
            ..row(owner, e)
        })
    });
    (here, servers, stored, any::<[bool; 6]>()).prop_map(|(here, servers, row, flags)| World {
        here,
        servers,
        row,
        full: flags[0] && flags[1],
        store_down: flags[1],
        endpoint_answers: flags[2],
        beaten: flags[3],
        start_fails: flags[4],
        down_after_rounds: 7,
        lighter: flags[5].then(|| name("host21")),
        asked: Vec::new(),
    })
}

fn any_admitted() -> impl Strategy<Value = Admitted> {
    (0..6u8, 1..4u64, any::<bool>(), 0..=REDIRECTS_MAX).prop_map(|(kind, e, far, redirects)| {
        let mut admitted = match kind {
            0 => challenged(insert()),
            1 => failover(e, true),
            2 => failover(e, false),
            3 => redirect(Plan::Existing, MINE, e),
            4 => redirect(Plan::New, SessionId([9; 16]), 1),
            _ => redirect(Plan::Takeover, MINE, e),
        };
        admitted.insert.redirects = redirects;
        if far {
            admitted.insert.unreachable = [name("host05")].into_iter().collect();
        }
        admitted
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// Whatever is the case around it, what must always hold holds.
    #[test]
    fn the_invariants_hold_in_any_world(world in any_world(), admitted in any_admitted()) {
        let before = world.clone();
        let mut world = world;
        let end = place(&mut world, &admitted);
        let insert = &admitted.insert;
        let plan = match &admitted.proof {
            Proof::Redirect(Ticket { permit: Permit::Redirect { plan, .. }, .. }) => Some(*plan),
            _ => None,
        };
        let known_to_dtu = match &admitted.proof {
            Proof::Challenge | Proof::Link => None,
            Proof::Redirect(t) | Proof::Resume(t) => Some((t.session, t.epoch)),
        };
        match &end {
            Act::Attach(attachment) => {
                let id = attachment.session;
                // Not an epoch below one that the DTU or the store knows.
                prop_assert!(known_to_dtu.is_none_or(|(s, e)| s != id || attachment.epoch >= e));
                let row = world.row.as_ref().filter(|row| row.id == id && !world.store_down);
                prop_assert!(row.is_none_or(|row| attachment.epoch >= row.epoch));
                if plan == Some(Plan::Existing) {
                    prop_assert_eq!((id, attachment.origin), (MINE, Origin::Existing));
                }
                if attachment.origin == Origin::TakenOver {
                    let showing = insert.showing.map(|s| (s.session, s.epoch));
                    let row = before.row.as_ref().expect("the store knew it");
                    prop_assert_ne!(showing, Some((row.id, row.epoch)));
                }
            }
            Act::Redirect { to, plan: planned, found, .. } => {
                prop_assert!(plan.is_none(), "a redirect selects again");
                prop_assert!(insert.redirects < REDIRECTS_MAX);
                prop_assert!(!insert.unreachable.contains(to));
                let has = world.servers.get(to).copied().flatten() == Some(*found);
                prop_assert!(has || *planned != Plan::Existing);
                prop_assert!(world.row.is_none() || *planned != Plan::New);
                let stale = |(s, e): (SessionId, Epoch)| s == found.session && e > found.epoch;
                prop_assert!(!known_to_dtu.is_some_and(stale));
            }
            _ => {}
        }
        // A take-over comes only after silence: the endpoint, if there is
        // one, and the server, if it is another's, were asked and did not
        // speak for the session.
        for (i, act) in world.asked.iter().enumerate() {
            let Act::TakeOver { row, .. } = act else { continue };
            prop_assert!(row.endpoint.is_none() || !before.endpoint_answers);
            let said = before.servers.get(&row.owner).copied().flatten();
            let speaks = |s: TokenSession| s.session == row.id && s.epoch >= row.epoch;
            prop_assert!(row.owner == name("mud") || !said.is_some_and(speaks));
            // The store may have been asked once more after that.
            let reads = |act: &&Act| matches!(act, Act::ReadStore);
            let probes = world.asked[..i].iter().rev().skip_while(reads);
            let rounds = probes.take_while(|act| matches!(act, Act::Probe { .. })).count();
            let own_and_gone = row.endpoint.is_none()
                && (row.owner == name("mud") || before.servers.contains_key(&row.owner));
            prop_assert!(rounds >= ROUNDS as usize || own_and_gone, "{rounds} rounds");
        }
    }
}
