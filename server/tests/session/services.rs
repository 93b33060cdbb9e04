//! Services with real processes.

use crate::dtu::Dtu;
use crate::harness::{Options, Server, Session, wait_for};
use afterglow_wire::local::{CommandLine, End};
use afterglow_wire::service::{ServiceAct, ServiceOrder, ServiceSpec, ServiceState, ServiceStatus};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";

fn words(command: &str) -> CommandLine {
    CommandLine(["sh", "-c", command].map(String::from).to_vec())
}

fn service(name: &str, command: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.parse().unwrap(),
        command: words(command),
        required: false,
        start: true,
        host: String::new(),
        on_connect: CommandLine(Vec::new()),
        on_disconnect: CommandLine(Vec::new()),
    }
}

fn start(services: Vec<ServiceSpec>) -> Session {
    Session::start(Options { services, ..Options::shell(IDLE) })
}

/// Reads on until a service stands like this.
async fn until(server: &mut Server, name: &str, state: ServiceState) -> ServiceStatus {
    let find = |services: &[ServiceStatus]| {
        let mut all = services.iter();
        all.find(|service| service.name.as_str() == name && service.state == state).cloned()
    };
    let status = server.status(|status| find(&status.services).is_some()).await;
    find(&status.services).unwrap()
}

async fn order(server: &mut Server, name: &str, act: ServiceAct) {
    let order = ServiceOrder { name: name.parse().unwrap(), act };
    server.writer.send(order).await.unwrap();
}

/// The process id that a service wrote last, once it is another than before.
async fn next_pid(session: &Session, file: &str, before: Option<i32>) -> i32 {
    let path = session.home(file);
    wait_for("another process", || {
        let text = std::fs::read_to_string(&path).ok()?;
        text.strip_suffix('\n')?.parse().ok().filter(|pid| Some(*pid) != before)
    })
    .await
}

fn pid(raw: i32) -> Pid {
    Pid::from_raw(raw).unwrap()
}

#[tokio::test]
async fn a_service_runs_with_the_session_has_its_screen_and_is_stopped_and_started_again() {
    let command = "echo $DISPLAY > screen; echo $$ > pid; exec sleep 1000";
    let session = start(vec![service("clock", command)]);
    let mut server = session.server().await;
    until(&mut server, "clock", ServiceState::Running).await;
    let (screen, display) =
        (session.wait_for_file("screen").await, session.wait_for_file("display").await);
    assert_eq!(screen, display);
    let first = next_pid(&session, "pid", None).await;
    order(&mut server, "clock", ServiceAct::Stop).await;
    until(&mut server, "clock", ServiceState::Stopped).await;
    wait_for("its end", || test_kill_process(pid(first)).err()).await;
    order(&mut server, "clock", ServiceAct::Start).await;
    let second = next_pid(&session, "pid", Some(first)).await;
    order(&mut server, "clock", ServiceAct::Restart).await;
    next_pid(&session, "pid", Some(second)).await;
    wait_for("the first one's end", || test_kill_process(pid(second)).err()).await;
    until(&mut server, "clock", ServiceState::Running).await;
}

