//! Two servers with one store: finding, moving, caring, taking over.

use crate::dtu::{Dtu, failover, insert, redirected};
use crate::servers::Group;
use afterglow_wire::control::{Origin, RedirectPlan, Showing, Stage, ToDtu};
use afterglow_wire::ids::Epoch;
use rustix::process::Signal;

const ADA: &str = "soft.ada";

pub async fn a_session_on_another_server_is_found_and_redirected_to() {
    let group = Group::new();
    let servers = group.start(&["mud", "host05"], "").await;
    let (first, second) = (Dtu::new(&group), Dtu::new(&group));
    let mut link = first.link(&servers[0]).await;
    let attach = link.attach(insert(1, ADA)).await;
    let mut link = second.link(&servers[1]).await;
    let redirect = match link.insert(insert(1, ADA)).await {
        ToDtu::Redirect(redirect) => redirect,
        other => panic!("not redirected: {other:?}"),
    };
    assert_eq!(redirect.to.name.as_str(), "mud");
    assert_eq!(redirect.to.address, servers[0].control);
    assert_eq!(redirect.plan, RedirectPlan::Existing);
    // The ticket spares the challenge, and is good for one use.
    let mut link = second.link(&servers[0]).await;
    link.writer.send(redirected(ADA, &redirect, None)).await.expect("sent");
    let ToDtu::Attach(there) = link.news().await else { panic!("challenged") };
    assert_eq!((there.origin, there.session), (Origin::Existing, attach.session));
    second.show(&there).await.expect("its ticket is right");
    let again = link.refused(redirected(ADA, &redirect, None)).await;
    assert!(again.text.contains("used before"), "{}", again.text);
}

pub async fn a_server_process_dies_and_its_dtu_goes_and_comes_back() {
    let group = Group::new();
    let mut servers = group.start(&["mud", "host05"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, ADA)).await;
    let display = dtu.show(&attach).await.expect("shown");
    servers[0].kill().await;

    // The other server cares for it: same session, same epoch, no challenge.
    let mut link = dtu.link(&servers[1]).await;
    link.writer.send(failover(ADA, &attach, true)).await.expect("sent");
    let ToDtu::Attach(cared) = link.news().await else { panic!("challenged") };
    assert_eq!(cared.origin, Origin::Caretaken);
    assert_eq!((cared.session, cared.epoch), (attach.session, attach.epoch));
    assert_eq!((cared.host.as_str(), cared.endpoint), ("mud", attach.endpoint));
    assert_eq!(display.close_reason(), None);
    dtu.show(&cared).await.expect("the caretaker's ticket is good there");

    // A second DTU finds the session too, by the word of its endpoint.
    let second = Dtu::new(&group);
    let mut link_of_second = second.link(&servers[1]).await;
    let moved = link_of_second.attach(insert(1, ADA)).await;
    assert_eq!((moved.origin, moved.epoch), (Origin::Caretaken, Epoch::FIRST));
    assert!(link_of_second.stages.contains(&Stage::Probing), "{:?}", link_of_second.stages);
    second.show(&moved).await.expect("shown");

    // The server is back, finds its session, and gets its DTU back.
    servers[0].start().await;
    let back = link.news().await;
    let ToDtu::Redirect(redirect) = back else { panic!("not sent back: {back:?}") };
    assert_eq!((redirect.to.name.as_str(), redirect.insert), ("mud", 1));
    let showing = Some(Showing { session: cared.session, epoch: cared.epoch });
    let mut link = dtu.link(&servers[0]).await;
    link.writer.send(redirected(ADA, &redirect, showing)).await.expect("sent");
    let ToDtu::Attach(home) = link.news().await else { panic!("challenged") };
    assert_eq!((home.origin, home.session), (Origin::Existing, attach.session));
    assert_eq!(home.epoch, Epoch::FIRST);
}

pub async fn a_lost_host_is_taken_over_with_the_next_epoch() {
    let group = Group::new();
    let mut servers = group.start(&["mud", "host05"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, ADA)).await;
    servers[0].kill().await;
    servers[0].signal_sessions(Signal::KILL);
    let mut link = dtu.link(&servers[1]).await;
    link.writer.send(failover(ADA, &attach, false)).await.expect("sent");
    let ToDtu::Attach(taken) = link.news().await else { panic!("challenged") };
    assert_eq!((taken.origin, taken.session), (Origin::TakenOver, attach.session));
    assert_eq!((taken.epoch, taken.host.as_str()), (Epoch(2), "host05"));
    assert!(taken.notice.contains("mud was lost"), "{}", taken.notice);
    assert_eq!(link.stages, [Stage::Looking, Stage::Probing, Stage::Restarting]);
    dtu.show(&taken).await.expect("shown");
    // The host is back, without the session: it sends the user on.
    servers[0].start().await;
    let mut link = dtu.link(&servers[0]).await;
    let sent = link.insert(insert(2, ADA)).await;
    assert!(matches!(&sent, ToDtu::Redirect(r) if r.to.name.as_str() == "host05"), "{sent:?}");
}

pub async fn a_stale_copy_is_left_running_and_nobody_gets_it() {
    let group = Group::new();
    let mut servers = group.start(&["mud", "host05"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, ADA)).await;
    // The whole host stalls: nothing answers, so it counts as lost.
    servers[0].kill().await;
    servers[0].signal_sessions(Signal::STOP);
    let mut link = dtu.link(&servers[1]).await;
    let taken = link.attach(failover(ADA, &attach, false)).await;
    assert_eq!(taken.epoch, Epoch(2));
    // It goes on, with the older copy.
    servers[0].signal_sessions(Signal::CONT);
    servers[0].start().await;
    assert!(servers[0].log().contains("is frozen"), "{}", servers[0].log());
    let mut link = dtu.link(&servers[0]).await;
    let sent = link.insert(insert(2, ADA)).await;
    let ToDtu::Redirect(redirect) = sent else { panic!("not sent on: {sent:?}") };
    assert_eq!(redirect.to.name.as_str(), "host05");
    let mut link = dtu.link(&servers[1]).await;
    let home = link.attach(redirected(ADA, &redirect, None)).await;
    assert_eq!((home.epoch, home.host.as_str()), (Epoch(2), "host05"));
    for keeper in servers[0].keepers() {
        rustix::process::test_kill_process(keeper).expect("the older copy runs on");
    }
}

pub async fn what_a_dtu_shows_is_never_replaced() {
    let group = Group::new();
    let mut servers = group.start(&["mud", "host05"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, ADA)).await;
    // To the other server all is silent, but the DTU still has its picture.
    servers[0].kill().await;
    servers[0].signal_sessions(Signal::STOP);
    let mut link = dtu.link(&servers[1]).await;
    let cared = link.attach(failover(ADA, &attach, true)).await;
    assert_eq!((cared.origin, cared.epoch), (Origin::Caretaken, Epoch::FIRST));
    servers[0].signal_sessions(Signal::CONT);
}
