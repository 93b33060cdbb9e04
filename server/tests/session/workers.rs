//! Workers that die again and again.

use crate::dtu::Dtu;
use crate::harness::{Options, Session, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";

#[tokio::test]
async fn a_crash_loop_is_told_in_words_and_forgotten_once_a_worker_lives() {
    let session = Session::start(Options::shell(IDLE));
    let mut server = session.server().await;
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
    let mut before = None;
    for _ in 0..3 {
        let worker = wait_for("another worker", || {
            session.worker_pid().filter(|worker| Some(*worker) != before)
        })
        .await;
        before = Some(worker);
        kill_process(Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
    }
    let trouble = server.status(|status| !status.trouble.is_empty()).await.trouble;
    for part in ["failed 3 times", "next try in", "Your programs keep running"] {
        assert!(trouble.contains(part), "{trouble}");
    }
    // Nobody has to ask for it.
    server.status(|status| status.trouble.is_empty()).await;
    session.attach(&Dtu::new("two")).await.until_equal(&session).await;
}
