//! `afterglowctl sessions`, `users` and `drain`, with servers that run.

use crate::admin::{Watch, ctl, has, said};
use crate::dtu::{Dtu, insert};
use crate::servers::{Group, Server};
use afterglow_server::admin::sessions::{SessionsReport, UserInfo};
use afterglow_server::group::report::TopologyReport;
use afterglow_wire::control::{Attach, RedirectPlan, ToDtu};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};

async fn sessions(group: &Group, server: &str) -> SessionsReport {
    let json = said(group, server, &["sessions", "list", "--json"]).await;
    serde_json::from_str(&json).expect("JSON")
}

/// Two servers and a session on the first, whose DTU is attached there.
async fn with_session(group: &Group) -> (Vec<Server>, Dtu, crate::dtu::Link, Attach) {
    let servers = group.start(&["mud", "host05"], "").await;
    said(group, "host05", &["drain", "--no-wait"]).await;
    let dtu = Dtu::new(group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    said(group, "host05", &["undrain"]).await;
    let mut watch = Watch::start(group, "mud", &["--json"]);
    watch.report_with(|report| has(report, "host05", true, false)).await;
    dtu.show(&attach).await.expect("shown");
    (servers, dtu, link, attach)
}

pub async fn sessions_are_listed_everywhere_and_ended_from_anywhere() {
    let group = Group::new();
    let (_servers, _dtu, mut link, attach) = with_session(&group).await;
    let id = attach.session.to_string();
    for server in ["mud", "host05"] {
        let report = sessions(&group, server).await;
        assert_eq!((report.server.as_str(), report.sessions.len()), (server, 1));
        let one = &report.sessions[0];
        assert_eq!((one.session.as_str(), one.epoch, one.server.as_str()), (&id[..], 1, "mud"));
    }
    let shown = said(&group, "host05", &["sessions", "show", &id[..6]]).await;
    assert!(shown.contains(&id) && shown.contains("running"), "{shown}");
    // Its owner reads in the store what is wanted.
    let told = said(&group, "host05", &["sessions", "end", &id[..6]]).await;
    assert!(told.contains("mud is told"), "{told}");
    let ToDtu::SessionEnded(ended) = link.news().await else { panic!("not ended") };
    assert_eq!(ended.session, attach.session);
    // The store knows it a moment later.
    while !sessions(&group, "mud").await.sessions.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub async fn a_session_is_moved_and_its_dtu_follows_it() {
    let group = Group::new();
    let (servers, dtu, mut link, attach) = with_session(&group).await;
    let id = attach.session.to_string();
    let to = ["sessions", "move", &id, "--to", "host05", "--restart"];
    let forced = [&to[..], &["--force"]].concat();
    // From elsewhere, too, a bad order is refused at once.
    for (server, to, why) in [
        ("host05", "host99", "host99 is no server"),
        ("host05", "mud", "on mud already"),
        ("mud", "mud", "on mud already"),
    ] {
        let order = ["sessions", "move", &id, "--to", to, "--restart", "--force"];
        let output = ctl(&group, server, &order).output().await.expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(why), "{error}");
    }
    let told = said(&group, "mud", &forced).await;
    assert!(told.contains("goes on on host05"), "{told}");
    let ToDtu::Redirect(redirect) = link.news().await else { panic!("not sent on") };
    assert_eq!((redirect.to.name.as_str(), redirect.plan), ("host05", RedirectPlan::Takeover));
    let mut link = dtu.link(&servers[1]).await;
    let there = link.attach(crate::dtu::redirected("soft.ada", &redirect, None)).await;
    assert_eq!((there.session, there.host.as_str()), (attach.session, "host05"));
    assert!(there.epoch > attach.epoch);
}

pub async fn a_move_without_force_is_the_users_to_agree_to() {
    let group = Group::new();
    let (_servers, _dtu, mut link, attach) = with_session(&group).await;
    let id = attach.session.to_string();
    let mut asking = ctl(&group, "mud", &["sessions", "move", &id, "--to", "host05", "--restart"]);
    let asking = asking.stderr(Stdio::piped()).spawn().expect("it runs");
    let ToDtu::Question(question) = link.news().await else { panic!("not asked") };
    assert!(question.text.contains("host05"), "{}", question.text);
    let (insert, question) = (question.insert, question.question);
    let consent = afterglow_wire::sessions::Consent { insert, question, yes: false };
    link.writer.send(consent).await.expect("sent");
    let said = asking.wait_with_output().await.expect("it ends");
    assert_eq!(said.status.code(), Some(1));
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(error.contains("the user does not agree"), "{error}");
}

pub async fn a_drain_waits_for_who_is_there_and_says_for_whom() {
    let group = Group::new();
    let (_servers, _dtu, _link, attach) = with_session(&group).await;
    let id = attach.session.to_string();
    let mut draining = ctl(&group, "mud", &["drain"]);
    let mut draining = draining.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(draining.stdout.take().expect("its output")).lines();
    let mut next = async || lines.next_line().await.expect("a line").expect("it goes on");
    assert!(next().await.starts_with("draining: "));
    let waits = next().await;
    assert!(waits.starts_with(&format!("waits for session {}", &id[..8])), "{waits}");
    said(&group, "mud", &["sessions", "end", &id]).await;
    assert_eq!(next().await, "no session is left here");
    assert!(draining.wait().await.expect("it ends").success());
}

pub async fn users_are_made_changed_bound_and_removed() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let set = ["users", "set", "ada", "--desktop", "stay put", "--size", "800x600"];
    said(&group, "mud", &set).await;
    said(&group, "mud", &["users", "set", "ada", "--size", "default"]).await;
    said(&group, "mud", &["users", "bind", "soft.ada", "ada"]).await;
    let json = said(&group, "mud", &["users", "list", "--json"]).await;
    let users: Vec<UserInfo> = serde_json::from_str(&json).expect("JSON");
    let desktop = Some(vec!["stay".to_owned(), "put".to_owned()]);
    assert_eq!((&users[0].desktop, &users[0].size), (&desktop, &None));
    assert_eq!(users[0].tokens, ["soft.ada"]);
    // The session of the user's token is as the user has it.
    let mut link = Dtu::new(&group).link(&servers[0]).await;
    link.attach(insert(1, "soft.ada")).await;
    let bad = ctl(&group, "mud", &["users", "set", "eve", "--size", "huge"]).output().await;
    let bad = bad.expect("it runs");
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("not a valid size"));
    said(&group, "mud", &["users", "remove", "ada"]).await;
    assert_eq!(said(&group, "mud", &["users", "list"]).await, "");
}

