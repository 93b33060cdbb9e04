//! systemd takes the unit as it is.

use std::process::Command;

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let text = include_str!("../systemd/afterglow-server.service");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("afterglow-server.service");
    let installed = "ExecStart=/usr/bin/afterglow-server ";
    assert!(text.contains(installed));
    let built = format!("ExecStart={} ", env!("CARGO_BIN_EXE_afterglow-server"));
    std::fs::write(&path, text.replace(installed, &built)).expect("written");
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let output = verify.expect("systemd-analyze runs: it is in Debian's package systemd");
    let said = String::from_utf8_lossy(&output.stderr);
    let ours = said.lines().any(|line| line.contains("afterglow"));
    assert!(output.status.success() && !ours, "{said}");
}
