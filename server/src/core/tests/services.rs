//! Which services a session gets, and what the store hears of those that run.

use super::desk::{Desk, FIRST, sit_down};
use super::world::{World, ada, attach, failover, service, stands, status};
use crate::core::{Event, Launch, StoreOperation};
use crate::store::UserRow;
use afterglow_wire::ids::Epoch;
use afterglow_wire::local::Status;
use afterglow_wire::service::{ServiceSpec, ServiceState, ServiceStatus};

const CATALOGUE: &[(&str, bool)] = &[("backup", false), ("mail", true), ("music", false)];

fn told(operation: &StoreOperation) -> bool {
    matches!(operation, StoreOperation::SetServices { .. })
}

fn say(desk: &mut Desk, services: Vec<ServiceStatus>) {
    let services = services.into_iter().collect();
    let said = Status { services, ..status(desk.session, FIRST) };
    desk.world.tell(0, Event::KeeperStatus(said));
}

/// What its keeper starts of its catalogue.
fn starting(launch: &Launch) -> Vec<&str> {
    let ran = |service: &&ServiceSpec| match launch.row.epoch {
        FIRST => service.start,
        _ => launch.row.services.contains(&service.name),
    };
    let start = launch.services.iter().filter(|service| service.required || ran(service));
    start.map(|service| service.name.as_str()).collect()
}

fn user() -> UserRow {
    UserRow {
        name: "ada".into(),
        account: None,
        home: None,
        desktop: None,
        catalogue: None,
        required: None,
        size: None,
    }
}

#[test]
fn the_store_hears_once_which_services_run() {
    let mut desk = sit_down(World::with_services(1, CATALOGUE), 1);
    let before = desk.world.asked(0, told);
    for _ in 0..5 {
        say(&mut desk, vec![stands("backup", false), stands("mail", true), stands("music", true)]);
    }
    assert_eq!(desk.world.asked(0, told), before + 1);
    assert_eq!(desk.world.only_row().services, [service("mail"), service("music")]);
    // One that failed is still wanted.
    let failed = ServiceStatus { state: ServiceState::Failed, ..stands("music", true) };
    say(&mut desk, vec![stands("mail", false), failed]);
    assert_eq!(desk.world.only_row().services, [service("music")]);
    assert_eq!(desk.world.asked(0, told), before + 2);
}

#[test]
fn the_store_hears_of_services_again_once_it_is_back() {
    let mut desk = sit_down(World::with_services(1, CATALOGUE), 1);
    desk.world.store_up = false;
    say(&mut desk, vec![stands("music", true)]);
    desk.world.run_ms(3_500);
    desk.world.store_up = true;
    assert_ne!(desk.world.only_row().services, [service("music")]);
    desk.world.run_ms(1_500);
    assert_eq!(desk.world.only_row().services, [service("music")]);
    let before = desk.world.asked(0, told);
    desk.world.run_ms(5_000);
    assert_eq!(desk.world.asked(0, told), before, "and then not any more");
}

#[test]
fn a_session_starts_with_the_services_that_its_configuration_says() {
    let desk = sit_down(World::with_services(1, CATALOGUE), 1);
    let launch = &desk.world.servers[0].started[0];
    assert_eq!(launch.services.len(), 3);
    assert_eq!(starting(launch), ["mail"]);
    assert_eq!(launch.row.services, [service("mail")]);
}

#[test]
fn a_user_has_a_catalogue_and_required_services_of_his_own() {
    let mut world = World::with_services(1, CATALOGUE);
    let user = UserRow {
        catalogue: Some(vec![service("backup"), service("mail")]),
        required: Some(vec![service("backup")]),
        home: Some("/home/ada".into()),
        desktop: Some(vec!["icewm".into()]),
        ..user()
    };
    world.store.users.insert(ada(), user);
    let desk = sit_down(world, 1);
    let launch = &desk.world.servers[0].started[0];
    assert_eq!(launch.services.len(), 2);
    assert_eq!(starting(launch), ["backup", "mail"]);
    assert!(launch.services[0].required && !launch.services[1].required);
    assert_eq!(
        (launch.row.home.as_str(), launch.row.desktop.as_slice()),
        ("/home/ada", &["icewm".to_owned()][..])
    );
}

#[test]
fn a_take_over_starts_what_ran_and_not_what_its_user_had_stopped() {
    let mut desk = sit_down(World::with_services(2, CATALOGUE), 2);
    say(&mut desk, vec![stands("backup", false), stands("mail", false), stands("music", true)]);
    let world = &mut desk.world;
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&desk.resume)));
    world.run_ms(2_000);
    assert_eq!(world.last(1, link, attach).expect("attached").epoch, Epoch(2));
    assert_eq!(starting(&world.servers[1].started[0]), ["music"]);
}

#[test]
fn a_required_service_starts_with_every_epoch_of_its_session() {
    let mut world = World::with_services(2, CATALOGUE);
    world.store.users.insert(ada(), UserRow { required: Some(vec![service("backup")]), ..user() });
    let mut desk = sit_down(world, 2);
    say(&mut desk, vec![stands("mail", false)]);
    let world = &mut desk.world;
    world.servers[0].alive = false;
    world.endpoints.clear();
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&desk.resume)));
    world.run_ms(2_000);
    assert_eq!(starting(&world.servers[1].started[0]), ["backup"]);
}
