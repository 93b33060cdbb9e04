//! `afterglowctl` and the admin socket of servers that run.

use crate::servers::{Group, Server, free_port, program};
use afterglow_server::group::report::TopologyReport;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};

pub fn ctl(group: &Group, server: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterglowctl"));
    let config = group.path().join(server).join("afterglow.toml");
    command.arg("--config").arg(config).args(arguments).kill_on_drop(true);
    command
}

pub async fn said(group: &Group, server: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        ctl(group, server, arguments).output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    assert!(status.success(), "{}", text(stderr));
    text(stdout)
}

/// `afterglowctl topology --watch` at a server.
pub struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    pub fn start(group: &Group, server: &str, more: &[&str]) -> Self {
        let arguments = [&["topology", "--watch", "--every", "0.1"], more].concat();
        let mut child = ctl(group, server, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Watch { child, lines }
    }

    /// The first line from now on that has all of these.
    async fn line_with(&mut self, words: &[&str]) -> String {
        loop {
            let line = self.lines.next_line().await.expect("a line").expect("it goes on");
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    /// The first report from now on, of those told as JSON, that is like this.
    pub async fn report_with(&mut self, like: impl Fn(&TopologyReport) -> bool) -> TopologyReport {
        loop {
            let line = self.lines.next_line().await.expect("a line").expect("it goes on");
            let report = serde_json::from_str(&line).expect("an object a line");
            if like(&report) {
                return report;
            }
        }
    }
}

/// True if the report has the server like this.
pub fn has(report: &TopologyReport, server: &str, up: bool, draining: bool) -> bool {
    let mut hosts = report.hosts.iter();
    hosts.any(|host| (host.name.as_str(), host.up, host.draining) == (server, up, draining))
}

async fn start(group: &Group) -> Vec<Server> {
    group.start(&["mud", "host05"], "").await
}

pub async fn the_table_lists_both_servers_and_says_when_one_is_lost() {
    let group = Group::new();
    let mut servers = start(&group).await;
    let mut watch = Watch::start(&group, "mud", &[]);
    watch.line_with(&["Host host05", "TRUSTED up"]).await;
    let table = said(&group, "mud", &["topology"]).await;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    for (line, name) in [(lines[0], "mud"), (lines[2], "host05")] {
        assert!(line.starts_with(&format!("Host {name} ")), "{table}");
        assert!(line.contains(" numifs 1 TRUSTED up "), "{table}");
        assert!(line.contains(" addr 127.0.0.1 ") && line.contains(" timeoff "), "{table}");
    }
    for line in [lines[1], lines[3]] {
        assert!(line.starts_with("  interface lo ip 127.0.0.1 mask 255.0.0.0 "), "{table}");
    }
    let hex = said(&group, "mud", &["topology", "--hex"]).await;
    assert!(hex.contains("  interface lo ip 7f000001 mask ff000000 "), "{hex}");
    let json = said(&group, "mud", &["topology", "--json"]).await;
    let report: TopologyReport = serde_json::from_str(&json).expect("JSON");
    assert!(has(&report, "mud", true, false) && has(&report, "host05", true, false), "{json}");
    assert!(report.hosts.iter().all(|host| host.trusted), "{json}");
    assert_eq!(report.hosts[1].interfaces[0].name, "lo");
    servers[1].kill().await;
    watch.line_with(&["Host host05", "TRUSTED down"]).await;
}

pub async fn a_server_that_drains_is_seen_to_by_the_others() {
    let group = Group::new();
    let _servers = start(&group).await;
    let (mut here, mut there) =
        (Watch::start(&group, "mud", &["--json"]), Watch::start(&group, "host05", &["--json"]));
    there.report_with(|report| has(report, "mud", true, false)).await;
    let done = said(&group, "mud", &["drain", "--no-wait"]).await;
    assert!(done.contains("gets no new sessions") && done.contains("undrain"), "{done}");
    here.report_with(|report| has(report, "mud", true, true)).await;
    there.report_with(|report| has(report, "mud", true, true)).await;
    for undo in [&["drain", "--undo"][..], &["undrain"]] {
        assert!(said(&group, "mud", undo).await.contains("takes new sessions"));
    }
    there.report_with(|report| has(report, "mud", true, false)).await;
}

pub async fn a_watch_ends_well_when_it_is_interrupted_or_not_read() {
    let group = Group::new();
    let _servers = start(&group).await;
    let mut watch = Watch::start(&group, "mud", &[]);
    // Blocks, with an empty line between them.
    for _ in 0..2 {
        watch.line_with(&["Host mud", "TRUSTED up"]).await;
        loop {
            let line = watch.lines.next_line().await.expect("a line").expect("it goes on");
            if line.is_empty() {
                break;
            }
        }
    }
    let pid = watch.child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it runs");
    kill_process(pid, Signal::INT).expect("sent");
    assert_eq!(watch.child.wait().await.expect("it ends").code(), Some(0));
    let Watch { mut child, mut lines } = Watch::start(&group, "mud", &[]);
    lines.next_line().await.expect("a line");
    drop(lines);
    assert_eq!(child.wait().await.expect("it ends").code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().expect("its errors").read_to_string(&mut errors).await.expect("text");
    assert_eq!(errors, "");
}

pub async fn a_watch_waits_for_a_server_that_is_started_again() {
    let group = Group::new();
    let mut servers = start(&group).await;
    let socket = group.path().join("mud/run/admin.sock");
    let mut watch = Watch::start(&group, "mud", &[]);
    watch.line_with(&["Host mud"]).await;
    servers[0].kill().await;
    let errors = watch.child.stderr.take().expect("its errors");
    let error = BufReader::new(errors).lines().next_line().await.expect("a line");
    let error = error.expect("it goes on");
    assert!(error.starts_with("afterglowctl: "), "{error}");
    // The socket that it left is replaced.
    assert!(socket.exists());
    servers[0].start().await;
    watch.line_with(&["Host mud"]).await;
    servers[0].signal(Signal::TERM).await;
    assert!(!socket.exists());
}

pub async fn bad_lines_on_the_socket_of_a_server_are_answered() {
    let group = Group::new();
    let _servers = group.start(&["mud"], "").await;
    let socket = group.path().join("mud/run/admin.sock");
    let mut link = BufReader::new(UnixStream::connect(&socket).await.expect("it listens"));
    for (line, expected) in [
        ("hello\n", "not a JSON object such as"),
        ("{\"version\":1,\"request\":\"reboot\"}\n", "unknown variant `reboot`"),
        ("{\"version\":7,\"request\":\"topology\"}\n", "version 7 of the admin protocol"),
        ("{\"version\":1,\"request\":\"topology\"}\n", "\"response\":\"topology\""),
    ] {
        link.get_mut().write_all(line.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        link.read_line(&mut answer).await.expect("a line");
        assert!(answer.starts_with("{\"version\":1,\"response\":"), "{answer}");
        assert!(answer.contains(expected), "{answer}");
    }
}

pub async fn a_second_server_on_an_admin_socket_is_refused() {
    let group = Group::new();
    let _servers = group.start(&["mud"], "").await;
    let dir = group.path().join("second");
    std::fs::create_dir(&dir).expect("made");
    let config = dir.join("afterglow.toml");
    let text = format!(
        "name = \"second\"\ninterfaces = [\"lo\"]\ngroup_port = {}\ncontrol_port = {}\n\
         group_key = \"../group.key\"\nadmin_socket = \"../mud/run/admin.sock\"\n",
        free_port(),
        free_port(),
    );
    std::fs::write(&config, text).expect("written");
    let output = program().arg("run").arg("--config").arg(config).kill_on_drop(true).output();
    let output = output.await.expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains("another afterglow-server listens at"), "{error}");
    said(&group, "mud", &["topology"]).await;
}
