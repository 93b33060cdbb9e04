//! A copy whose session was taken over elsewhere: frozen, and let go on as a
//! session of its own.

use crate::dtu::Dtu;
use crate::harness::{Options, PATIENCE, Session, group_key, wait_for};
use afterglow_link::certificates::Authority;
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::local::{Become, Der, End, Freeze};
use afterglow_wire::ticket::Ticket;
use afterglow_wire::trust::Role;
use std::time::Duration;
use tokio::time::timeout;

/// It counts in a file, and so does a program that it started.
const COUNTS: &str = "count() { i=0; while :; do i=$((i+1)); echo $i > $1; sleep 0.02; done; }; \
                      echo $$ > pid; echo $DISPLAY > display; count inner & count outer";

fn counted(session: &Session, name: &str) -> Option<u64> {
    std::fs::read_to_string(session.home(name)).ok()?.trim().parse().ok()
}

async fn counts_on(session: &Session) {
    for name in ["inner", "outer"] {
        let before = wait_for(name, || counted(session, name)).await;
        wait_for(name, || counted(session, name).filter(|now| *now > before + 2)).await;
    }
}

async fn frozen() -> Session {
    let session = Session::start(Options::shell(COUNTS));
    counts_on(&session).await;
    let mut server = session.server().await;
    server.writer.send(Freeze { by: Epoch(2) }).await.unwrap();
    server.status(|status| status.frozen).await;
    session
}

#[tokio::test]
async fn a_frozen_copys_programs_stand_still_and_nobody_is_attached() {
    let session = frozen().await;
    let before = (counted(&session, "inner"), counted(&session, "outer"));
    // Long enough for many rounds of either of them.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((counted(&session, "inner"), counted(&session, "outer")), before);
    let pid = session.wait_for_file("pid").await;
    assert!(std::path::Path::new("/proc").join(pid.trim()).exists(), "nothing is killed");
    let dtu = Dtu::new("one");
    let attach = session.try_attach(&dtu, session.ticket(&dtu));
    assert!(timeout(Duration::from_millis(700), attach).await.is_err(), "nobody answers");
}

#[tokio::test]
async fn an_older_copy_goes_on_as_a_session_of_its_own_with_the_same_processes() {
    let mut session = frozen().await;
    let pid = session.wait_for_file("pid").await;
    let (id, epoch) = (SessionId([9; 16]), Epoch::FIRST);
    let authority = Authority::of_group(&group_key()).unwrap();
    let issued = authority.issue(&Role::Session { id, epoch }).unwrap();
    let identity = Become {
        session: id,
        epoch,
        certificate: Der(issued.chain[0].to_vec().into()),
        certificate_key: Der(issued.key.secret_pkcs8_der().to_vec().into()),
    };
    let mut server = session.server().await;
    server.writer.send(identity).await.unwrap();
    let status = server.status(|status| status.session == id).await;
    assert_eq!((status.epoch, status.frozen, status.port), (epoch, false, session.port));
    let old = session.spec.session;
    session.spec.session = id;
    counts_on(&session).await;
    assert_eq!(session.wait_for_file("pid").await, pid);
    let dtu = Dtu::new("one");
    let mut shown = timeout(PATIENCE, session.attach(&dtu)).await.unwrap();
    shown.until_equal(&session).await;
    // A ticket for what it was is for another session.
    let stale = Ticket { session: old, ..session.ticket(&dtu) };
    let refused = session.try_attach(&dtu, stale).await.err().expect("refused");
    assert!(refused.text.contains("another session"), "{}", refused.text);
}

#[tokio::test]
async fn a_frozen_copy_can_be_ended() {
    let mut session = frozen().await;
    let end = End { text: "not needed".into() };
    let mut server = session.server().await;
    server.writer.send(end).await.unwrap();
    session.wait_for_end().await;
}
