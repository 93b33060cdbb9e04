//! The directories of sessions: those of our own, what is left in them, and
//! what others put beside them.

use crate::dtu::{Dtu, insert};
use crate::servers::{Group, Server};
use afterglow_server::keeper::noted::{self, Part};
use afterglow_server::keeper::program::SESSION_VARIABLE;
use afterglow_server::keeper::session_dir::{IDENTITY, is_name};
use afterglow_wire::control::Origin;
use rustix::process::{Pid, Signal};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A server for which an X server waits.
const WAITING: &str = "desktop = [\"stay\"]\nwarm_x_servers = 1";
const PATIENCE: Duration = Duration::from_secs(20);

async fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn sessions(server: &Server) -> PathBuf {
    server.runtime_dir.join("sessions")
}

fn directory(path: &Path) {
    std::fs::create_dir(path).expect("made");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).expect("changed");
}

/// A directory whose keeper listened, and is gone.
fn dead(path: &Path) {
    directory(path);
    drop(std::os::unix::net::UnixListener::bind(path.join("keeper.sock")).expect("bound"));
}

pub async fn what_does_not_belong_there_is_left_alone_and_told_of_once() {
    let group = Group::new();
    let mut servers = group.start(&["mud"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    servers[0].kill().await;

    let dir = sessions(&servers[0]);
    let elsewhere = group.path().join("elsewhere");
    directory(&elsewhere);
    std::fs::write(elsewhere.join("precious"), "x").expect("written");
    directory(&dir.join("lost+found"));
    std::fs::write(dir.join("0123456789abcdef"), "no directory").expect("written");
    symlink(&elsewhere, dir.join("0123456789abcde0")).expect("made");
    directory(&dir.join("0123456789abcde1"));
    let open = PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir.join("0123456789abcde1"), open).expect("changed");
    let mut junk = vec![
        "lost+found",
        "0123456789abcdef",
        "0123456789abcde0",
        "0123456789abcde1",
        "aa\u{1b}[2J",
    ];
    std::fs::write(dir.join(junk[4]), "").expect("written");
    if rustix::process::geteuid().is_root() {
        dead(&dir.join("0123456789abcde2"));
        std::os::unix::fs::chown(dir.join("0123456789abcde2"), Some(4711), None).expect("given");
        junk.push("0123456789abcde2");
    }
    // Many that are nobody's any more; in one lies what is no file of ours.
    let stale: Vec<PathBuf> = (0..100).map(|n| dir.join(format!("{n:016x}"))).collect();
    stale.iter().for_each(|path| dead(path));
    symlink(&elsewhere, stale[0].join("link")).expect("made");
    std::fs::write(stale[1].join("processes"), "x-server 1 0 nonsense\n\0").expect("written");

    servers[0].start().await;
    assert_eq!(stale.iter().filter(|path| path.exists()).count(), 0);
    for name in &junk {
        assert!(dir.join(name).symlink_metadata().is_ok(), "{name} is gone");
    }
    assert!(elsewhere.join("precious").exists());
    let mut link = dtu.link(&servers[0]).await;
    let again = link.attach(insert(2, "soft.ada")).await;
    assert_eq!((again.origin, again.session), (Origin::Existing, attach.session));
    // It looks again, and has nothing new to say.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let log = servers[0].log();
    let lines = log.lines().filter(|line| line.contains("it is left alone")).count();
    assert_eq!(lines, junk.len(), "{log}");
    assert!(!log.contains("\u{1b}[2J"), "what a name holds is not printed as it is");
}

fn sleeper(mark: Option<&str>) -> Child {
    let mut command = Command::new("sleep");
    command.arg("1000");
    if let Some(mark) = mark {
        command.env(SESSION_VARIABLE, mark);
    }
    command.spawn().expect("it runs")
}

pub async fn what_a_killed_keeper_left_running_is_ended_and_nothing_else() {
    let group = Group::new();
    let mut servers = group.start(&["mud"], "").await;
    servers[0].kill().await;
    let name = "00000000deadbeef";
    let dir = sessions(&servers[0]).join(name);
    dead(&dir);
    let (mut marked, mut unmarked) = (sleeper(Some(name)), sleeper(None));
    let (mut other, mut others) = (sleeper(None), sleeper(Some("00000000deadbeee")));
    noted::note(&dir, Part::XServer, Pid::from_child(&unmarked));
    // The number of one that is gone belongs to another program now.
    let file = dir.join("processes");
    let line = std::fs::read_to_string(&file).expect("noted");
    let mut words: Vec<String> = line.trim_end().split(' ').map(String::from).collect();
    words[0] = "desktop".into();
    words[1] = other.id().to_string();
    words[2] = (words[2].parse::<u64>().expect("a time") - 100).to_string();
    std::fs::write(&file, format!("{line}{}\n", words.join(" "))).expect("written");
    servers[0].start().await;
    assert!(!dir.exists(), "{}", servers[0].log());
    for ended in [&mut marked, &mut unmarked] {
        wait_for("its end", || ended.try_wait().expect("asked")).await;
    }
    for living in [&mut other, &mut others] {
        assert!(living.try_wait().expect("asked").is_none(), "another's process was killed");
        living.kill().expect("killed");
        living.wait().expect("ended");
    }
}

/// A directory that is a session's by its name alone: its X server waits.
fn waiting(server: &Server) -> Option<PathBuf> {
    let entries = std::fs::read_dir(sessions(server)).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let told = noted::read(path).iter().any(|(part, _)| *part == Part::Keeper);
        name.is_some_and(is_name) && told && !path.join(IDENTITY).exists()
    })
}