/// What a server sees of the other's home folders.
async fn homes(group: &Group, of: &str) -> Option<bool> {
    let json = said(group, "mud", &["topology", "--json"]).await;
    let report: TopologyReport = serde_json::from_str(&json).expect("JSON");
    let host = report.hosts.iter().find(|host| host.name == of)?;
    host.homes.as_ref()?.shared
}

async fn homes_become(group: &Group, of: &str, shared: bool) {
    while homes(group, of).await != Some(shared) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

pub async fn servers_prove_that_they_share_homes_and_tell_if_they_do_not() {
    let group = Group::new();
    std::fs::create_dir_all(group.path().join("homes")).expect("made");
    let mut servers = group.start(&["mud", "host05"], "").await;
    homes_become(&group, "host05", true).await;
    let table = said(&group, "mud", &["topology"]).await;
    assert!(!table.contains("not shared"), "{table}");
    // The other one's folder is now its own.
    servers[1].kill().await;
    std::fs::create_dir_all(group.path().join("elsewhere")).expect("made");
    let path = group.path().join("host05/afterglow.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, text.replace("../homes", "../elsewhere")).expect("written");
    servers[1].start().await;
    homes_become(&group, "host05", false).await;
    let table = said(&group, "mud", &["topology"]).await;
    assert!(table.contains("Homes of host05 are not shared: "), "{table}");
    assert!(servers[0].log().contains("home_root is not shared with host05"));
}