#[tokio::test]
async fn a_required_service_comes_back_and_another_says_why_it_failed() {
    let required =
        ServiceSpec { required: true, ..service("mail", "echo $$ > mail; exec sleep 1000") };
    let fails = service("sync", "echo 'cannot find the cloud' >&2; exit 3");
    let over = service("once", "exit 0");
    let session = start(vec![required, fails, over]);
    let mut server = session.server().await;
    let failed = until(&mut server, "sync", ServiceState::Failed).await;
    for part in ["exit status: 3", "cannot find the cloud"] {
        assert!(failed.text.contains(part), "{}", failed.text);
    }
    let mut again = session.server().await;
    assert_eq!(until(&mut again, "once", ServiceState::Stopped).await.text, "");
    let mut before = next_pid(&session, "mail", None).await;
    for _ in 0..3 {
        kill_process(pid(before), Signal::KILL).unwrap();
        before = next_pid(&session, "mail", Some(before)).await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_want_to_end_is_killed_with_all_that_it_started() {
    let command = "trap '' TERM; sleep 1000 & echo $! > child; \
                   sh -c 'trap \"\" TERM; echo $$ > pid; sleep 1000; sleep 1000'";
    let session = start(vec![service("stubborn", command)]);
    let mut server = session.server().await;
    let (child, stubborn) =
        (next_pid(&session, "child", None).await, next_pid(&session, "pid", None).await);
    order(&mut server, "stubborn", ServiceAct::Restart).await;
    next_pid(&session, "pid", Some(stubborn)).await;
    for raw in [child, stubborn] {
        assert!(test_kill_process(pid(raw)).is_err(), "{raw} is left");
    }
}

#[tokio::test]
async fn services_hear_when_dtus_come_and_go_in_order() {
    let heard = ServiceSpec {
        on_connect: words("echo come >> heard"),
        on_disconnect: words("echo gone >> heard"),
        ..service("clock", "exec sleep 1000")
    };
    let session = start(vec![heard]);
    let until_heard = async |expected: &str| {
        let path = session.home("heard");
        wait_for(expected, || std::fs::read_to_string(&path).ok().filter(|heard| heard == expected))
            .await
    };
    let shown = session.attach(&Dtu::new("one")).await;
    until_heard("come\n").await;
    shown.link.connection.close(0u32.into(), b"");
    until_heard("come\ngone\n").await;
    // Another DTU takes it away from the first: one message each.
    let _one = session.attach(&Dtu::new("one")).await;
    until_heard("come\ngone\ncome\n").await;
    let two = session.attach(&Dtu::new("two")).await;
    two.link.connection.close(0u32.into(), b"");
    let path = session.home("heard");
    wait_for("the last one's leave", || {
        let heard = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<&str> = heard.lines().collect();
        // Whether the move is seen as a leave depends on nothing but order.
        let alternate = lines.chunks(2).all(|pair| pair == ["come", "gone"]);
        (lines.len() >= 4 && alternate).then_some(())
    })
    .await;
}

/// Asks the bus for its id, and writes it into a file.
fn ask_bus(file: &str) -> String {
    format!(
        "dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / \
         org.freedesktop.DBus.GetId > {file}; echo >> {file}"
    )
}

#[tokio::test]
async fn desktop_and_services_have_one_bus_and_it_goes_with_them() {
    let ask = |file: &str| format!("{}; exec sleep 1000", ask_bus(file));
    let mut session = Session::start(Options {
        services: vec![service("mail", &ask("mail"))],
        ..Options::shell(&ask("desktop"))
    });
    let bus = session.wait_for_file("desktop").await;
    assert_eq!(bus.trim().len(), 32, "an id: {bus:?}");
    assert_eq!(session.wait_for_file("mail").await, bus);
    let mut server = session.server().await;
    server.writer.send(End { text: "the host goes down".into() }).await.unwrap();
    server.ended().await;
    session.wait_for_end().await;
}

/// An `ssh` that notes what it is asked, and runs it here.
const SSH: &str = "#!/bin/sh\n\
                   echo \"$@\" >> \"$HOME/asked\"\n\
                   while [ \"$1\" != -- ]; do shift; done\n\
                   [ \"$2\" = ada@nowhere ] && { echo 'no route to host' >&2; exit 255; }\n\
                   shift 2; exec sh -c \"$*\"\n";

#[tokio::test]
async fn a_service_on_another_host_runs_there_with_the_sessions_screen() {
    let there = ServiceSpec {
        host: "ada@big".into(),
        ..service("solver", "echo \"it's $DISPLAY\" > there; sleep 1000")
    };
    let lost = ServiceSpec { host: "ada@nowhere".into(), ..service("lost", "true") };
    let session = Session::start(Options {
        services: vec![there, lost],
        files: vec![("bin/ssh", SSH.into())],
        before: "export PATH=\"$HOME_DIR/bin:$PATH\"".into(),
        ..Options::shell(IDLE)
    });
    let mut server = session.server().await;
    let lost = until(&mut server, "lost", ServiceState::Failed).await;
    assert_eq!(lost.text, "ssh to ada@nowhere failed: no route to host");
    let display = session.wait_for_file("display").await;
    assert_eq!(session.wait_for_file("there").await, format!("it's {display}"));
    let asked = session.wait_for_file("asked").await;
    assert!(asked.contains("-X -o BatchMode=yes -o ExitOnForwardFailure=yes "), "{asked}");
    let solver = until(&mut server, "solver", ServiceState::Running).await;
    assert_eq!(solver.host, "ada@big");
}

#[tokio::test]
async fn without_ssh_the_package_is_named() {
    let there = ServiceSpec { host: "big".into(), ..service("solver", "true") };
    let before = "mkdir -p \"$HOME_DIR/bin\"; for p in Xvfb sh sleep; do \
                  ln -s \"$(command -v $p)\" \"$HOME_DIR/bin/\"; done; PATH=\"$HOME_DIR/bin\"";
    let session = Session::start(Options {
        services: vec![there],
        before: before.into(),
        ..Options::shell(IDLE)
    });
    let failed = until(&mut session.server().await, "solver", ServiceState::Failed).await;
    for part in ["runs on big", "openssh-client"] {
        assert!(failed.text.contains(part), "{}", failed.text);
    }
}
