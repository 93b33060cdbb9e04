//! One server: sessions come, go, and outlive it.

use crate::dtu::{Dtu, insert};
use crate::servers::Group;
use afterglow_wire::control::{
    Cause, ChallengeAnswer, Insert, Origin, RefusalCode, Remove, Stage, ToDtu,
};
use afterglow_wire::ids::{Epoch, Token};
use rustix::process::Signal;

pub async fn a_new_session_is_attached_removed_and_found_again() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let (first, second) = (Dtu::new(&group), Dtu::new(&group));
    let mut link = first.link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    assert_eq!((attach.origin, attach.epoch), (Origin::New, Epoch::FIRST));
    assert_eq!(attach.host.as_str(), "mud");
    assert!(link.stages.contains(&Stage::Starting), "{:?}", link.stages);
    first.show(&attach).await.expect("its ticket is right");
    second.show(&attach).await.expect_err("another's ticket is not");
    link.writer.send(Remove { insert: 1 }).await.expect("sent");

    // The same token elsewhere: the same session, one connection later.
    let mut other = second.link(&servers[0]).await;
    let again = other.attach(insert(1, "soft.ada")).await;
    assert_eq!((again.origin, again.session), (Origin::Existing, attach.session));
    second.show(&again).await.expect("its ticket is right");
    first.show(&attach).await.expect_err("an older connection comes too late");

    // Another token, another session, another home.
    let eve = link.attach(insert(2, "soft.eve")).await;
    assert_ne!(eve.session, attach.session);
    let homes = std::fs::read_dir(group.path().join("homes")).expect("homes");
    let names = homes.map(|home| home.expect("a home").file_name());
    // Servers have a directory of their own there.
    assert_eq!(names.filter(|name| name != ".afterglow").count(), 2);
}

pub async fn a_restarted_server_finds_its_sessions() {
    let group = Group::new();
    let mut servers = group.start(&["mud"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    let keepers = servers[0].keepers();
    assert_eq!(keepers.len(), 1);
    let display = dtu.show(&attach).await.expect("shown");
    assert!(servers[0].signal(Signal::TERM).await.success());
    while link.next().await.is_some() {}
    match link.connection.close_reason() {
        Some(quinn::ConnectionError::ApplicationClosed(close)) => {
            assert_eq!(u64::from(close.error_code), 1, "{close}");
        }
        other => panic!("not said goodbye to: {other:?}"),
    }
    // What was there and does not run is cleared away; what runs is found.
    let dead = group.path().join("mud/run/sessions").join("ab".repeat(8));
    std::fs::create_dir(&dead).expect("made");
    drop(std::os::unix::net::UnixListener::bind(dead.join("keeper.sock")).expect("bound"));
    servers[0].start().await;
    assert!(!dead.exists(), "{}", servers[0].log());
    assert_eq!(display.close_reason(), None);
    let mut link = dtu.link(&servers[0]).await;
    let again = link.attach(insert(2, "soft.ada")).await;
    assert_eq!((again.origin, again.session), (Origin::Existing, attach.session));
    assert_eq!(servers[0].keepers(), keepers);
    dtu.show(&again).await.expect("shown again");
}

pub async fn a_session_that_cannot_start_is_refused_with_its_reason() {
    let group = Group::new();
    let text = "desktop = [\"fail\", \"Xvfb is not installed\"]";
    let servers = group.start(&["mud"], text).await;
    let mut link = Dtu::new(&group).link(&servers[0]).await;
    for number in 1..3 {
        let refused = link.refused(insert(number, "soft.ada")).await;
        assert_eq!(refused.code, RefusalCode::SessionFailed);
        assert_eq!(refused.text, "Xvfb is not installed");
    }
}

pub async fn a_session_that_ends_is_told_and_the_next_is_new() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    end_sessions(&group, "mud").await;
    match link.news().await {
        ToDtu::SessionEnded(ended) => {
            assert_eq!((ended.session, ended.text.as_str()), (attach.session, "signed off"));
        }
        other => panic!("not told: {other:?}"),
    }
    let next = link.attach(insert(2, "soft.ada")).await;
    assert_eq!(next.origin, Origin::New);
    assert_ne!(next.session, attach.session);
}

/// Ends each session of a server through its keeper's socket, as another
/// server process could.
async fn end_sessions(group: &Group, server: &str) {
    use afterglow_link::stream::MessageWriter;
    use afterglow_wire::local::{End, ToKeeper};
    let dir = group.path().join(server).join("run/sessions");
    for session in std::fs::read_dir(dir).expect("sessions").flatten() {
        // One that waits is nobody's session yet.
        let socket = session.path().join("keeper.sock");
        if !socket.exists() {
            continue;
        }
        let stream = tokio::net::UnixStream::connect(socket).await.expect("connected");
        let mut writer = MessageWriter::<_, ToKeeper>::new(stream);
        writer.send(End { text: "signed off".into() }).await.expect("sent");
    }
}

pub async fn a_session_whose_keeper_dies_is_started_again_with_a_notice() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let mut link = Dtu::new(&group).link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    servers[0].signal_sessions(Signal::KILL);
    let told = link.news().await;
    assert!(matches!(told, ToDtu::SessionEnded(_)), "{told:?}");
    let next = link.attach(insert(2, "soft.ada")).await;
    assert_eq!((next.origin, next.session), (Origin::TakenOver, attach.session));
    assert_eq!(next.epoch, Epoch(2));
    assert!(next.notice.contains("started again"), "{}", next.notice);
}

pub async fn a_wrong_challenge_answer_and_anothers_pseudo_token_are_refused() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let (dtu, other) = (Dtu::new(&group), Dtu::new(&group));
    let mut link = dtu.link(&servers[0]).await;
    link.writer.send(insert(1, "soft.ada")).await.expect("sent");
    let ToDtu::Challenge(challenge) = link.news().await else { panic!("no challenge") };
    let token = "soft.eve".parse().expect("a token");
    let answer = ChallengeAnswer { insert: 1, nonce: challenge.nonce, token };
    link.writer.send(answer).await.expect("sent");
    let refused = link.news().await;
    let ToDtu::Refused(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.code, RefusalCode::ChallengeFailed);

    let pseudo = link.refused(insert(2, Token::pseudo(other.id).as_str())).await;
    assert_eq!(pseudo.code, RefusalCode::TokenNotAccepted);
    let own = link.attach(insert(3, Token::pseudo(dtu.id).as_str())).await;
    assert_eq!(own.origin, Origin::New);

    let alone = Insert { cause: Cause::Redirect, ..insert(4, "soft.ada") };
    assert_eq!(link.refused(alone).await.code, RefusalCode::TicketRefused);
}
