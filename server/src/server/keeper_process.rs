//! The process of a keeper, from its start until it stands on its own.

use super::directories::Minded;
use super::{Shared, scope};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_wire::codec::Message;
use afterglow_wire::local::{KeeperStart, SessionSpec, StartOrder, Started, WarmSpec};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, ChildStdout};

/// How long a keeper has to bring its session up, once that is wanted.
const START_TIME: Duration = Duration::from_secs(10);
/// How long a keeper has to bring an X server up that nobody waits for.
const WARM_TIME: Duration = Duration::from_secs(30);
/// How long a keeper has to clear away what it made ready.
const GIVE_UP_TIME: Duration = Duration::from_secs(5);

/// A keeper that is being started, its directory and its log.
pub struct KeeperProcess {
    process: Option<Child>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Ours until the session stands on its own.
    dir: Option<Minded>,
    path: PathBuf,
    log: PathBuf,
    /// True if it waits to be told which session to be.
    warm: bool,
}

impl KeeperProcess {
    /// Starts one in a directory of its own; it has yet to be told what for.
    pub fn new(shared: &Arc<Shared>) -> Result<Self, String> {
        let dir = Minded::make(shared)?;
        let (path, log) = (dir.path(), dir.path().join("keeper.log"));
        let started = KeeperProcess::spawn(shared, dir, log);
        if started.is_err() {
            // Nothing has used it.
            let _ = std::fs::remove_dir_all(path);
        }
        started
    }

    fn spawn(shared: &Shared, dir: Minded, log: PathBuf) -> Result<Self, String> {
        let program = &shared.config.session_program;
        let log_file = std::fs::File::create(&log)
            .map_err(|e| format!("cannot make the log {}: {e}", log.display()))?;
        let words = scope::command(shared.scopes.get(), dir.name(), program);
        let mut words = words.iter();
        let first = words.next().map(|word| word.as_os_str()).unwrap_or_default();
        let mut process = tokio::process::Command::new(first)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // A signal from our terminal is not for it.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot run {}: {e}; see session_program", first.display()))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(format!("{} has no pipes", program.display()));
        };
        let path = dir.path();
        let (process, stdin, dir) = (Some(process), Some(stdin), Some(dir));
        Ok(KeeperProcess { process, stdin, stdout, dir, path, log, warm: false })
    }

    /// Where the session has its directory.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// True as long as its process is there.
    pub fn lives(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// Has it bring an X server up before anybody wants it.
    pub async fn warm(&mut self, shared: &Shared) -> Result<(), String> {
        let config = &shared.config;
        let spec = WarmSpec {
            runtime_dir: self.path.display().to_string(),
            size_max: config.size_max,
            listen: SocketAddrV4::new(config.listen, config.session_ports.0),
            port_last: config.session_ports.1,
        };
        self.tell(KeeperStart::Warm(spec)).await?;
        match self.report(WARM_TIME).await? {
            Started::Prepared => {
                self.warm = true;
                Ok(())
            }
            Started::Failed { text } => Err(text),
            Started::Ready { .. } => Err("it brought a session up that nobody asked for".into()),
        }
    }

    /// Tells it which session to be.
    pub async fn be(&mut self, spec: SessionSpec) -> Result<(), String> {
        let spec = Box::new(spec);
        match self.warm {
            true => self.tell(StartOrder::Be(spec)).await,
            false => self.tell(KeeperStart::Session(spec)).await,
        }
    }

    async fn tell<M: Message>(&mut self, message: M) -> Result<(), String> {
        let Some(stdin) = &mut self.stdin else { return Err("it was told all already".into()) };
        let sent = MessageWriter::<_, M>::new(stdin).send(message).await;
        sent.map_err(|e| format!("the session's keeper takes no orders: {e}; {}", self.see()))
    }

    /// Lets it go on, if it holds, and waits until its session is up.
    pub async fn go(&mut self, holds: bool) -> Result<u16, String> {
        if holds {
            self.tell(StartOrder::Go).await?;
        }
        let until = tokio::time::Instant::now() + START_TIME;
        loop {
            match self.report(until - tokio::time::Instant::now()).await? {
                Started::Prepared => {}
                Started::Ready { port } => return Ok(port),
                Started::Failed { text } => return Err(text),
            }
        }
    }

    async fn report(&mut self, within: Duration) -> Result<Started, String> {
        let mut reader = MessageReader::<_, Started>::new(&mut self.stdout);
        let report = tokio::time::timeout(within, reader.next()).await;
        let see = self.see();
        match report {
            Ok(Ok(Some(report))) => Ok(report),
            Ok(Ok(None)) => Err(format!("the session's keeper ended before it was ready; {see}")),
            Ok(Err(e)) => Err(format!("the session's keeper gave no report: {e}; {see}")),
            Err(_) => {
                Err(format!("the session was not ready in {} s; {see}", START_TIME.as_secs()))
            }
        }
    }

    fn see(&self) -> String {
        format!("see {}", self.log.display())
    }

    /// Its session is up: gives its directory to whoever follows it.
    pub fn let_go(&mut self) -> Result<Minded, String> {
        self.dir.take().ok_or_else(|| "its directory was given away already".to_owned())
    }

    /// Lets it clear away what it started, and waits until it has.
    pub async fn give_up(mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Without an order its standard input closes, and that is one too;
        // once it has its order a signal ends it.
        self.stdin = None;
        let pid = process.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            // It may have ended by itself already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(GIVE_UP_TIME, process.wait()).await.is_err() {
            // It may have ended by itself just now.
            let _ = process.kill().await;
        }
        // One that was killed, or never began, leaves something.
        if self.path.exists()
            && let Err(text) = crate::keeper::ending::clear_away(&self.path).await
        {
            tracing::warn!("{text}");
        }
    }
}

impl Drop for KeeperProcess {
    fn drop(&mut self) {
        // As long as we are here, we are its parent and have to hear of its
        // end.
        if let Some(mut process) = self.process.take() {
            tokio::spawn(async move { process.wait().await });
        }
    }
}
