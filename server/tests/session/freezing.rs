//! A copy that was taken over elsewhere: it stands still, goes on as a session
//! of its own, or ends.

use crate::dtu::Dtu;
use crate::harness::{Options, Server, Session, group_key, wait_for};
use afterglow_link::certificates::Authority;
use afterglow_server::keeper::session_dir::{mark, read_identity};
use afterglow_wire::display::DetachReason;
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::local::{Become, CommandLine, Der, End, Freeze};
use afterglow_wire::service::{ServiceAct, ServiceOrder, ServiceSpec};
use afterglow_wire::trust::Role;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A desktop that counts, with a child that it does not wait for, and one that
/// has left its group.
const COUNTS: &str = "echo $DISPLAY > display; echo $$ > pid; \
    (while :; do echo x >> child; sleep 0.02; done) & \
    setsid sh -c 'while :; do echo x >> away; sleep 0.02; done' & \
    while :; do echo x >> count; sleep 0.02; done";
const FILES: [&str; 3] = ["count", "child", "away"];

fn sizes(session: &Session) -> Vec<u64> {
    FILES.map(|file| session.home(file).metadata().map_or(0, |found| found.len())).to_vec()
}

/// Waits until all of them have counted on.
async fn counts_on(session: &Session) {
    let before = sizes(session);
    wait_for("all to count on", || {
        sizes(session).iter().zip(&before).all(|(now, then)| now > then).then_some(())
    })
    .await;
}

async fn freeze(server: &mut Server) {
    server.writer.send(Freeze { by: Epoch(2) }).await.unwrap();
    server.status(|status| status.frozen).await;
}

/// What the copy goes on as.
fn other() -> (SessionId, Become) {
    let session = SessionId([0xee; 16]);
    let authority = Authority::of_group(&group_key()).unwrap();
    let role = Role::Session { id: session, epoch: Epoch::FIRST };
    let credentials = authority.issue(&role).unwrap();
    let der = |bytes: &[u8]| Der(bytes.to_vec().into());
    let becomes = Become {
        session,
        epoch: Epoch::FIRST,
        certificate: der(&credentials.chain[0]),
        certificate_key: der(credentials.key.secret_pkcs8_der()),
    };
    (session, becomes)
}

/// Freezes it, looks at it, and lets it go on as another session.
async fn stands_still_and_goes_on(mut session: Session) {
    let mut server = session.server().await;
    let dtu = Dtu::new("one");
    let mut shown = session.attach(&dtu).await;
    shown.until_equal(&session).await;
    counts_on(&session).await;
    let pid = session.wait_for_file("pid").await;
    freeze(&mut server).await;
    let frozen = sizes(&session);
    assert_eq!(shown.until_detached().await.reason, DetachReason::Removed);
    let refused = session.try_attach(&dtu, session.ticket(&dtu)).await.err().unwrap();
    assert!(refused.text.contains("taken over"), "{}", refused.text);
    // Nothing is started in it either, and a new worker knows it too.
    let order = ServiceOrder { name: "clock".parse().unwrap(), act: ServiceAct::Start };
    server.writer.send(order).await.unwrap();
    let worker = session.worker_pid().unwrap();
    let raw = rustix::process::Pid::from_raw(worker as i32).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    wait_for("another worker", || session.worker_pid().filter(|pid| *pid != worker)).await;
    let refused = session.try_attach(&dtu, session.ticket(&dtu)).await.err().unwrap();
    assert!(refused.text.contains("taken over"), "{}", refused.text);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(sizes(&session), frozen, "something counts on");
    assert!(!session.home("clock").exists());

    let (id, becomes) = other();
    server.writer.send(becomes).await.unwrap();
    let status = server.status(|status| status.session == id).await;
    assert_eq!((status.epoch, status.frozen, status.shown_on), (Epoch::FIRST, false, None));
    assert_eq!(status.port, session.port);
    let dir = Path::new(&session.spec.runtime_dir);
    assert_eq!(read_identity(dir), Some((id, Epoch::FIRST)));
    (session.spec.session, session.spec.epoch) = (id, Epoch::FIRST);
    counts_on(&session).await;
    assert_eq!(session.wait_for_file("pid").await, pid, "the same programs");
    session.attach(&dtu).await.until_equal(&session).await;
    session.wait_for_file("clock").await;
}

