//! A start that is held: nothing of it can be seen before the server says go,
//! and nothing of it stays if it says otherwise, or nothing.

use crate::dtu::Dtu;
use crate::harness::{Options, Session, Start, connect, group_key, wait_for, x_connection};
use afterglow_link::certificates::Authority;
use afterglow_server::desktop::size;
use afterglow_wire::codec::Message as _;
use afterglow_wire::local::{StartOrder, Started};
use afterglow_wire::trust::Role;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _};

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";

fn held() -> Options {
    Options { hold: true, ..Options::shell(IDLE) }
}

/// A start that is as far as it gets without an order.
fn prepared(options: Options) -> Start {
    let mut start = Start::new(options);
    assert_eq!(start.report(), Some(Started::Prepared));
    start
}

fn go(mut start: Start) -> Session {
    // Its server makes the home directory when the session is its own.
    std::fs::create_dir(&start.spec.home_dir).unwrap();
    start.order(StartOrder::Go);
    start.into_session().unwrap()
}

#[tokio::test]
async fn a_held_start_answers_nobody_and_touches_nothing_of_the_users() {
    let start = prepared(held());
    let (spec, port) = (start.spec.clone(), start.spec.listen.port());
    let dir = Path::new(&spec.runtime_dir);
    assert!(!dir.join("keeper.sock").exists(), "servers would find it");
    assert!(!Path::new(&spec.home_dir).exists());
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse, "the port is its own");
    let authority = Authority::of_group(&group_key()).unwrap();
    let server = authority.issue(&Role::Server("host05".parse().unwrap())).unwrap();
    let probe = timeout(Duration::from_millis(700), connect(&spec, port, &server)).await;
    assert!(probe.is_err(), "a probe was answered");

    let session = go(start);
    assert_eq!(session.port, port);
    assert!(dir.join("keeper.sock").exists());
    assert_eq!(session.server().await.status(|_| true).await.port, port);
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
}

#[tokio::test]
async fn a_held_start_has_its_screen_and_its_layout_already() {
    let start = prepared(Options { keymap: "de(nodeadkeys)", ..held() });
    let display = Path::new(&start.spec.runtime_dir).join("display");
    let x = x_connection(&start.spec, &std::fs::read_to_string(display).unwrap());
    assert_eq!(size::current(&x).unwrap(), start.spec.size);
    let root = x.setup().roots[0].root;
    let names = x.intern_atom(true, b"_XKB_RULES_NAMES").unwrap().reply().unwrap().atom;
    let names = x.get_property(false, root, names, AtomEnum::STRING, 0, 256).unwrap();
    let names = names.reply().unwrap().value;
    assert_eq!(String::from_utf8_lossy(&names), "evdev\0pc105\0de\0nodeadkeys\0\0");
}

#[tokio::test]
async fn a_go_that_comes_early_goes_straight_through_and_the_server_may_leave() {
    let mut start = Start::new(held());
    std::fs::create_dir(&start.spec.home_dir).unwrap();
    start.order(StartOrder::Go);
    start.hang_up();
    assert_eq!(start.report(), Some(Started::Prepared));
    let session = start.into_session().unwrap();
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
}

#[tokio::test]
async fn a_held_start_that_is_not_wanted_leaves_nothing_behind() {
    let no_order = [0xff; 32];
    let ends = [
        ("discard", &StartOrder::Discard.encode_framed()[..]),
        ("hang up", &[]),
        ("garbage", &no_order),
    ];
    for (what, said) in ends {
        for early in [true, false] {
            let mut start = Start::new(held());
            if !early {
                assert_eq!(start.report(), Some(Started::Prepared));
                assert_eq!((start.marked().len(), start.children().len()), (1, 2));
            }
            let children = start.children();
            match said {
                [] => start.hang_up(),
                said => start.write(said),
            }
            let status = start.wait_for_nothing();
            for child in children {
                assert!(!Path::new(&format!("/proc/{child}")).exists(), "{child} is left");
            }
            assert!(status.success(), "{what}, early: {early}: {status}");
            assert!(!Path::new(&start.spec.home_dir).exists());
        }
    }
}

#[tokio::test]
async fn a_held_start_fails_with_its_x_server_or_by_a_signal() {
    let mut start = prepared(held());
    let x_server = Pid::from_raw(start.marked()[0] as i32).unwrap();
    kill_process(x_server, Signal::KILL).unwrap();
    let text = start.into_session().err().unwrap();
    assert!(text.contains("X server died"), "{text}");

    start = prepared(held());
    kill_process(Pid::from_child(&start.keeper), Signal::TERM).unwrap();
    let text = start.into_session().err().unwrap();
    assert!(text.contains("ended on its host"), "{text}");
}

#[tokio::test]
async fn the_death_of_a_held_keeper_leaves_nothing_behind() {
    let start = prepared(held());
    kill_process(Pid::from_child(&start.keeper), Signal::KILL).unwrap();
    wait_for("the X server's end", || start.marked().is_empty().then_some(())).await;
    let dir = Path::new(&start.spec.runtime_dir);
    wait_for("the directory's end", || (!dir.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_desktop_that_cannot_be_started_is_a_failed_start_after_go_too() {
    let desktop = vec!["no-such-desktop".into()];
    let mut start = prepared(Options { desktop, ..held() });
    std::fs::create_dir(&start.spec.home_dir).unwrap();
    start.order(StartOrder::Go);
    let text = start.into_session().err().unwrap();
    assert!(text.contains("no-such-desktop"), "{text}");
}
