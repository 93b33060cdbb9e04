//! The topology again and again: redrawn in place on a terminal, a block each
//! time elsewhere.
//!
//! A server that goes away is said and waited for, so that one can watch it
//! being restarted.

use super::ask::{AskError, ask};
use super::protocol::{Request, Response};
use super::table::{Addresses, table};
use crate::group::report::TopologyReport;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How the topology is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a table.
    Table(Addresses),
    /// As data.
    Json,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The server gave no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The server answered something else.
    #[error("the server's answer is not a topology; use the afterglowctl that came with it")]
    Other,
    /// The output takes nothing.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

impl WatchError {
    /// True if nobody reads the output any more, which ends a listing and is
    /// no failure.
    pub fn is_unread(&self) -> bool {
        matches!(self, WatchError::Write(e) if e.kind() == ErrorKind::BrokenPipe)
    }
}

/// Prints the topology once.
pub async fn once(socket: &Path, form: Form) -> Result<(), WatchError> {
    let report = topology(socket).await?;
    let text = match form {
        Form::Table(addresses) => table(&report, addresses),
        Form::Json => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
    };
    write(text).await
}

/// Prints the topology once in each interval, until the output is closed. A
/// server that is not there at the first time is an error.
pub async fn watch(socket: &Path, form: Form, every: Duration) -> Result<(), WatchError> {
    let in_place = form != Form::Json && std::io::stdout().is_terminal();
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        interval.tick().await;
        let text = match topology(socket).await {
            Ok(report) => shown(&report, form, first, in_place),
            Err(e) if first => return Err(e),
            Err(e) if in_place => redrawn(&format!("afterglowctl: {e}\n")),
            Err(e) => {
                // Nobody need read that.
                let _ = writeln!(std::io::stderr(), "afterglowctl: {e}");
                continue;
            }
        };
        let clear = if first && in_place { "\x1b[2J" } else { "" };
        write(format!("{clear}{text}")).await?;
        first = false;
    }
}

async fn topology(socket: &Path) -> Result<TopologyReport, WatchError> {
    match ask(socket, &Request::Topology).await? {
        Response::Topology(report) => Ok(report),
        _ => Err(WatchError::Other),
    }
}

fn shown(report: &TopologyReport, form: Form, first: bool, in_place: bool) -> String {
    match form {
        Form::Json => serde_json::to_string(report).unwrap_or_default() + "\n",
        Form::Table(addresses) if in_place => {
            let (rows, columns) = window();
            redrawn(&fitted(&table(report, addresses), rows, columns))
        }
        Form::Table(addresses) => {
            let between = if first { "" } else { "\n" };
            format!("{between}{}", table(report, addresses))
        }
    }
}

/// A reader that takes nothing must not keep a signal from ending us.
async fn write(text: String) -> Result<(), WatchError> {
    let written = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    });
    written.await.map_err(std::io::Error::other)??;
    Ok(())
}

/// The rows and columns of the terminal's window.
fn window() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 1 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

/// The text cut to a window, so that it can be redrawn in place. The last row
/// stays free for the cursor.
fn fitted(text: &str, rows: usize, columns: usize) -> String {
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    let lines = text.lines().count();
    let room = rows.saturating_sub(1);
    let shown = if lines > room { room.saturating_sub(1) } else { lines };
    let mut kept: Vec<String> = text.lines().take(shown).map(cut).collect();
    if lines > shown {
        kept.push(cut(&format!("and {} more lines: make the window higher", lines - shown)));
    }
    kept.iter().flat_map(|line| [line, "\n"]).collect()
}

/// The text from the window's first row on, and nothing of what was there.
fn redrawn(text: &str) -> String {
    // Each row is cleared before it is written: after a row that is full, some
    // terminals would clear its last column.
    format!("\x1b[H\x1b[K{}\x1b[J", text.replace('\n', "\n\x1b[K"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_to_its_window_and_what_is_missing_is_said() {
        let text = "one long line\ntwo\nthree\n";
        assert_eq!(fitted(text, 4, 80), text);
        assert_eq!(fitted(text, 4, 5), "one l\ntwo\nthree\n");
        let said = "one long line\nand 2 more lines: make the window higher\n";
        assert_eq!(fitted(text, 3, 80), said);
        assert_eq!(fitted(text, 1, 80), "and 3 more lines: make the window higher\n");
    }

    #[test]
    fn a_line_that_is_redrawn_leaves_nothing_of_the_one_before() {
        assert_eq!(redrawn("a\nb\n"), "\x1b[H\x1b[Ka\n\x1b[Kb\n\x1b[K\x1b[J");
    }
}
