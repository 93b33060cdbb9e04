//! X servers that wait until a session wants them.

use crate::dtu::Dtu;
use crate::harness::{Options, Session, Start, wait_for};
use afterglow_server::keeper::session_dir::read_identity;
use afterglow_wire::codec::Message as _;
use afterglow_wire::local::{SessionSpec, StartOrder, Started};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Instant;

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";

fn warm() -> Start {
    let mut start = Start::new(Options { warm: true, ..Options::shell(IDLE) });
    assert_eq!(start.report(), Some(Started::Prepared));
    start
}

fn be(start: &mut Start, hold: bool) {
    let spec = SessionSpec { hold, ..start.spec.clone() };
    start.order(StartOrder::Be(Box::new(spec)));
}

#[tokio::test]
async fn a_warm_keeper_is_the_session_that_it_is_told_to_be() {
    for hold in [false, true] {
        let mut start = warm();
        let dir = Path::new(&start.spec.runtime_dir).to_owned();
        assert_eq!(read_identity(&dir), None);
        assert!(!Path::new(&start.spec.home_dir).exists());
        let x_server = start.marked();
        // Its server makes the home before it says the last word.
        if hold {
            be(&mut start, hold);
            wait_for("its identity", || read_identity(&dir)).await;
            assert!(!dir.join("keeper.sock").exists(), "it is held");
        }
        std::fs::create_dir(&start.spec.home_dir).unwrap();
        match hold {
            true => start.order(StartOrder::Go),
            false => be(&mut start, hold),
        }
        let session = start.into_session().unwrap();
        assert_eq!(read_identity(&dir), Some((session.spec.session, session.spec.epoch)));
        session.attach(&Dtu::new("one")).await.until_equal(&session).await;
        assert_eq!(session.x_server_pid(), x_server.first().copied());
    }
}

#[tokio::test]
async fn a_warm_keeper_that_is_not_wanted_leaves_nothing_behind() {
    for ending in [Some(StartOrder::Discard.encode_framed()), None] {
        let mut start = warm();
        assert_eq!((start.marked().len(), start.children().len()), (1, 2));
        match ending {
            Some(order) => start.write(&order),
            None => start.hang_up(),
        }
        assert!(start.wait_for_nothing().success());
    }
    // Told what to be, but held, and then its server is gone.
    let mut start = warm();
    be(&mut start, true);
    start.hang_up();
    assert!(start.wait_for_nothing().success());
}

#[tokio::test]
async fn a_warm_keeper_ends_with_its_x_server() {
    let start = warm();
    kill_process(Pid::from_raw(start.marked()[0] as i32).unwrap(), Signal::KILL).unwrap();
    let text = start.into_session().err().unwrap();
    assert!(text.contains("X server died"), "{text}");
}

/// From the last word of the server to the report that the session is up.
fn start_ms(warm_x_server: bool) -> u128 {
    let (began, start) = match warm_x_server {
        false => (Instant::now(), Start::new(Options::shell(IDLE))),
        true => {
            let mut start = warm();
            std::fs::create_dir(&start.spec.home_dir).unwrap();
            let began = Instant::now();
            be(&mut start, false);
            (began, start)
        }
    };
    let session: Session = start.into_session().unwrap();
    let took = began.elapsed();
    drop(session);
    took.as_millis()
}

#[tokio::test]
async fn a_session_whose_x_server_waited_is_up_sooner() {
    let median = |warm: bool| {
        let mut all: Vec<u128> = (0..3).map(|_| start_ms(warm)).collect();
        all.sort_unstable();
        all[1]
    };
    let (cold_ms, warm_ms) = (median(false), median(true));
    println!("start of a session: {cold_ms} ms; with an X server that waited: {warm_ms} ms");
    assert!(warm_ms < cold_ms, "{warm_ms} ms, without {cold_ms} ms");
}
