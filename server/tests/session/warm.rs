//! An X server that waits for its session.

use crate::dtu::Dtu;
use crate::harness::{Options, Start};
use afterglow_wire::local::{StartOrder, Started};

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";

fn warm(options: Options) -> Start {
    let mut start = Start::warm(options);
    assert_eq!(start.report(), Some(Started::Prepared));
    start
}

#[tokio::test]
async fn a_warm_keeper_becomes_the_session_that_it_is_told() {
    let mut start = warm(Options::shell(IDLE));
    assert!(!std::path::Path::new(&start.spec.home_dir).exists());
    std::fs::create_dir(&start.spec.home_dir).unwrap();
    let order = StartOrder::Be(Box::new(start.spec.clone()));
    start.order(order);
    let session = start.into_session().unwrap();
    assert_eq!(session.server().await.status(|_| true).await.session, session.spec.session);
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
}

#[tokio::test]
async fn a_warm_keeper_may_be_held_once_it_knows_its_session() {
    let mut start = warm(Options { hold: true, ..Options::shell(IDLE) });
    let order = StartOrder::Be(Box::new(start.spec.clone()));
    start.order(order);
    assert_eq!(start.report(), Some(Started::Prepared));
    std::fs::create_dir(&start.spec.home_dir).unwrap();
    start.order(StartOrder::Go);
    let session = start.into_session().unwrap();
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
}

#[test]
fn a_warm_keeper_whose_server_goes_leaves_nothing() {
    let mut start = warm(Options::shell(IDLE));
    start.hang_up();
    assert!(start.wait_for_nothing().success());
}
