//! Services over time.

use super::*;
use afterglow_wire::local::CommandLine;

fn spec(name: &str, required: bool, start: bool) -> ServiceSpec {
    ServiceSpec {
        name: name.parse().unwrap(),
        command: CommandLine(vec!["true".into()]),
        required,
        start,
        host: String::new(),
        on_connect: CommandLine(Vec::new()),
        on_disconnect: CommandLine(Vec::new()),
    }
}

/// One that has to run, one that begins with the session, one that waits for
/// its user.
fn three() -> Services {
    let mut services = Services::new(vec![
        spec("mail", true, false),
        spec("sync", false, true),
        spec("x", false, false),
    ]);
    services.begin(0);
    services
}

fn done(services: &mut Services) -> Vec<Do> {
    std::iter::from_fn(|| services.poll()).collect()
}

fn states(services: &Services) -> Vec<ServiceState> {
    services.statuses().map(|status| status.state).collect()
}

fn order(services: &mut Services, name: &str, act: ServiceAct, now_ms: u64) -> Vec<Do> {
    services.order(&ServiceOrder { name: name.parse().unwrap(), act }, now_ms);
    done(services)
}

use ServiceState::{Failed, Running, Starting, Stopped};

#[test]
fn those_that_are_wanted_start_with_the_session_and_count_as_running_once_they_lived() {
    let mut services = three();
    assert_eq!(done(&mut services), [Do::Start(0), Do::Start(1)]);
    assert_eq!(states(&services), [Starting, Starting, Stopped]);
    assert_eq!(services.deadline_ms(), Some(1_000));
    assert!(!services.tick(999));
    assert!(services.tick(1_000));
    assert_eq!(states(&services), [Running, Running, Stopped]);
    assert_eq!(services.deadline_ms(), None);
    assert_eq!(services.running().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_required_service_is_started_again_whenever_it_ends_ever_more_slowly() {
    let mut services = Services::new(vec![spec("mail", true, false)]);
    services.begin(0);
    done(&mut services);
    services.ended(0, Ok(()), 10);
    assert_eq!(done(&mut services), [Do::Start(0)], "the first time at once, however it ended");
    assert_eq!(states(&services), [Starting]);
    let (mut now_ms, mut waits) = (10, Vec::new());
    for _ in 0..12 {
        services.ended(0, Err("boom".into()), now_ms);
        assert_eq!((states(&services), done(&mut services)), (vec![Failed], vec![]));
        let text = services.statuses().next().unwrap().text;
        assert!(text.contains("boom") && text.contains("started again in"), "{text}");
        let at_ms = services.deadline_ms().unwrap();
        waits.push(at_ms - now_ms);
        now_ms = at_ms;
        services.tick(now_ms - 1);
        assert_eq!(done(&mut services), []);
        services.tick(now_ms);
        assert_eq!(done(&mut services), [Do::Start(0)]);
    }
    assert!(waits.is_sorted() && waits[11] == 5_000, "{waits:?}");
    services.ended(0, Err("boom".into()), now_ms + 6_000);
    assert_eq!(done(&mut services), [Do::Start(0)], "one that lived is started again at once");
}

#[test]
fn one_that_need_not_run_is_over_when_it_ends_and_says_why_if_it_failed() {
    let mut services = three();
    done(&mut services);
    services.ended(1, Ok(()), 10);
    assert_eq!(states(&services)[1], Stopped);
    assert_eq!(order(&mut services, "sync", ServiceAct::Start, 20), [Do::Start(1)]);
    services.ended(1, Err("exit status: 3: no network".into()), 30);
    assert_eq!(states(&services)[1], Failed);
    assert_eq!(services.statuses().nth(1).unwrap().text, "exit status: 3: no network");
    assert_eq!(services.deadline_ms(), Some(1_000), "nothing is due but the other's age");
    assert_eq!(order(&mut services, "sync", ServiceAct::Stop, 40), []);
    assert_eq!(
        (states(&services)[1], services.statuses().nth(1).unwrap().text),
        (Stopped, "".into())
    );
}

#[test]
fn what_is_stopped_is_asked_then_killed_and_stays_stopped() {
    let mut services = three();
    done(&mut services);
    assert_eq!(order(&mut services, "sync", ServiceAct::Stop, 2_000), [Do::Ask(1)]);
    assert_eq!(states(&services)[1], Stopped);
    services.tick(6_999);
    assert_eq!(done(&mut services), []);
    services.tick(7_000);
    assert_eq!(done(&mut services), [Do::Kill(1)]);
    services.tick(9_000);
    assert_eq!(done(&mut services), [], "once is enough");
    services.ended(1, Err("signal: 9".into()), 9_000);
    assert_eq!((states(&services)[1], done(&mut services)), (Stopped, vec![]));
}

#[test]
fn a_restart_waits_for_the_end_and_the_last_word_counts() {
    let mut services = three();
    done(&mut services);
    assert_eq!(order(&mut services, "sync", ServiceAct::Restart, 10), [Do::Ask(1)]);
    services.ended(1, Ok(()), 20);
    assert_eq!(done(&mut services), [Do::Start(1)]);
    assert_eq!(order(&mut services, "sync", ServiceAct::Restart, 30), [Do::Ask(1)]);
    assert_eq!(order(&mut services, "sync", ServiceAct::Stop, 31), []);
    services.ended(1, Ok(()), 40);
    assert_eq!(done(&mut services), []);
    assert_eq!(order(&mut services, "sync", ServiceAct::Start, 50), [Do::Start(1)]);
    order(&mut services, "sync", ServiceAct::Stop, 51);
    assert_eq!(order(&mut services, "sync", ServiceAct::Start, 52), []);
    services.ended(1, Ok(()), 60);
    assert_eq!(done(&mut services), [Do::Start(1)]);
    assert_eq!(order(&mut services, "x", ServiceAct::Restart, 70), [Do::Start(2)]);
    assert_eq!(order(&mut services, "x", ServiceAct::Start, 70), [], "it runs");
    assert_eq!(order(&mut services, "nobody", ServiceAct::Start, 70), []);
}

#[test]
fn a_required_service_that_is_stopped_comes_back() {
    let mut services = three();
    done(&mut services);
    assert_eq!(order(&mut services, "mail", ServiceAct::Stop, 10), [Do::Ask(0)]);
    services.ended(0, Ok(()), 20);
    assert_eq!(done(&mut services), [Do::Start(0)]);
}

#[test]
fn nothing_is_started_or_killed_while_the_session_is_frozen() {
    let mut services = three();
    done(&mut services);
    order(&mut services, "sync", ServiceAct::Stop, 10);
    services.freeze(true, 20);
    services.ended(0, Err("killed from outside".into()), 30);
    assert_eq!(order(&mut services, "x", ServiceAct::Start, 40), []);
    assert_eq!(services.deadline_ms(), None);
    services.tick(60_000);
    assert_eq!(done(&mut services), []);
    services.freeze(false, 60_000);
    assert_eq!(done(&mut services), [Do::Start(0), Do::Kill(1), Do::Start(2)]);
}
