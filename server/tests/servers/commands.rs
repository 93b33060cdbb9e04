//! The command line: what it makes, and what it says when it cannot go on.

use crate::servers::{Group, program};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

struct Said {
    ok: bool,
    out: String,
    err: String,
}

async fn perform(arguments: &[&str]) -> Said {
    let output = program().args(arguments).output().await.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}

fn words(path: &Path) -> &str {
    path.to_str().expect("a path")
}

pub async fn init_makes_what_fingerprint_reads_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("new");
    let first = perform(&["init", words(&dir)]).await;
    assert!(first.ok, "{}", first.err);
    let config = dir.join("afterglow.toml");
    let fingerprint = perform(&["fingerprint", "--config", words(&config)]).await.out;
    assert_eq!(fingerprint.trim().len(), 64);
    assert!(first.out.contains(fingerprint.trim()), "{}", first.out);
    let again = perform(&["init", words(&dir)]).await;
    assert!(again.ok && again.out.contains("was there, kept"), "{}", again.out);
    assert!(again.out.contains(fingerprint.trim()), "{}", again.out);
}

pub async fn a_bad_configuration_names_file_line_and_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("afterglow.toml");
    std::fs::write(&config, "name = \"mud\"\n\nport = 7010\n").expect("written");
    let said = perform(&["run", "--config", words(&config)]).await;
    assert!(!said.ok);
    let expected = format!("{}:3: port: unknown field", config.display());
    assert!(said.err.contains(&expected), "{}", said.err);
    let said = perform(&["run", "--config", "/nonexistent/afterglow.toml"]).await;
    assert!(!said.ok && said.err.contains("afterglow-server init"), "{}", said.err);
}

pub async fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(perform(&["init", words(dir.path())]).await.ok);
    let (config, key) = (dir.path().join("afterglow.toml"), dir.path().join("group.key"));
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("changed");
    let said = perform(&["run", "--config", words(&config)]).await;
    assert!(!said.ok && said.err.contains("chmod 600"), "{}", said.err);
    std::fs::remove_file(&key).expect("removed");
    let said = perform(&["run", "--config", words(&config)]).await;
    assert!(!said.ok && said.err.contains("cannot be read"), "{}", said.err);
}

pub async fn a_port_in_use_is_said() {
    let group = Group::new();
    let _servers = group.start(&["mud"], "").await;
    let config = group.path().join("mud/afterglow.toml");
    let said = perform(&["run", "--config", words(&config)]).await;
    assert!(!said.ok);
    assert!(said.err.contains("control_port: cannot listen on UDP 127.0.0.1"), "{}", said.err);
    assert!(said.err.contains("Address already in use"), "{}", said.err);
    assert_eq!(said.err.matches("in use").count(), 1, "{}", said.err);
}
