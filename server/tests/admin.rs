//! The admin socket and `afterglowctl` against a server that answers by rote:
//! good requests, bad ones, and everything that may be wrong with a server.

use afterglow_server::admin::ask::{AskError, ask};
use afterglow_server::admin::listen::{AdminLink, CONNECTIONS_MAX, start};
use afterglow_server::admin::protocol::{REQUEST_BYTES_MAX, Request, Response};
use afterglow_server::config::Config;
use afterglow_server::group::report::{HostReport, InterfaceReport, TopologyReport};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;

struct Server {
    dir: tempfile::TempDir,
    end: AdminLink,
}

/// Reports a full group; drains only once, and has no answer to the undoing.
async fn answer(request: Request) -> Response {
    match request {
        Request::Topology => Response::Topology(report()),
        Request::Drain { on: true } => Response::Done,
        Request::Drain { on: false } => std::future::pending().await,
        _ => Response::error("nobody asks that here"),
    }
}

fn report() -> TopologyReport {
    let interface = |i: u32| InterfaceReport {
        name: format!("interface-with-a-long-name-{i}"),
        ip: Ipv4Addr::from_bits(0xfefe_fe00 | i),
        mask: Ipv4Addr::BROADCAST,
        bcast: Ipv4Addr::BROADCAST,
        lastpkt_ms: i64::MAX,
        up: false,
    };
    let host = |i: u32| HostReport {
        name: format!("{i:063}"),
        trusted: true,
        up: true,
        draining: false,
        addr: Ipv4Addr::BROADCAST,
        from: SocketAddrV4::new(Ipv4Addr::BROADCAST, u16::MAX),
        lastseen_ms: i64::MAX,
        timeoff_ms: i64::MIN,
        boot: u64::MAX,
        seq: u64::MAX,
        version: "1".repeat(64),
        cpus: u32::MAX,
        clock_mhz: u32::MAX,
        load_percent: u32::MAX,
        sessions: u32::MAX,
        memory_mib: u32::MAX,
        flags: u32::MAX,
        control_port: u16::MAX,
        homes: None,
        interfaces: (0..96).map(interface).collect(),
    };
    TopologyReport {
        hosts: (0..65).map(host).collect(),
        store: String::new(),
        untrusted: Vec::new(),
    }
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let text = "name = \"mud\"\nadmin_socket = \"admin.sock\"";
        let config = Config::parse(&dir.path().join("afterglow.toml"), text).expect("valid");
        Server { end: start(&config, answer).expect("it listens"), dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    async fn link(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(self.path()).await.expect("it listens"))
    }
}

async fn say(link: &mut BufReader<UnixStream>, bytes: &[u8]) -> Response {
    link.get_mut().write_all(bytes).await.expect("sent");
    hear(link).await
}

async fn hear(link: &mut BufReader<UnixStream>) -> Response {
    let mut line = Vec::new();
    link.read_until(b'\n', &mut line).await.expect("a line");
    Response::parse(&line).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&line)))
}

async fn refused(link: &mut BufReader<UnixStream>, bytes: &[u8]) -> String {
    match say(link, bytes).await {
        Response::Error { text } => text,
        other => panic!("not refused: {other:?}"),
    }
}

/// True if the server closed the link and said nothing more.
async fn is_closed(link: &mut BufReader<UnixStream>) -> bool {
    let mut rest = Vec::new();
    let ended = match link.read_to_end(&mut rest).await {
        Ok(_) => true,
        // What it did not read of ours makes the end a reset.
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    };
    ended && rest.is_empty()
}

