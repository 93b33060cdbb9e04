//! Full disks, and homes that are missing or read-only.

use crate::dtu::Dtu;
use crate::harness::{Options, Session, Start, wait_for};
use afterglow_wire::local::Started;
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";

/// Shell words that go on in mounts of their own, after these.
fn in_own_mounts(words: &str) -> String {
    format!("exec unshare --map-root-user --mount sh -c '{words}; exec \"$@\"' sh \"$@\"")
}

#[tokio::test]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let before = "exec 2> /dev/full".to_owned();
    let session = Session::start(Options { before, ..Options::shell(IDLE) });
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
    let worker = session.worker_pid().unwrap();
    kill_process(Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
    wait_for("another worker", || session.worker_pid().filter(|pid| *pid != worker)).await;
    session.attach(&Dtu::new("two")).await.until_equal(&session).await;
}

#[tokio::test]
async fn a_full_disk_is_said_at_the_start() {
    let words = "mount -t tmpfs -o size=64k none \"$SESSION_DIR\"; \
                 head -c 1M /dev/zero > \"$SESSION_DIR/fill\" 2> /dev/null";
    let mut start = Start::new(Options { before: in_own_mounts(words), ..Options::shell(IDLE) });
    let Some(Started::Failed { text }) = start.report() else { panic!("it started") };
    assert!(text.contains("cannot write") && text.contains("No space left"), "{text}");
    start.keeper.wait().unwrap();
    assert_eq!(start.marked(), [0; 0]);
}

#[tokio::test]
async fn a_disk_that_becomes_full_ends_nothing() {
    let words = "mount -t tmpfs -o size=2m none \"$SESSION_DIR\"";
    let command = "echo $DISPLAY > display; while :; do echo a line for the log; sleep 0.01; done";
    let session =
        Session::start(Options { before: in_own_mounts(words), ..Options::shell(command) });
    // The session's directory as the keeper sees it.
    let inside = format!("/proc/{}/root{}", session.keeper_pid(), session.spec.runtime_dir);
    let fill = PathBuf::from(inside).join("fill");
    let text = "no room is left";
    let full = std::fs::write(fill, vec![1; 4 << 20]).expect_err(text);
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let worker = session.worker_pid().unwrap();
    kill_process(Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
    wait_for("another worker", || session.worker_pid().filter(|pid| *pid != worker)).await;
    let shown = session.attach(&Dtu::new("one")).await;
    assert_eq!(shown.attached.session, session.spec.session);
    assert_eq!(session.server_inside().await.status(|_| true).await.port, session.port);
}

#[tokio::test]
async fn a_missing_home_is_a_refusal_that_says_so() {
    let before = "rmdir \"$HOME_DIR\"".to_owned();
    let text = Session::try_start(Options { before, ..Options::shell(IDLE) }).err().unwrap();
    assert!(text.contains("home directory") && text.contains("/home cannot be used"), "{text}");
}

#[tokio::test]
async fn a_read_only_home_is_a_notice() {
    let words = "mount --bind \"$HOME_DIR\" \"$HOME_DIR\"; \
                 mount -o remount,bind,ro \"$HOME_DIR\"";
    let session = Session::start(Options {
        before: in_own_mounts(words),
        ..Options::shell("exec sleep 1000")
    });
    let trouble = session.server().await.status(|_| true).await.trouble;
    assert!(trouble.contains("home is read-only"), "{trouble}");
    session.attach(&Dtu::new("one")).await;
}
