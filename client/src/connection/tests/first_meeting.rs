//! Groups that this DTU does not know, and groups that it must not.

use super::*;

fn stranger() -> Dtu {
    let mut dtu = Dtu::configured(|config| config.known_groups.clear());
    dtu.insert("aa");
    dtu.found("mud");
    dtu
}

fn says_nothing(dtu: &mut Dtu) -> bool {
    !dtu.take().iter().any(|action| matches!(action, Action::SendControl { .. }))
}

#[test]
fn nothing_is_said_to_an_unknown_group_before_the_user_agrees() {
    let mut dtu = stranger();
    dtu.event(Event::ControlOpened { link: dtu.control, group: GROUP, server: name("mud") });
    let (group, server) = (GROUP, name("mud"));
    assert_eq!(dtu.panel(), Some(&Panel::FirstMeeting { group, server }));
    dtu.pass(30_000, false);
    assert!(says_nothing(&mut dtu));
    dtu.ask(Ask::TrustGroup(OTHER_GROUP));
    assert!(!dtu.take().contains(&Action::RememberGroup(GROUP)), "another was on the screen");
    dtu.ask(Ask::TrustGroup(GROUP));
    assert!(dtu.take().contains(&Action::RememberGroup(GROUP)));
    dtu.greet("mud");
    assert_eq!(dtu.inserts().len(), 1);
}

#[test]
fn a_refused_group_is_left_alone() {
    let mut dtu = stranger();
    dtu.event(Event::ControlOpened { link: dtu.control, group: GROUP, server: name("mud") });
    dtu.ask(Ask::RefuseGroup(GROUP));
    // It may answer again; it is not asked about again.
    let link = dtu.control;
    dtu.event(Event::ControlOpened { link, group: GROUP, server: name("mud") });
    dtu.pass(30_000, false);
    assert!(says_nothing(&mut dtu));
    let Some(Panel::Searching { trouble: Some(text), .. }) = dtu.panel() else {
        panic!("{:?}", dtu.panel());
    };
    assert!(text.contains("mud"), "{text}");
}

#[test]
fn a_known_group_ends_the_question_about_another() {
    let mut dtu = Dtu::new();
    let link = dtu.control;
    dtu.event(Event::ControlOpened { link, group: OTHER_GROUP, server: name("mud") });
    assert!(matches!(dtu.panel(), Some(Panel::FirstMeeting { .. })));
    dtu.greet("host05");
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })));
    dtu.ask(Ask::TrustGroup(OTHER_GROUP));
    assert!(!dtu.take().contains(&Action::RememberGroup(OTHER_GROUP)));
}

#[test]
fn only_the_given_group_is_accepted() {
    let mut dtu = Dtu::configured(|config| config.group = Some(OTHER_GROUP));
    dtu.found("mud");
    let opened = dtu.take().into_iter().find_map(|action| match action {
        Action::OpenControl { group, .. } => Some(group),
        _ => None,
    });
    assert_eq!(opened, Some(Some(OTHER_GROUP)));
    let (link, why) = (dtu.control, "unknown issuer".to_owned());
    dtu.event(Event::ControlFailed { link, why, other_group: true });
    let Some(Panel::Searching { trouble: Some(text), .. }) = dtu.panel() else {
        panic!("{:?}", dtu.panel());
    };
    assert!(text.contains("--group") && text.contains("10.0.0.1:7010"), "{text}");
    assert_eq!(dtu.logged("refused"), 1);
    // A shell that lets one through is caught here.
    dtu.pass(1_000, false);
    let link = dtu.control;
    dtu.event(Event::ControlOpened { link, group: GROUP, server: name("mud") });
    assert!(says_nothing(&mut dtu));
}

#[test]
fn the_given_group_needs_no_question() {
    let mut dtu = Dtu::configured(|config| {
        config.known_groups.clear();
        config.group = Some(GROUP);
    });
    dtu.found("mud");
    dtu.greet("mud");
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })));
}

#[test]
fn a_token_that_one_group_knows_is_not_told_to_another() {
    let mut dtu = Dtu::configured(|config| config.known_groups = vec![GROUP, OTHER_GROUP]);
    dtu.found("mud");
    dtu.found("host05");
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.control(attach(101, "mud", 1, Origin::New));
    dtu.session_comes(None);
    dtu.control_dies();
    dtu.take();
    let link = dtu.control;
    dtu.event(Event::ControlOpened { link, group: OTHER_GROUP, server: name("host05") });
    assert!(says_nothing(&mut dtu));
    assert_eq!(dtu.picture(), Picture::Live);
    // Without the token, that group is as good as the first.
    dtu.remove();
    while dtu.opening() != Some(address("host05")) {
        dtu.control_fails();
        dtu.pass(50, false);
    }
    dtu.greet_of("host05", OTHER_GROUP);
    assert!(matches!(dtu.panel(), Some(Panel::InsertCard { .. })));
}

#[test]
fn a_server_of_another_version_is_told_by_name() {
    let mut dtu = Dtu::new();
    let link = dtu.control;
    dtu.event(Event::ControlOpened { link, group: GROUP, server: name("mud") });
    dtu.control(Welcome { version: VERSION + 1, server: name("mud"), alive_every_ms: 100 });
    assert_eq!(dtu.logged("connected"), 0);
    assert!(dtu.connection.search.trouble.as_ref().is_some_and(|text| text.contains("version")));
    assert_eq!(dtu.opening(), Some(address("host05")));
}

#[test]
fn a_strangers_certificate_makes_nobody_out_of_reach() {
    let mut dtu = Dtu::new();
    // Before a card is in any group may answer; this one says it is mud.
    let link = dtu.control;
    dtu.event(Event::ControlOpened { link, group: OTHER_GROUP, server: name("mud") });
    dtu.greet("host05");
    dtu.insert("aa");
    let sent = dtu.inserts();
    let Some(insert) = sent.last() else { panic!("an insert") };
    assert!(insert.unreachable.is_empty(), "{:?}", insert.unreachable);
}
