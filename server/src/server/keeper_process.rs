//! A keeper that is being started: its process, its directory, and what it and
//! the server say to each other until the session runs by itself.

use super::{Shared, keepers, lock};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_wire::local::{KeeperStart, SessionSpec, StartOrder, Started};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, ChildStdout};

/// How long a keeper has to clear away what it made ready.
const GIVE_UP_TIME: Duration = Duration::from_secs(5);
/// How long a keeper has to bring its session up, once that is wanted.
const START_TIME: Duration = Duration::from_secs(10);

/// The directory of a session that is being started. As long as this lives
/// nobody takes it for one that is left over.
pub struct StartingDir {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl StartingDir {
    fn new(shared: &Arc<Shared>) -> Result<Self, String> {
        let path = keepers::new_session_dir(&shared.config.runtime_dir)
            .map_err(|e| format!("cannot make a directory for the session: {e}"))?;
        lock(&shared.starting_dirs).insert(path.clone());
        Ok(StartingDir { shared: shared.clone(), path })
    }
}

impl Drop for StartingDir {
    fn drop(&mut self) {
        lock(&self.shared.starting_dirs).remove(&self.path);
    }
}

/// A keeper that is being started.
pub struct Keeper {
    process: Option<Child>,
    stdin: Option<ChildStdin>,
    reader: MessageReader<ChildStdout, Started>,
    log: PathBuf,
    dir: StartingDir,
}

impl Keeper {
    /// Starts a keeper in a directory of its own, which the description is
    /// given.
    pub async fn spawn(
        shared: &Arc<Shared>,
        start: impl FnOnce(String) -> Result<KeeperStart, String>,
    ) -> Result<Self, String> {
        let dir = StartingDir::new(shared)?;
        let start = start(dir.path.display().to_string())?;
        let program = shared.config.session_program.display();
        let log = dir.path.join("keeper.log");
        let log_file = std::fs::File::create(&log)
            .map_err(|e| format!("cannot make the log {}: {e}", log.display()))?;
        let mut process = tokio::process::Command::new(&shared.config.session_program)
            .arg("keeper")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // A signal from our terminal is not for it.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot run {program}: {e}; see session_program"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(format!("{program} has no pipes"));
        };
        let mut writer = MessageWriter::<_, KeeperStart>::new(&mut stdin);
        if let Err(e) = writer.send(start).await {
            return Err(format!("the session's keeper took no description: {e}"));
        }
        let (process, stdin) = (Some(process), Some(stdin));
        Ok(Keeper { process, stdin, reader: MessageReader::new(stdout), log, dir })
    }

    /// Its session's directory.
    pub fn dir(&self) -> &Path {
        &self.dir.path
    }

    /// Waits until all is up that may be before its order.
    pub async fn prepared(&mut self) -> Result<(), String> {
        let report = tokio::time::timeout(START_TIME, self.reader.next()).await;
        match report {
            Ok(Ok(Some(Started::Prepared))) => Ok(()),
            Ok(Ok(Some(Started::Failed { text }))) => Err(text),
            Ok(_) => Err(format!("the session's keeper ended; see {}", self.log.display())),
            Err(_) => Err(format!("the keeper was not ready in {} s", START_TIME.as_secs())),
        }
    }

    /// Makes a warm one this session's.
    pub async fn be(&mut self, spec: SessionSpec) -> Result<(), String> {
        self.order(StartOrder::Be(Box::new(spec))).await
    }

    async fn order(&mut self, order: StartOrder) -> Result<(), String> {
        let Some(stdin) = &mut self.stdin else { return Err("it has its order".into()) };
        let mut writer = MessageWriter::<_, StartOrder>::new(stdin);
        writer.send(order).await.map_err(|e| e.to_string())
    }

    /// Lets it go on, if it holds, and waits for its report: the display
    /// link's port.
    pub async fn go(&mut self, holds: bool) -> Result<u16, String> {
        let talk = async {
            if holds {
                self.order(StartOrder::Go).await?;
            }
            loop {
                match self.reader.next().await.map_err(|e| e.to_string())? {
                    Some(Started::Prepared) => {}
                    report => return Ok::<_, String>(report),
                }
            }
        };
        let report = tokio::time::timeout(START_TIME, talk).await;
        let see = format!("see {}", self.log.display());
        match report {
            Ok(Ok(Some(Started::Ready { port }))) => Ok(port),
            Ok(Ok(Some(Started::Failed { text }))) => Err(text),
            Ok(Ok(_)) => Err(format!("the session's keeper ended before it was ready; {see}")),
            Ok(Err(e)) => Err(format!("the session's keeper gave no report: {e}; {see}")),
            Err(_) => {
                Err(format!("the session was not ready in {} s; {see}", START_TIME.as_secs()))
            }
        }
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
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // As long as we are here, we are its parent and have to hear of its
        // end.
        if let Some(mut process) = self.process.take() {
            tokio::spawn(async move { process.wait().await });
        }
    }
}
