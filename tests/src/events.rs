//! A DTU's event log (`--event-log`): what it says that happened.

use crate::wait;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When, by CLOCK_MONOTONIC.
    pub t_us: u64,
    /// What.
    pub name: String,
    /// All of it.
    pub fields: Value,
}

impl Event {
    /// A field's text, if it is one.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// A field's number, if it is one.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field)?.as_u64()
    }

    fn parse(line: &str) -> Result<Self> {
        let fields: Value =
            serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let t_us = fields.get("t_us").and_then(Value::as_u64).context("t_us is a number")?;
        let name = fields.get("event").and_then(Value::as_str).context("event is a text")?;
        Ok(Event { t_us, name: name.to_owned(), fields })
    }
}

/// Now, on the clock of the logs.
pub fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

/// A log that is being written.
#[derive(Debug, Clone)]
pub struct EventLog {
    path: PathBuf,
}

impl EventLog {
    /// The log in this file, which may not be there yet.
    pub fn new(path: &Path) -> Self {
        EventLog { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All whole lines so far.
    pub fn all(&self) -> Result<Vec<Event>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => bail!("cannot read {}: {error}", self.path.display()),
        };
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(Event::parse).collect()
    }

    /// How many events there are so far: a mark for [`EventLog::wait_after`].
    pub fn mark(&self) -> Result<usize> {
        Ok(self.all()?.len())
    }

    /// Those after a mark.
    pub fn after(&self, mark: usize) -> Result<Vec<Event>> {
        Ok(self.all()?.split_off(mark))
    }

    /// Waits for the first event of this name after a mark that is as wanted.
    pub fn wait_after(
        &self,
        mark: usize,
        name: &str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        self.wait_for(mark, name, wait::PATIENCE, wanted)
    }

    /// Likewise, for at most `timeout`.
    pub fn wait_for(
        &self,
        mark: usize,
        name: &str,
        timeout: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        wait::until(&format!("the DTU's event '{name}'"), timeout, || {
            Ok(self.after(mark)?.into_iter().find(|event| event.name == name && wanted(event)))
        })
        .with_context(|| match self.after(mark) {
            Ok(events) => {
                let names: Vec<_> = events.iter().map(|event| event.fields.to_string()).collect();
                format!("since the mark there were {} events:\n{}", names.len(), names.join("\n"))
            }
            Err(error) => format!("and the log cannot be read: {error:#}"),
        })
    }

    /// Waits for any event of this name from the beginning.
    pub fn wait(&self, name: &str) -> Result<Event> {
        self.wait_after(0, name, |_| true)
    }
}