fn options(before: String) -> Options {
    let clock = ServiceSpec {
        name: "clock".parse().unwrap(),
        command: CommandLine(["sh", "-c", "echo up > clock; sleep 1000"].map(String::from).into()),
        required: false,
        start: false,
        host: String::new(),
        on_connect: CommandLine(Vec::new()),
        on_disconnect: CommandLine(Vec::new()),
    };
    Options { services: vec![clock], before, ..Options::shell(COUNTS) }
}

#[tokio::test]
async fn without_a_group_of_its_own_programs_are_stopped_by_signals() {
    stands_still_and_goes_on(Session::start(options(String::new()))).await;
}

/// Where control groups can be made, if they can be.
fn groups() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    let place = PathBuf::from(mount.split(' ').nth(1)?);
    let try_it = place.join(format!("afterglow-try-{}", std::process::id()));
    std::fs::create_dir(&try_it).ok()?;
    std::fs::remove_dir(&try_it).ok()?;
    Some(place)
}

/// Puts the keeper into a scope as systemd would, where groups can be made.
fn in_a_scope() -> Option<(String, PathBuf)> {
    let groups = groups()?;
    let before = format!(
        "group={}/afterglow-session-$(basename \"$SESSION_DIR\").scope\n\
         mkdir \"$group\" && echo $$ > \"$group/cgroup.procs\"",
        groups.display()
    );
    Some((before, groups))
}

#[tokio::test]
async fn in_a_group_of_its_own_all_of_them_are_frozen_whatever_they_call_themselves() {
    let Some((before, groups)) = in_a_scope() else {
        return eprintln!("control groups cannot be made here: not tested");
    };
    // One without the mark: only its group tells whose it is.
    let unmarked = COUNTS.replace("setsid sh", "setsid env -i PATH=\"$PATH\" sh");
    let desktop = ["sh", "-c", &unmarked].map(String::from).to_vec();
    let session = Session::start(Options { desktop, ..options(before) });
    let dir = PathBuf::from(&session.spec.runtime_dir);
    let group = groups.join(format!("afterglow-session-{}.scope", mark(&dir)));
    let away = session.home("away");
    stands_still_and_goes_on(session).await;
    // It is gone, all but the one that nothing but its group tells of.
    assert!(away.exists() || group.join("programs").exists());
    std::fs::write(group.join("cgroup.kill"), "1").unwrap();
    wait_for("the group's end", || {
        let _ = std::fs::remove_dir(group.join("programs"));
        std::fs::remove_dir(&group).ok()
    })
    .await;
}

#[tokio::test]
async fn a_frozen_session_can_be_ended_and_does_nothing_more() {
    let scopes = [Some(String::new()), in_a_scope().map(|(before, _)| before)];
    for before in scopes.into_iter().flatten() {
        let mut session = Session::start(options(before));
        let mut server = session.server().await;
        counts_on(&session).await;
        freeze(&mut server).await;
        let frozen = sizes(&session);
        server.writer.send(End { text: "not wanted".into() }).await.unwrap();
        assert_eq!(server.ended().await, "not wanted");
        assert_eq!(sizes(&session), frozen);
        session.wait_for_end().await;
        let group = groups().map(|groups| {
            let dir = Path::new(&session.spec.runtime_dir);
            groups.join(format!("afterglow-session-{}.scope", mark(dir)))
        });
        if let Some(group) = group.filter(|group| group.exists()) {
            std::fs::remove_dir(group).expect("nothing is left in it");
        }
    }
}
