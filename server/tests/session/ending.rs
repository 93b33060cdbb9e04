//! How sessions end, and that nothing of them stays.

use crate::dtu::Dtu;
use crate::harness::{Options, Session};
use afterglow_wire::display::DetachReason;
use afterglow_wire::local::End;
use rustix::process::{Pid, Signal, kill_process};

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";

#[tokio::test]
async fn a_desktop_that_exits_at_once_says_why() {
    // It ends once it may, so that the test can watch.
    let command = "read go < go; echo 'cannot open the moon' >&2; exit 3";
    let mut session = Session::start(Options {
        desktop: ["sh", "-c", &format!("mkfifo go; {command}")].map(String::from).to_vec(),
        ..Options::shell("")
    });
    let mut server = session.server().await;
    let mut shown = session.attach(&Dtu::new("one")).await;
    let go = session.home("go");
    crate::harness::wait_for("the pipe", || go.exists().then_some(())).await;
    std::fs::write(&go, "go\n").unwrap();
    let detached = shown.until_detached().await;
    assert_eq!(detached.reason, DetachReason::Ended);
    let text = server.ended().await;
    assert_eq!(detached.text, text);
    for part in ["sh -c", "exit status: 3", "cannot open the moon"] {
        assert!(text.contains(part), "{text}");
    }
    session.wait_for_end().await;
}

#[tokio::test]
async fn a_desktop_that_cannot_be_started_is_a_failed_start() {
    let options = Options { desktop: vec!["no-such-desktop".into()], ..Options::shell("") };
    let text = Session::try_start(options).err().unwrap();
    assert!(text.contains("no-such-desktop") && text.contains("`desktop`"), "{text}");
}

#[tokio::test]
async fn without_xvfb_the_package_is_named() {
    let options = Options { path: Some("/nowhere".into()), ..Options::shell("true") };
    let text = Session::try_start(options).err().unwrap();
    assert!(text.contains("install the package xvfb"), "{text}");
}

#[tokio::test]
async fn a_server_can_end_a_session_whatever_its_programs_do() {
    // One that runs away from its group, and one that ignores what it is told.
    let command = "setsid sh -c 'trap \"\" TERM HUP; echo x > away; sleep 1000' & \
                   echo $DISPLAY > display; trap '' TERM; sleep 1000; sleep 1000";
    let mut session = Session::start(Options::shell(command));
    session.wait_for_file("away").await;
    let mut shown = session.attach(&Dtu::new("one")).await;
    let mut server = session.server().await;
    server.writer.send(End { text: "the host goes down".into() }).await.unwrap();
    let detached = shown.until_detached().await;
    assert_eq!(detached.reason, DetachReason::Ended);
    assert_eq!(detached.text, "the host goes down");
    assert_eq!(server.ended().await, "the host goes down");
    session.wait_for_end().await;
}

#[tokio::test]
async fn signals_end_a_session_in_order_but_a_hang_up_does_not() {
    let mut session = Session::start(Options::shell(IDLE));
    let mut server = session.server().await;
    let keeper = Pid::from_raw(session.keeper_pid() as i32).unwrap();
    kill_process(keeper, Signal::HUP).unwrap();
    let mut shown = session.attach(&Dtu::new("one")).await;
    shown.until_equal(&session).await;
    kill_process(keeper, Signal::TERM).unwrap();
    assert_eq!(shown.until_detached().await.reason, DetachReason::Ended);
    server.ended().await;
    session.wait_for_end().await;
}

#[tokio::test]
async fn the_death_of_the_x_server_ends_the_session() {
    let mut session = Session::start(Options::shell(IDLE));
    let mut server = session.server().await;
    session.wait_for_file("display").await;
    let x_server = session.x_server_pid().unwrap();
    kill_process(Pid::from_raw(x_server as i32).unwrap(), Signal::KILL).unwrap();
    let text = server.ended().await;
    assert!(text.contains("X server died"), "{text}");
    session.wait_for_end().await;
}

#[tokio::test]
async fn a_port_in_use_is_passed_over_and_a_full_range_is_told() {
    let first = Session::start(Options::shell(IDLE));
    let port = first.port;
    let second = Session::start(Options { ports: Some((port, port + 40)), ..Options::shell(IDLE) });
    assert!(second.port > port);
    let full = Options { ports: Some((port, port)), ..Options::shell(IDLE) };
    let text = Session::try_start(full).err().unwrap();
    assert!(text.contains("session_ports") && text.contains(&port.to_string()), "{text}");
}

#[tokio::test]
async fn the_death_of_the_keeper_leaves_nothing_behind() {
    let mut session = Session::start(Options::shell(IDLE));
    session.wait_for_file("display").await;
    // The worker has to be up to notice.
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
    let keeper = Pid::from_raw(session.keeper_pid() as i32).unwrap();
    kill_process(keeper, Signal::KILL).unwrap();
    session.wait_for_end().await;
}
