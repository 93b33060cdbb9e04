//! What a person gets wrong, and what a machine lacks: each is told by name.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::process::Process;
use afterglow_tests::scratch::Scratch;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::{programs, wait};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Runs a command that must fail, and gives what it said.
fn fails(scratch: &Scratch, command: &mut Command) -> Result<String> {
    let log = scratch.path().join("failing.log");
    let mut process = Process::spawn("the program", command, &log)?;
    let status = process.wait_end(wait::PATIENCE)?;
    let text = process.log_text();
    ensure!(status.code().is_some_and(|code| code != 0), "{status}: {text}");
    ensure!(!text.contains("panicked"), "{text}");
    Ok(text)
}

/// Runs a server with its configuration changed in this way.
fn server_fails(test: &str, change: impl FnOnce(String) -> String) -> Result<String> {
    let site = Site::prepare(test, &["mud"], TERMINAL)?;
    let config = site.hosts[0].config();
    std::fs::write(&config, change(std::fs::read_to_string(&config)?))?;
    let mut command = programs::secluded(programs::path("afterglow-server")?);
    command.args(["run", "--config"]).arg(&config);
    let text = fails(site.scratch(), &mut command)?;
    site.passed()?;
    Ok(text)
}

fn tells(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not told: {text}");
    }
    Ok(())
}

#[test]
fn a_key_that_is_not_known_is_told_with_its_file_and_line() -> Result<()> {
    let text = server_fails("errors-key", |config| format!("prots = 3\n{config}"))?;
    tells(&text, &["afterglow.toml", "prots", "1"])
}

#[test]
fn a_value_that_is_not_valid_is_told_with_its_key() -> Result<()> {
    let text = server_fails("errors-value", |config| {
        config.replace("listen = \"127.0.0.1\"", "listen = \"localhost:99\"")
    })?;
    tells(&text, &["afterglow.toml", "listen", "localhost:99"])
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() -> Result<()> {
    let text = server_fails("errors-toml", |config| format!("{config}\nname name name\n"))?;
    tells(&text, &["afterglow.toml", "name name"])
}

#[test]
fn a_file_that_is_not_there_is_told() -> Result<()> {
    let scratch = Scratch::new("errors-file")?;
    let mut command = programs::secluded(programs::path("afterglow-server")?);
    command.args(["run", "--config", "/nowhere/afterglow.toml"]);
    tells(&fails(&scratch, &mut command)?, &["/nowhere/afterglow.toml"])?;
    scratch.passed()
}

#[test]
fn a_missing_group_key_is_told() -> Result<()> {
    let text = server_fails("errors-group", |config| config.replace("group.key", "no.key"))?;
    tells(&text, &["no.key"])
}

#[test]
fn a_port_in_use_is_told() -> Result<()> {
    let site = Site::start("errors-port", &["mud"], TERMINAL)?;
    let port = site.hosts[0].control_address().port().to_string();
    let other = Site::prepare("errors-port-2", &["host05"], TERMINAL)?;
    let config = other.hosts[0].config();
    let own = other.hosts[0].control_address().port().to_string();
    std::fs::write(&config, std::fs::read_to_string(&config)?.replace(&own, &port))?;
    let mut command = programs::secluded(programs::path("afterglow-server")?);
    command.args(["run", "--config"]).arg(&config);
    tells(&fails(other.scratch(), &mut command)?, &[&port])?;
    other.passed()?;
    site.passed()
}

#[test]
fn init_keeps_a_group_key_that_is_there() -> Result<()> {
    let site = Site::prepare("errors-init", &["mud"], TERMINAL)?;
    let key = std::fs::read(site.shared().join("group.key"))?;
    let mut command = programs::secluded(programs::path("afterglow-server")?);
    command.arg("init").arg(site.shared());
    let log = site.scratch().path().join("again.log");
    let mut init = Process::spawn("afterglow-server init", &mut command, &log)?;
    init.wait_end(wait::PATIENCE)?;
    tells(&init.log_text(), &["group.key"])?;
    ensure!(std::fs::read(site.shared().join("group.key"))? == key);
    site.passed()
}

#[test]
fn a_dtu_without_a_display_says_so() -> Result<()> {
    let scratch = Scratch::new("errors-display")?;
    let mut command = programs::secluded(programs::path("afterglow")?);
    command
        .args(["--token", "pseudo", "--server", "127.0.0.1:9", "--state"])
        .arg(scratch.path().join("state"))
        .env("XDG_RUNTIME_DIR", scratch.path());
    let text = fails(&scratch, &mut command)?;
    tells(&text.to_lowercase(), &["display"])?;
    scratch.passed()
}

/// Starts a session that cannot start; what the DTU and the log say about it.
fn desktop_fails(site: &Site) -> Result<String> {
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    let told = ["refused", "session_ended"];
    let event = wait::until("the DTU tells what is wrong", wait::PATIENCE, || {
        Ok(dtu.events.all()?.into_iter().find(|event| told.contains(&event.name.as_str())))
    })?;
    // The user sees it, too, and not only the log.
    let panels = [Some("Refused"), Some("Ended")];
    dtu.events.wait_after(0, "view", |event| panels.contains(&event.text("panel")))?;
    let text = event.text("text").context("it says why")?.to_owned();
    // The server may hear of it a moment after the DTU.
    site.hosts[0].wait_log(&text)?;
    Ok(text)
}

#[test]
fn a_desktop_command_that_is_not_there_is_told_at_the_dtu() -> Result<()> {
    let site = Site::start("errors-command", &["mud"], &["no-such-desktop"])?;
    tells(&desktop_fails(&site)?, &["no-such-desktop"])?;
    site.passed()
}

#[test]
fn a_desktop_command_that_exits_at_once_is_told_at_the_dtu() -> Result<()> {
    let site = Site::start("errors-exit", &["mud"], &["sh", "-c", "exit 3"])?;
    tells(&desktop_fails(&site)?, &["sh -c exit 3", "exit status: 3"])?;
    site.passed()
}

#[test]
fn a_machine_without_xvfb_is_told_at_the_dtu_and_in_the_log() -> Result<()> {
    let mut site = Site::prepare("errors-xvfb", &["mud"], TERMINAL)?;
    // A PATH with everything but Xvfb in it.
    let programs = site.scratch().private_directory("bin")?;
    for program in ["sh", "env", "xterm", "xkbcomp", "setxkbmap"] {
        let from = std::path::Path::new("/usr/bin").join(program);
        std::os::unix::fs::symlink(from, programs.join(program))?;
    }
    site.hosts[0].set_search_path(programs);
    site.hosts[0].start_server()?;
    tells(&desktop_fails(&site)?, &["Xvfb", "not installed"])?;
    site.passed()
}
