//! What a user's own configuration changes, and that nothing in it keeps the
//! session from starting.

use crate::dtu::Dtu;
use crate::harness::{Options, Session};
use afterglow_wire::ids::Epoch;
use afterglow_wire::service::ServiceState;

const IDLE: &str = "echo $DISPLAY > display; exec sleep 1000";
const FILE: &str = ".config/afterglow/session.toml";

fn with(file: &str) -> Options {
    Options { files: vec![(FILE, file.to_owned())], ..Options::shell(IDLE) }
}

#[tokio::test]
async fn a_user_has_a_desktop_and_services_of_their_own() {
    let own = "desktop = ['sh', '-c', 'echo own > desktop; echo $DISPLAY > display; sleep 1000']\n\
               required = ['clock']\n\
               [[service]]\nname = 'clock'\ncommand = ['sh', '-c', 'echo up > clock; sleep 1000']\n";
    let session = Session::start(with(own));
    assert_eq!(session.wait_for_file("desktop").await, "own\n");
    assert_eq!(session.wait_for_file("clock").await, "up\n");
    let status = session.server().await.status(|_| true).await;
    assert_eq!(status.trouble, "");
    let clock = &status.services[0];
    assert!(clock.name.as_str() == "clock" && clock.required, "{clock:?}");
    assert_ne!(clock.state, ServiceState::Stopped);
}

#[tokio::test]
async fn in_a_later_epoch_what_ran_before_runs_whatever_the_file_says() {
    let service = |name: &str, start: bool| {
        format!(
            "[[service]]\nname = '{name}'\nstart = {start}\n\
             command = ['sh', '-c', 'echo up > {name}; sleep 1000']\n"
        )
    };
    let options = Options {
        epoch: Epoch(2),
        ran: vec!["notes", "lamp"],
        ..with(&(service("notes", false) + &service("sync", true)))
    };
    let session = Session::start(options);
    assert_eq!(session.wait_for_file("notes").await, "up\n");
    let status = session.server().await.status(|_| true).await;
    let state = |name: &str| {
        let found = status.services.iter().find(|service| service.name.as_str() == name);
        found.map(|service| service.state)
    };
    assert_eq!(state("sync"), Some(ServiceState::Stopped), "its user had stopped it");
    assert_ne!(state("notes"), Some(ServiceState::Stopped));
    assert!(status.trouble.contains("not started: lamp"), "{}", status.trouble);
}

#[tokio::test]
async fn a_bad_file_is_a_notice() {
    for (file, expected) in [
        ("desktop = 3", "session.toml:1: "),
        ("desktop = ['no-such-desktop']", "no-such-desktop"),
        ("required = ['nobody']", "required service nobody"),
    ] {
        let session = Session::start(with(file));
        let trouble = session.server().await.status(|_| true).await.trouble;
        assert!(trouble.contains(expected), "{trouble}");
        session.attach(&Dtu::new("one")).await.until_equal(&session).await;
    }
}

#[tokio::test]
async fn an_own_desktop_that_ends_at_once_gives_way_to_the_usual_one() {
    let own = "desktop = ['sh', '-c', 'echo broken >&2; exit 4']";
    let session = Session::start(with(own));
    let mut server = session.server().await;
    let trouble = server.status(|status| !status.trouble.is_empty()).await.trouble;
    for part in ["usual desktop", "exit status: 4", "broken"] {
        assert!(trouble.contains(part), "{trouble}");
    }
    session.attach(&Dtu::new("one")).await.until_equal(&session).await;
}