async fn ctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterglowctl"));
    command.args(arguments).output().await.expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn words(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[tokio::test]
async fn bad_lines_are_answered_and_good_ones_after_them_too() {
    let server = Server::start();
    let mut link = server.link().await;
    assert!(refused(&mut link, b"hello\n").await.contains("not a JSON object such as"));
    assert!(refused(&mut link, b"\n").await.contains("not a JSON object"));
    assert!(refused(&mut link, b"\xff\x00\xfe\n").await.contains("not a JSON object"));
    let later = refused(&mut link, b"{\"version\":9,\"request\":\"topology\"}\n").await;
    assert!(later.contains("version 9") && later.contains("use the afterglowctl of"), "{later}");
    let unknown = refused(&mut link, b"{\"version\":1,\"request\":\"reboot\"}\n").await;
    assert!(unknown.contains("`reboot`"), "{unknown}");
    assert_eq!(say(&mut link, &Request::Drain { on: true }.to_line()).await, Response::Done);
    assert_eq!(say(&mut link, &Request::Topology.to_line()).await, Response::Topology(report()));
    // Two at once, the second in two pieces.
    let mut twice = Request::Drain { on: true }.to_line().repeat(2);
    let rest = twice.split_off(twice.len() - 10);
    assert_eq!(say(&mut link, &twice).await, Response::Done);
    assert_eq!(say(&mut link, &rest).await, Response::Done);
    // The last line's end may be the link's.
    link.get_mut().write_all(b"{\"version\":1,\"request\":\"drain\"").await.expect("sent");
    link.get_mut().shutdown().await.expect("closed");
    assert!(matches!(hear(&mut link).await, Response::Error { .. }));
    assert!(is_closed(&mut link).await);
}

#[tokio::test]
async fn a_line_that_is_too_long_ends_its_link_alone() {
    let server = Server::start();
    let (mut link, mut other) = (server.link().await, server.link().await);
    // As long as it may be is well.
    let mut line = Request::Drain { on: true }.to_line();
    line.pop();
    line.resize(REQUEST_BYTES_MAX, b' ');
    line.push(b'\n');
    assert_eq!(say(&mut link, &line).await, Response::Done);
    line.insert(0, b' ');
    assert!(refused(&mut link, &line).await.contains("longer than 4096 bytes"));
    assert!(is_closed(&mut link).await);
    let drain = Request::Drain { on: true }.to_line();
    assert_eq!(say(&mut other, &drain).await, Response::Done);
}

#[tokio::test]
async fn more_connections_than_there_may_be_are_turned_away_in_words() {
    let server = Server::start();
    let mut links = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut link = server.link().await;
        assert_eq!(say(&mut link, &Request::Drain { on: true }.to_line()).await, Response::Done);
        links.push(link);
    }
    let refused = ask(&server.path(), &Request::Topology).await.expect_err("turned away");
    assert!(matches!(&refused, AskError::Refused(text) if text.contains("16 connections")));
    links.pop();
    // It is counted out once the server has seen its end.
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(e) = ask(&server.path(), &Request::Drain { on: true }).await {
        assert!(matches!(e, AskError::Refused(_)) && Instant::now() < deadline, "{e}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_says_nothing_and_who_waits_for_nothing_are_told_so_in_time() {
    let server = Server::start();
    let began = Instant::now();
    let (mut silent, mut half, mut waiting) =
        (server.link().await, server.link().await, server.link().await);
    half.get_mut().write_all(b"{\"version\":").await.expect("sent");
    waiting.get_mut().write_all(&Request::Drain { on: false }.to_line()).await.expect("sent");
    for link in [&mut silent, &mut half] {
        let Response::Error { text } = hear(link).await else { panic!("an error") };
        assert!(text.contains("no whole request came within 5 s"), "{text}");
        assert!(is_closed(link).await);
    }
    let Response::Error { text } = hear(&mut waiting).await else { panic!("an error") };
    assert!(text.contains("no answer after 5 s"), "{text}");
    let took = began.elapsed();
    assert!((5..15).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn the_largest_topology_is_printed() {
    let server = Server::start();
    let path = server.path();
    let said = ctl(&["--socket", words(&path), "topology"]).await;
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert_eq!(text(&said.stdout).lines().count(), 65 * 97);
    let said = ctl(&["topology", "--json", "--socket", words(&path)]).await;
    let read: TopologyReport = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(read, report());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    let said = ctl(&["--socket", words(&path), "topology"]).await;
    assert_eq!((said.status.code(), text(&said.stdout)), (Some(1), ""));
    let expected = format!(
        "afterglowctl: no afterglow-server listens at {}; start it, or say where it listens with \
         --config FILE or --socket PATH\n",
        path.display()
    );
    assert_eq!(text(&said.stderr), expected);
    drop(std::os::unix::net::UnixListener::bind(&path).expect("made"));
    let said = ctl(&["--socket", words(&path), "topology", "--watch"]).await;
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains("listens at"), "{}", text(&said.stderr));
    assert!(text(&said.stderr).contains(" any more; start it"), "{}", text(&said.stderr));
}

#[tokio::test]
async fn a_server_that_ends_takes_its_socket_with_it() {
    let server = Server::start();
    let path = server.path();
    let mut link = server.link().await;
    assert_eq!(say(&mut link, &Request::Drain { on: true }.to_line()).await, Response::Done);
    let Server { dir: _dir, end } = server;
    drop(end);
    assert!(!path.exists());
    assert!(is_closed(&mut link).await);
}

#[tokio::test]
async fn who_may_not_speak_to_the_server_is_told_who_may() {
    let server = Server::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterglowctl"));
    let closed = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("changed");
    };
    if rustix::process::geteuid().is_root() {
        // Root may everything: nobody asks.
        closed(server.dir.path(), 0o755);
        command.uid(65534).gid(65534);
    } else {
        closed(&server.path(), 0o000);
    }
    let said = command.args(["--socket", words(&server.path()), "drain"]).output().await;
    let said = said.expect("it runs");
    assert_eq!(said.status.code(), Some(1));
    let stderr = text(&said.stderr);
    assert!(stderr.contains("you may not speak to the server"), "{stderr}");
    assert!(stderr.contains("usermod -aG afterglow"), "{stderr}");
}

#[tokio::test]
async fn a_server_of_another_version_or_of_another_kind_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    let listener = UnixListener::bind(&path).expect("made");
    for (answer, expected) in [
        ("{\"version\":2,\"response\":\"new\"}\n", "speaks version 2 of the admin protocol, and"),
        ("{\"version\":0,\"response\":\"error\"}\n", "if it was upgraded"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "no answer that this afterglowctl understands"),
        ("{\"version\":1,\"response\":\"done\"}\n", "is not a topology"),
        ("", "closed the connection"),
    ] {
        let arguments = ["--socket", words(&path), "topology"];
        let (said, ()) = tokio::join!(ctl(&arguments), async {
            let (mut stream, _) = listener.accept().await.expect("it comes");
            stream.write_all(answer.as_bytes()).await.expect("sent");
        });
        assert_eq!(said.status.code(), Some(1));
        assert!(text(&said.stderr).contains(expected), "{}", text(&said.stderr));
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_another_exit_code() {
    for arguments in [
        &["topologies"][..],
        &[],
        &["topology", "--every", "2"],
        &["topology", "--watch", "--every", "0"],
        &["topology", "--json", "--hex"],
        &["--socket", "a", "--config", "b", "topology"],
    ] {
        let said = ctl(arguments).await;
        assert_eq!(said.status.code(), Some(2), "{arguments:?}");
        let stderr = text(&said.stderr);
        assert!(stderr.contains("Usage") || stderr.contains("try '--help'"), "{stderr}");
    }
    let help = ctl(&["topology", "--help"]).await;
    assert!(help.status.success() && text(&help.stdout).contains("lastpkt"));
}
