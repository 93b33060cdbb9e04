//! The desktop: the one program without which there is no session.

use super::noted::{self, Part};
use super::program::{self, Program, find_program};
use super::{ending, session_dir};
use crate::desktop::Display;
use afterglow_wire::local::SessionSpec;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// A desktop that ends sooner did not work.
const STARTED_AFTER: Duration = Duration::from_secs(2);

/// A running desktop.
#[derive(Debug)]
pub struct DesktopCommand {
    words: Vec<String>,
    started: Instant,
    program: Program,
}

/// Starts the desktop. The error is for the user.
pub fn start(spec: &SessionSpec, display: &Display) -> Result<DesktopCommand, String> {
    let words = spec.desktop.0.clone();
    let command = words.first().ok_or("the desktop command is empty: set `desktop`")?;
    if find_program(command, &spec.home_dir).is_none() {
        return Err(format!(
            "the desktop command {command:?} cannot be found or run on the server: \
             install it, or change `desktop` in the server's configuration"
        ));
    }
    let program = program::start(spec, display, &words, "desktop.log")
        .map_err(|text| format!("the desktop: {text}"))?;
    if let Some(pid) = ending::pid_of(&program.process) {
        noted::note(Path::new(&spec.runtime_dir), Part::Desktop, pid);
    }
    tracing::info!(directory = session_dir::mark(Path::new(&spec.runtime_dir)), "desktop started");
    Ok(DesktopCommand { words, started: Instant::now(), program })
}

impl DesktopCommand {
    /// Its process, the leader of a group of its own.
    pub fn process(&mut self) -> &mut Child {
        &mut self.program.process
    }

    /// True if it ended sooner than a desktop that works.
    pub fn is_young(&self) -> bool {
        self.started.elapsed() < STARTED_AFTER
    }

    /// What to tell the user about its end.
    pub async fn ended(&mut self, status: std::io::Result<ExitStatus>) -> String {
        let early = self.is_young();
        let Ok(status) = status else { return "the desktop ended".into() };
        if status.success() && !early {
            return "the desktop ended".into();
        }
        let said = self.program.said.last_words().await;
        let after = self.started.elapsed().as_secs_f32();
        let command = self.words.join(" ");
        format!("the desktop command `{command}` ended after {after:.1} s with {status}{said}")
    }
}