pub async fn a_session_takes_the_x_server_that_waits() {
    let group = Group::new();
    let servers = group.start(&["mud"], WAITING).await;
    let first = wait_for("an X server", || waiting(&servers[0])).await;
    let said = "with an X server that waited";
    // It is noted before it has said that it is ready; so the first may miss
    // it.
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    for number in 1.. {
        let attach = link.attach(insert(number, &format!("soft.ada{number}"))).await;
        dtu.show(&attach).await.expect("shown");
        if servers[0].log().contains(said) {
            break;
        }
        assert!(number < 5, "{}", servers[0].log());
    }
    assert!(first.join(IDENTITY).exists(), "another one was taken");
    // Another waits in its place.
    let next = wait_for("the next X server", || waiting(&servers[0])).await;
    assert_ne!(next, first);
}

pub async fn an_x_server_that_waited_ends_with_its_server() {
    let group = Group::new();
    let mut servers = group.start(&["mud"], WAITING).await;
    let waited = wait_for("an X server", || waiting(&servers[0])).await;
    let (_, keeper) = noted::read(&waited).remove(0);
    servers[0].signal(Signal::KILL).await;
    wait_for("its keeper's end", || (!keeper.lives()).then_some(())).await;
    // What a keeper could not clear away its server's next run does.
    servers[0].start().await;
    assert!(!waited.exists(), "{}", servers[0].log());
}

pub async fn an_earlier_copy_goes_on_under_its_new_name() {
    use afterglow_link::stream::{MessageReader, MessageWriter};
    use afterglow_wire::ids::{Epoch, SessionId};
    use afterglow_wire::local::{Become, Der, FromKeeper, ToKeeper};
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let dtu = Dtu::new(&group);
    let mut link = dtu.link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    let entries = std::fs::read_dir(sessions(&servers[0])).expect("sessions").flatten();
    let dir = entries.map(|entry| entry.path()).find(|path| path.join(IDENTITY).exists());
    let socket = dir.expect("a session").join("keeper.sock");
    // As the server would say it, over a connection of the test's.
    let (read, write) = tokio::net::UnixStream::connect(socket).await.expect("open").into_split();
    let mut writer = MessageWriter::<_, ToKeeper>::new(write);
    let mut reader = MessageReader::<_, FromKeeper>::new(read);
    let id = SessionId([0xee; 16]);
    let der = Der(vec![0; 4].into());
    let becomes =
        Become { session: id, epoch: Epoch(3), certificate: der.clone(), certificate_key: der };
    writer.send(becomes).await.expect("sent");
    let is_other = |message: &Option<FromKeeper>| matches!(message, Some(FromKeeper::Status(status)) if status.session == id);
    while !is_other(&reader.next().await.expect("it speaks")) {}
    wait_for("the server to hear it", || servers[0].log().contains("is now").then_some(())).await;
    // Nobody is told that the session ended: it did not.
    assert!(!servers[0].log().contains("ended unexpectedly"), "{}", servers[0].log());
    assert_ne!(attach.session, id);
}
