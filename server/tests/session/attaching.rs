//! Who may attach, and what happens when DTUs, workers and links come and go.

use crate::dtu::{Dtu, Link};
use crate::harness::{Options, PATIENCE, Session, group_key, wait_for, x_picture};
use afterglow_link::certificates::Authority;
use afterglow_wire::control::Remove;
use afterglow_wire::display::{DetachReason, FromSession, InputDone, Probe};
use afterglow_wire::ids::{Epoch, SessionId, Token, TokenKind};
use afterglow_wire::input::{InputEvent, KeyAction};
use afterglow_wire::local::DetachDtu;
use afterglow_wire::ticket::{Permit, Ticket};
use afterglow_wire::trust::Role;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateGCAux, Rectangle};

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";
const KEY_A: u8 = 30;
const KEY_A_CODE: usize = KEY_A as usize + 8;

/// True if the X server has the A key down.
async fn a_is_down(session: &Session) -> bool {
    let display = session.wait_for_file("display").await;
    let keys = session.x_connection(&display).query_keymap().unwrap().reply().unwrap().keys;
    keys[KEY_A_CODE / 8] & (1 << (KEY_A_CODE % 8)) != 0
}

async fn until_a_is(down: bool, session: &Session) {
    let until = Instant::now() + PATIENCE;
    while a_is_down(session).await != down {
        assert!(Instant::now() < until, "the key never changed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_the_right_ticket_attaches_and_only_once() {
    let session = Session::start(Options::shell(IDLE));
    let dtu = Dtu::new("one");
    let good = || session.ticket(&dtu);
    let used = good();
    let shown = session.try_attach(&dtu, used.clone()).await.unwrap();
    let wrong: [(&str, Ticket); 8] = [
        ("used before", used),
        ("connected elsewhere", Ticket { insert: 0, ..good() }),
        ("another session", Ticket { session: SessionId([1; 16]), ..good() }),
        ("another copy", Ticket { epoch: Epoch(2), ..good() }),
        (
            "another session",
            Ticket { token: Token::new(TokenKind::Soft, "bert").unwrap(), ..good() },
        ),
        ("not for attaching", Ticket { permit: Permit::Resume, ..good() }),
        ("time is over", Ticket { ends_ms: 1000, ..good() }),
        ("another DTU", Ticket { dtu: Dtu::new("two").id, ..good() }),
    ];
    for (why, ticket) in wrong {
        let refused = session.try_attach(&dtu, ticket).await.err().expect(why);
        assert_eq!(refused.reason, DetachReason::TicketRefused, "{why}");
        assert!(refused.text.contains(why), "{why}: {}", refused.text);
    }
    // None of that was felt by the one that is attached.
    assert_eq!(session.server().await.status(|_| true).await.shown_on, Some(dtu.id));
    drop(shown);
}

#[tokio::test]
async fn another_dtu_takes_the_session_over_and_the_first_says_so() {
    let session = Session::start(Options::shell(IDLE));
    let (one, two) = (Dtu::new("one"), Dtu::new("two"));
    let mut server = session.server().await;
    assert_eq!(server.status(|_| true).await.shown_on, None);
    let mut first = session.attach(&one).await;
    server.status(|status| status.shown_on == Some(one.id)).await;
    first.input(&[InputEvent::Key { scancode: KEY_A, action: KeyAction::Press }]).await;
    until_a_is(true, &session).await;

    let ticket = Ticket { connection: 2, ..session.ticket(&two) };
    let mut second = session.try_attach(&two, ticket).await.unwrap();
    let detached = first.until_detached().await;
    assert_eq!((detached.reason, detached.text.as_str()), (DetachReason::Elsewhere, "two"));
    assert!(second.attached.attachment > first.attached.attachment);
    assert_eq!(second.attached.resumes, None);
    second.until_equal(&session).await;
    until_a_is(false, &session).await;
    let status = server.status(|status| status.shown_on == Some(two.id)).await;
    assert_eq!(status.connection, 2);
    // The first one's ticket, had it been late, is too old now.
    let refused = session.try_attach(&one, session.ticket(&one)).await.err().unwrap();
    assert_eq!(refused.reason, DetachReason::Elsewhere);
}

#[tokio::test]
async fn a_removed_token_detaches_by_either_link_and_programs_stay() {
    let session = Session::start(Options::shell(IDLE));
    let dtu = Dtu::new("one");
    let mut server = session.server().await;
    let mut shown = session.attach(&dtu).await;
    shown.input(&[InputEvent::Key { scancode: KEY_A, action: KeyAction::Press }]).await;
    until_a_is(true, &session).await;
    shown.link.writer.send(Remove { insert: 1 }).await.unwrap();
    assert_eq!(shown.until_detached().await.reason, DetachReason::Removed);
    until_a_is(false, &session).await;
    server.status(|status| status.shown_on.is_none() && status.connection == 1).await;
    // What comes late with that insert is refused.
    let late = session.try_attach(&dtu, session.ticket(&dtu)).await.err().unwrap();
    assert_eq!(late.reason, DetachReason::TicketRefused);

    let ticket = |insert| Ticket { insert, connection: insert, ..session.ticket(&dtu) };
    let mut shown = session.try_attach(&dtu, ticket(2)).await.unwrap();
    server.writer.send(DetachDtu { dtu: Dtu::new("two").id, insert: 9 }).await.unwrap();
    server.writer.send(DetachDtu { dtu: dtu.id, insert: 1 }).await.unwrap();
    server.writer.send(DetachDtu { dtu: dtu.id, insert: 2 }).await.unwrap();
    assert_eq!(shown.until_detached().await.reason, DetachReason::Removed);
    session.try_attach(&dtu, ticket(3)).await.unwrap().until_equal(&session).await;
}

#[tokio::test]
async fn programs_and_held_keys_outlive_the_worker() {
    let session = Session::start(Options::shell(
        "echo $DISPLAY > display; exec xterm -geometry 200x100+0+0 -e \
         sh -c 'echo $$ > reader; read line; echo \"$line\" > typed; sleep 1000'",
    ));
    let dtu = Dtu::new("one");
    let mut shown = session.attach(&dtu).await;
    let reader = session.wait_for_file("reader").await;
    shown.until_equal(&session).await;
    shown.input(&[InputEvent::Pointer { x_px: 100, y_px: 100 }]).await;
    shown.tap(&[KEY_A]).await;
    shown.input(&[InputEvent::Key { scancode: KEY_A, action: KeyAction::Press }]).await;
    shown.until_input_done().await;

    let worker = session.worker_pid().unwrap();
    let pid = rustix::process::Pid::from_raw(worker as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let killed = Instant::now();
    shown.link.connection.closed().await;
    assert!(
        killed.elapsed() < Duration::from_millis(1000),
        "the new worker did not reset the old one's link: {:?}",
        killed.elapsed()
    );

    let mut again = session.attach(&dtu).await;
    assert!(again.attached.attachment > shown.attached.attachment);
    let done = InputDone { attachment: shown.attached.attachment, seq: 4 };
    assert_eq!(again.attached.resumes, Some(done));
    assert!(a_is_down(&session).await, "a held key stays down");
    // What was not acknowledged is sent again, with its old numbers, and what
    // was put in already is not put in twice.
    again.attached.attachment = done.attachment;
    again.input(&[InputEvent::Pointer { x_px: 100, y_px: 100 }]).await;
    again.tap(&[KEY_A]).await;
    again
        .input(&[
            InputEvent::Key { scancode: KEY_A, action: KeyAction::Press },
            InputEvent::Key { scancode: KEY_A, action: KeyAction::Release },
        ])
        .await;
    again.tap(&[28]).await;
    assert_eq!(session.wait_for_file("typed").await, "aa\n");
    assert_eq!(session.wait_for_file("reader").await, reader);
    again.until_equal(&session).await;
    assert_ne!(session.worker_pid(), Some(worker));
}

#[tokio::test]
async fn input_and_picture_go_on_while_a_program_has_the_x_server_for_itself() {
    let session = Session::start(Options::shell("echo $DISPLAY > display; exec sleep 1000"));
    let mut shown = session.attach(&Dtu::new("one")).await;
    let connection = session.x_connection(&session.wait_for_file("display").await);
    connection.grab_server().unwrap().check().unwrap();
    shown.input(&[InputEvent::Key { scancode: KEY_A, action: KeyAction::Press }]).await;
    shown.until_input_done().await;
    let keys = connection.query_keymap().unwrap().reply().unwrap().keys;
    assert_ne!(keys[KEY_A_CODE / 8] & (1 << (KEY_A_CODE % 8)), 0, "it is put in, and not later");
    // What the program draws meanwhile is seen.
    let root = connection.setup().roots[0].root;
    let red = CreateGCAux::new().foreground(0xff0000);
    let context = connection.generate_id().unwrap();
    connection.create_gc(context, root, &red).unwrap();
    let all = Rectangle { x: 0, y: 0, width: 640, height: 480 };
    connection.poly_fill_rectangle(root, context, &[all]).unwrap();
    connection.flush().unwrap();
    let until = Instant::now() + PATIENCE;
    while shown.picture != x_picture(&connection) || shown.picture.pixels()[2] != 0xff {
        assert!(Instant::now() < until, "the red was never seen");
        let _ = timeout(Duration::from_millis(50), shown.step()).await;
    }
    connection.ungrab_server().unwrap().check().unwrap();
    shown.until_equal(&session).await;
}

#[tokio::test]
async fn a_dtu_that_never_acknowledges_gets_two_frames() {
    let session = Session::start(Options::shell(
        "echo $DISPLAY > display; exec xterm -geometry 200x100+0+0 -e yes",
    ));
    let mut shown = session.attach(&Dtu::new("one")).await;
    shown.acknowledges = false;
    while shown.frames < 2 {
        assert_eq!(shown.step().await, None);
    }
    let third = timeout(Duration::from_millis(700), shown.step()).await;
    assert!(third.is_err(), "{:?}", shown.frames);
}

#[tokio::test]
async fn a_server_may_probe_and_a_dtu_may_not() {
    let session = Session::start(Options::shell(IDLE));
    let authority = Authority::of_group(&group_key()).unwrap();
    let server = authority.issue(&Role::Server("host05".parse().unwrap())).unwrap();
    let mut link = session.connect(&server).await;
    link.writer.send(Probe { nonce: 77 }).await.unwrap();
    match link.next().await {
        Some(FromSession::ProbeAnswer(answer)) => {
            assert_eq!((answer.nonce, answer.session), (77, session.spec.session));
            assert_eq!((answer.epoch, answer.shown_on), (session.spec.epoch, None));
        }
        other => panic!("{other:?}"),
    }
    let mut link = session.connect(&Dtu::new("one").credentials).await;
    link.writer.send(Probe { nonce: 77 }).await.unwrap();
    assert_protocol_error(&mut link).await;
}

async fn assert_protocol_error(link: &mut Link) {
    match link.next().await {
        Some(FromSession::Detached(detached)) => {
            assert_eq!(detached.reason, DetachReason::Protocol);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(link.next().await, None);
}

#[tokio::test]
async fn bad_peers_are_dropped_and_the_attached_one_goes_on() {
    let session = Session::start(Options::shell(IDLE));
    let mut shown = session.attach(&Dtu::new("one")).await;
    shown.until_equal(&session).await;

    // More than may be unknown at a time: the oldest of them have to go.
    let stranger = Dtu::new("stranger");
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(session.connect(&stranger.credentials).await);
    }
    wait_for("the oldest to be sent away", || silent[0].connection.close_reason()).await;
    assert!(silent[39].connection.close_reason().is_none());

    // Input before it is attached.
    let mut early = session.connect(&stranger.credentials).await;
    early.writer.send(Remove { insert: 1 }).await.unwrap();
    assert_protocol_error(&mut early).await;

    // An acknowledgement of a frame that was never sent.
    let ticket = Ticket { connection: 2, ..session.ticket(&stranger) };
    let mut liar = session.try_attach(&stranger, ticket).await.unwrap();
    let shown_frame = afterglow_wire::display::FrameShown { number: 1000 };
    liar.link.writer.send(shown_frame).await.unwrap();
    assert_eq!(liar.until_detached().await.reason, DetachReason::Protocol);

    let ticket = Ticket { connection: 3, ..session.ticket(&stranger) };
    session.try_attach(&stranger, ticket).await.unwrap().until_equal(&session).await;
}
