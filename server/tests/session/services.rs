//! The services of a session: started, stopped, restarted, and told of.

use crate::dtu::Dtu;
use crate::harness::{Options, Server, Session, wait_for};
use afterglow_wire::local::{CommandLine, Status};
use afterglow_wire::service::{ServiceAct, ServiceOrder, ServiceSpec, ServiceState, ServiceStatus};

const IDLE: &str = "exec sleep 1000";

fn service(name: &str, script: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.parse().unwrap(),
        command: CommandLine(["sh", "-c", script].map(String::from).to_vec()),
        required: false,
        start: false,
        host: String::new(),
        on_connect: CommandLine(Vec::new()),
        on_disconnect: CommandLine(Vec::new()),
    }
}

fn start(services: Vec<ServiceSpec>) -> Session {
    Session::start(Options { services, ..Options::shell(IDLE) })
}

fn of(status: &Status, name: &str) -> ServiceStatus {
    let found = status.services.iter().find(|service| service.name.as_str() == name);
    found.expect("is in the catalogue").clone()
}

async fn order(server: &mut Server, name: &str, act: ServiceAct) {
    server.writer.send(ServiceOrder { name: name.parse().unwrap(), act }).await.unwrap();
}

async fn until(server: &mut Server, name: &str, state: ServiceState) -> ServiceStatus {
    of(&server.status(|status| of(status, name).state == state).await, name)
}

#[tokio::test]
async fn a_service_is_started_stopped_and_restarted_on_order() {
    let script = "echo $$ >> runs; echo \"$DISPLAY $HOME\" > where; exec sleep 1000";
    let session = start(vec![service("clock", script)]);
    let mut server = session.server().await;
    until(&mut server, "clock", ServiceState::Stopped).await;
    order(&mut server, "clock", ServiceAct::Start).await;
    until(&mut server, "clock", ServiceState::Running).await;
    let place = session.wait_for_file("where").await;
    assert!(place.starts_with(':') && place.contains(&session.spec.home_dir), "{place}");
    let first = session.wait_for_file("runs").await;

    order(&mut server, "clock", ServiceAct::Restart).await;
    let runs = session.home("runs");
    let both = wait_for("the second run", || {
        std::fs::read_to_string(&runs).ok().filter(|text| text.lines().count() == 2)
    })
    .await;
    assert!(both.starts_with(&first));
    until(&mut server, "clock", ServiceState::Running).await;
    order(&mut server, "clock", ServiceAct::Stop).await;
    until(&mut server, "clock", ServiceState::Stopped).await;
    for pid in both.lines() {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(line.is_empty(), "{pid} still runs: {}", String::from_utf8_lossy(&line));
    }
}

#[tokio::test]
async fn a_required_service_that_is_killed_runs_again() {
    let required =
        ServiceSpec { required: true, ..service("mail", "echo $$ > pid; exec sleep 99") };
    let session = start(vec![required]);
    let mut server = session.server().await;
    until(&mut server, "mail", ServiceState::Running).await;
    let first = session.wait_for_file("pid").await;
    let pid = rustix::process::Pid::from_raw(first.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let path = session.home("pid");
    wait_for("another process", || {
        std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n') && *text != first)
    })
    .await;
    until(&mut server, "mail", ServiceState::Running).await;
}

#[tokio::test]
async fn a_service_that_fails_says_what_it_printed_last() {
    let fails = ServiceSpec { start: true, ..service("bad", "echo no such thing >&2; exit 3") };
    let session = start(vec![fails, service("missing", "true")]);
    let mut server = session.server().await;
    let failed = until(&mut server, "bad", ServiceState::Failed).await;
    assert!(failed.text.contains("exit status: 3: no such thing"), "{}", failed.text);
    let far = ServiceSpec { host: "nobody.invalid".into(), start: true, ..service("far", "true") };
    let session = start(vec![far]);
    let failed = until(&mut session.server().await, "far", ServiceState::Failed).await;
    assert!(!failed.text.is_empty() && failed.host == "nobody.invalid", "{failed:?}");
}

#[tokio::test]
async fn commands_run_when_a_dtu_connects_and_disconnects_in_this_order() {
    let line = |word: &str| {
        let script = format!("echo {word} >> seen");
        CommandLine(["sh".to_owned(), "-c".to_owned(), script].to_vec())
    };
    let on = ServiceSpec {
        on_connect: line("came"),
        on_disconnect: line("went"),
        ..service("hook", "exec sleep 1000")
    };
    let session = start(vec![on]);
    let dtu = Dtu::new("one");
    let shown = session.attach(&dtu).await;
    let seen = session.home("seen");
    let wait = |words: &'static str| {
        let seen = seen.clone();
        wait_for(words, move || std::fs::read_to_string(&seen).ok().filter(|text| text == words))
    };
    wait("came\n").await;
    drop(shown);
    wait("came\nwent\n").await;
}

#[tokio::test]
async fn services_end_with_their_session() {
    let on = ServiceSpec { start: true, ..service("clock", "echo $$ > pid; exec sleep 1000") };
    let mut session = start(vec![on]);
    session.wait_for_file("pid").await;
    let end = afterglow_wire::local::End { text: "enough".into() };
    let mut server = session.server().await;
    server.writer.send(end).await.unwrap();
    session.wait_for_end().await;
}
