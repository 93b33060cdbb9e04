//! Good files, bad files, and what is said about them.

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/afterglow/afterglow.toml"), text)
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_is_a_whole_configuration() {
    let config = parse("name = \"mud\"").expect("valid");
    assert_eq!(config.listen, Ipv4Addr::UNSPECIFIED);
    assert_eq!((config.group_port, config.control_port), (7009, 7010));
    assert_eq!(config.session_ports, (7100, 7999));
    let store = StoreLocation::Sqlite("/etc/afterglow/store.db".into());
    assert_eq!(config.store, store);
    assert_eq!((config.services.len(), config.warm_x_servers), (0, 1));
    assert_eq!(config.down_after_ms, 6000);
}

#[test]
fn a_server_on_loopback_listens_on_loopback_alone() {
    let config = parse("name = \"mud\"\ninterfaces = [\"lo\"]").expect("valid");
    assert_eq!(config.listen, Ipv4Addr::LOCALHOST);
}

#[test]
fn relative_paths_belong_to_the_files_directory() {
    let config = parse("name=\"mud\"\nstore=\"sqlite://s/db\"\nhome_root=\"/home/afterglow\"")
        .expect("valid");
    assert_eq!(config.store, StoreLocation::Sqlite("/etc/afterglow/s/db".into()));
    assert_eq!(config.home_root, Path::new("/home/afterglow"));
}

#[test]
fn the_admin_socket_is_in_the_runtime_directory_unless_it_is_told() {
    let config = parse("name=\"mud\"\nruntime_dir=\"/run/afterglow\"").expect("valid");
    assert_eq!(config.admin_socket, Path::new(SYSTEM_ADMIN_SOCKET));
    let config = parse("name=\"mud\"\nadmin_socket=\"a.sock\"").expect("valid");
    assert_eq!(config.admin_socket, Path::new("/etc/afterglow/a.sock"));
    assert!(error("name=\"mud\"\nadmin_socket=\"\"").contains(":2: admin_socket: a path"));
}

#[test]
fn an_error_names_the_file_the_line_and_the_key() {
    let file = "/etc/afterglow/afterglow.toml";
    let at = |line: usize, key: &str| format!("{file}:{line}: {key}: ");
    for (text, expected) in [
        ("name = \"mud\"\ncolour = 3", at(2, "colour")),
        ("\n\ncontrol_port = \"x\"", at(3, "control_port")),
        ("control_port = 70000", at(1, "control_port")),
        ("group_port = 0", at(1, "group_port")),
        ("name = \"Mud!\"", at(1, "name")),
        ("# x\nlisten = \"localhost\"", at(2, "listen")),
        ("peers = [\"host05\"]", at(1, "peers")),
        ("session_ports = \"7999-7100\"", at(1, "session_ports")),
        ("size_max = \"9000x1\"", at(1, "size_max")),
        ("desktop = []", at(1, "desktop")),
        ("policy = \"closed\"", at(1, "policy")),
        ("quality = \"low\"", at(1, "quality")),
        ("store = \"mysql://x\"", at(1, "store")),
        ("networks = [\"10.0.0.0/33\"]", at(1, "networks")),
        ("host_every_ms = 2000\ndown_after_ms = 2500", at(2, "down_after_ms")),
        ("name = \"mud", at(1, "name")),
    ] {
        let found = error(text);
        assert!(found.starts_with(&expected), "{found}\nis not {expected}…");
    }
    assert!(error("colour = 3").contains("unknown field"));
}

#[test]
fn pictures_are_lossless_unless_it_is_told() {
    let quality = |more: &str| parse(&format!("name = \"mud\"\n{more}")).expect("valid").quality;
    assert_eq!(quality(""), Quality::Lossless);
    assert_eq!(quality("quality = \"lossless\""), Quality::Lossless);
    assert_eq!(quality("quality = \"auto\""), Quality::Auto);
    let said = error("quality = \"Auto\"");
    assert!(said.contains("there are \"lossless\" and \"auto\""), "{said}");
}

#[test]
fn a_network_contains_its_addresses() {
    let network = Network::parse("10.1.0.0/16").expect("valid");
    assert!(network.contains(Ipv4Addr::new(10, 1, 2, 3)));
    assert!(!network.contains(Ipv4Addr::new(10, 2, 2, 3)));
    assert!(Network::parse("0.0.0.0/0").expect("valid").contains(Ipv4Addr::BROADCAST));
}

#[test]
fn a_group_key_that_others_can_read_or_that_is_short_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("afterglow.toml");
    let config = Config::parse(&path, "name = \"mud\"").expect("valid");
    let key = dir.path().join("group.key");
    let refused = || config.read_group_key().expect_err("refused").to_string();
    assert!(refused().contains("cannot be read"));
    std::fs::write(&key, [7; 32]).expect("written");
    let mode = |mode| std::fs::set_permissions(&key, PermissionsExt::from_mode(mode));
    mode(0o640).expect("changed");
    assert!(refused().contains("chmod 600"), "{}", refused());
    mode(0o600).expect("changed");
    assert!(config.read_group_key().is_ok());
    std::fs::write(&key, [7; 31]).expect("written");
    assert!(refused().contains("32 random bytes"), "{}", refused());
}

#[test]
fn a_database_is_named_without_its_password() {
    let text = "name=\"mud\"\nstore=\"postgres://ada:secret@db.example:5433/afterglow?x=secret\"";
    let config = parse(text).expect("valid");
    assert_eq!(config.store.to_string(), "postgres://db.example:5433/afterglow");
    assert!(!format!("{config:?}").contains("secret"));
    let wrong = error("name=\"mud\"\nstore=\"mysql://ada:secret@db/x\"");
    assert!(wrong.contains(":2: store: ") && !wrong.contains("secret"), "{wrong}");
}

#[test]
fn a_catalogue_names_each_service_once_and_says_which_one_is_wrong() {
    let table = |more: &str| format!("name=\"mud\"\n[[service]]\nname=\"mail\"\n{more}");
    let good = table("command=[\"mutt\"]\nrequired=true\nhost=\"ada@big.example\"");
    let config = parse(&good).expect("valid");
    assert!(config.services[0].required && !config.services[0].start);
    assert_eq!(config.services[0].host, "ada@big.example");
    for (text, expected) in [
        (table("command=[]"), ":2: service: \"mail\": command: a command line"),
        (table("command=[\"mutt\"]\nhost=\"-oProxyCommand=x\""), "\"mail\": host: "),
        (format!("{good}\n[[service]]\nname=\"mail\"\ncommand=[\"x\"]"), ":7: service: a second"),
        (table("command=[\"mutt\"]\ncolour=1"), "colour"),
        (table(""), "command"),
    ] {
        let said = error(&text);
        assert!(said.contains(expected), "{said:?} has no {expected:?}");
    }
}
