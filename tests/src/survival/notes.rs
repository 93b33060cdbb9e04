//! What a notebook noted, read back.

use super::keyboard::{self, SHIFT_KEY};
use crate::squares::checksum;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;

/// One notebook's notes so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Which notebook.
    pub instance: u64,
    /// Its process id.
    pub pid: u32,
    /// How many lines of the journal it found when it began.
    pub found: Option<usize>,
    /// The keys that were pressed, in order, Shift left out.
    pub pressed: Vec<char>,
    /// The keys that are down, Shift included. Of a key that was pressed before
    /// the notebook's window was there it only sees that it is let go.
    pub held: BTreeSet<char>,
    /// The lines that the home's file system promised to keep.
    pub saved: Vec<(u32, String)>,
    /// The lines that it refused, and why.
    pub failed: Vec<String>,
}

impl Notes {
    /// Reads those of this instance.
    pub fn read(directory: &Path, instance: u64) -> Result<Self> {
        let path = directory.join(format!("{instance:016x}.notes"));
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let mut notes = Notes { instance, ..Notes::default() };
        // The last line may be half written.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            notes.read_line(line).with_context(|| format!("{}: {line:?}", path.display()))?;
        }
        Ok(notes)
    }

    fn read_line(&mut self, line: &str) -> Result<()> {
        let mut words = line.splitn(3, ' ').skip(1);
        let (what, rest) = (words.next().context("a word")?, words.next().context("more")?);
        match what {
            "begin" => self.pid = rest.parse()?,
            "found" => self.found = Some(rest.parse()?),
            "p" | "r" => {
                let c = keyboard::of_printable(rest.chars().next().context("a key")?);
                // A key is the same whether Shift is down or not.
                match what {
                    "p" => self.held.insert(c.to_ascii_lowercase()),
                    _ => self.held.remove(&c.to_ascii_lowercase()),
                };
                if what == "p" && c != SHIFT_KEY {
                    self.pressed.push(c);
                }
            }
            "saved" => {
                let (number, text) = rest.split_once(' ').context("a number and a text")?;
                self.saved.push((number.parse()?, text.to_owned()));
            }
            "failed" => self.failed.push(rest.to_owned()),
            other => bail!("{other:?} is not known"),
        }
        Ok(())
    }

    /// How many lines the home's file system gave no answer about yet.
    pub fn lines_pending(&self) -> usize {
        let entered = self.pressed.iter().filter(|c| **c == keyboard::ENTER).count();
        entered.saturating_sub(self.saved.len() + self.failed.len())
    }

    /// The checksum of all that was received, as a page tells it.
    pub fn checksum(&self) -> u32 {
        checksum(self.pressed.iter().collect::<String>().as_bytes())
    }

    /// Which of the lines that were promised are not in the journal.
    pub fn missing_in(&self, journal: &str) -> Vec<u32> {
        let wanted = |number: u32, text: &str| format!("{:016x} {number} {text}", self.instance);
        let saved = self.saved.iter();
        saved
            .filter(|(number, text)| !journal.lines().any(|line| line == wanted(*number, text)))
            .map(|(number, _)| *number)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_and_a_broken_promise_is_found() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let text = "1 begin 17\n2 r b\n2 found 3\n3 p ^\n4 p A\n5 r ^\n6 r a\n7 p $\n\
                    8 saved 1 A\n9 failed 2 no\n10 saved 3 x\n11 p";
        std::fs::write(directory.path().join("000000000000002a.notes"), text)?;
        let notes = Notes::read(directory.path(), 42)?;
        assert_eq!((notes.pid, notes.found), (17, Some(3)));
        assert_eq!(notes.held, BTreeSet::from(['\n']));
        assert_eq!(notes.pressed, ['A', '\n']);
        let more = Notes { pressed: vec!['\n'; 4], ..notes.clone() };
        assert_eq!((notes.lines_pending(), more.lines_pending()), (0, 1));
        assert_eq!(notes.checksum(), checksum(b"A\n"));
        let journal = "000000000000002a 1 A\n000000000000002b 3 x\n";
        assert_eq!(notes.missing_in(journal), [3]);
        assert_eq!(notes.failed, ["2 no"]);
        Ok(())
    }
}
