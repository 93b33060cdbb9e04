//! What the demo leaves behind in `target/demo/`: numbered pictures, and the
//! merged event logs.

use crate::events::EventLog;
use crate::picture::Picture;
use crate::programs;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The record of one run.
pub struct Record {
    directory: PathBuf,
    pictures: u32,
    steps: Vec<Value>,
}

impl Record {
    /// An empty one; what the last run left is removed.
    pub fn new() -> Result<Self> {
        let directory = programs::target()?.join("demo");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        std::fs::create_dir_all(&directory)?;
        Ok(Record { directory, pictures: 0, steps: Vec::new() })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds a picture; gives its file's name.
    pub fn picture(&mut self, name: &str, picture: &Picture) -> Result<String> {
        self.pictures += 1;
        let file = format!("{:02}-{name}.png", self.pictures);
        picture.save(&self.directory.join(&file))?;
        Ok(file)
    }

    /// Notes what the story itself does.
    pub fn step(&mut self, what: &str) {
        let t_us = crate::events::now_us();
        self.steps.push(json!({ "t_us": t_us, "who": "demo", "event": "step", "what": what }));
    }

    /// Writes `timeline.json`: all events of these DTUs and the story's steps,
    /// in the order in which they happened, one a line.
    pub fn write_timeline(&self, dtus: &[(&str, EventLog)]) -> Result<()> {
        let mut all = self.steps.clone();
        for (who, log) in dtus {
            for event in log.all()? {
                let mut fields = event.fields;
                fields["who"] = json!(who);
                all.push(fields);
            }
        }
        all.sort_by_key(|event| event["t_us"].as_u64());
        let lines: Vec<String> = all.iter().map(Value::to_string).collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        std::fs::write(self.directory.join("timeline.json"), text).context("timeline.json")
    }
}
