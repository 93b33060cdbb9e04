//! The desktop: the command whose end is the session's.

use super::program::{Place, Program};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// A desktop that ends sooner did not work.
const STARTED_AFTER: Duration = Duration::from_secs(2);
/// How long what a program printed last may take to be read.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);

/// A running desktop.
#[derive(Debug)]
pub struct DesktopCommand {
    words: Vec<String>,
    started: Instant,
    /// Its process.
    pub program: Program,
}

/// Starts the desktop. The error is for the user.
pub fn start(place: &Place, words: &[String]) -> Result<DesktopCommand, String> {
    let program = place.start(words, "desktop.log").map_err(|text| {
        format!(
            "the desktop did not start: {text}; install it, or change `desktop` in the server's \
             configuration"
        )
    })?;
    Ok(DesktopCommand { words: words.to_vec(), started: Instant::now(), program })
}

impl DesktopCommand {
    /// What to tell the user about its end.
    pub async fn ended(&mut self, status: std::io::Result<ExitStatus>) -> String {
        let early = self.started.elapsed() < STARTED_AFTER;
        let Ok(status) = status else { return "the desktop ended".into() };
        if status.success() && !early {
            return "the desktop ended".into();
        }
        // Its last words may still be in the pipe, which programs that it
        // left behind may hold open.
        let _ = tokio::time::timeout(LAST_WORDS_WITHIN, &mut self.program.reading).await;
        let said = self.program.said.last_line().map(|line| format!(": {line}"));
        let said = said.unwrap_or_default();
        let after = self.started.elapsed().as_secs_f32();
        let command = self.words.join(" ");
        format!("the desktop command `{command}` ended after {after:.1} s with {status}{said}")
    }
}
