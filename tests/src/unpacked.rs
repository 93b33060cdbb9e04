//! Debian's programs that only tests need: installed, or unpacked under
//! `target/` by the set-up, so that a person's machine starts no daemon of
//! them.

use crate::programs;
use anyhow::{Result, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where some packages' files are. Each is the installed one if there is one:
/// the set-up unpacks only what is missing.
#[derive(Debug, Clone)]
pub struct Unpacked {
    directory: PathBuf,
}

impl Unpacked {
    /// Those that the set-up unpacks into `target/NAME`; all of these files
    /// are there. Paths are relative to the root directory.
    pub fn find(name: &str, files: &[&str]) -> Result<Self> {
        let packages = Unpacked { directory: programs::target()?.join(name) };
        let missing: Vec<&str> =
            files.iter().copied().filter(|file| !packages.path(file).exists()).collect();
        ensure!(
            missing.is_empty(),
            "{} is missing: 'tests/setup.sh test' unpacks it under {}",
            missing.join(", "),
            packages.directory.display()
        );
        Ok(packages)
    }

    /// A file of the packages.
    pub fn path(&self, file: &str) -> PathBuf {
        let root = if self.is_unpacked(file) { &self.directory } else { Path::new("/") };
        root.join(file)
    }

    /// True if this file is not installed.
    pub fn is_unpacked(&self, file: &str) -> bool {
        !Path::new("/").join(file).exists()
    }

    /// What runs a program of the packages, with their libraries.
    pub fn command(&self, program: &str) -> Command {
        let mut command = programs::secluded(self.path(program));
        if self.is_unpacked(program) {
            command.env("LD_LIBRARY_PATH", self.libraries());
        }
        command
    }

    /// The directories of the unpacked libraries; they are named after the
    /// machine.
    fn libraries(&self) -> OsString {
        let parents = ["usr/lib", "lib"].map(|name| self.directory.join(name));
        let entries = parents.iter().filter_map(|path| std::fs::read_dir(path).ok());
        let paths = entries.flatten().flatten().map(|entry| entry.path());
        let libraries: Vec<OsString> = paths
            .map(PathBuf::into_os_string)
            .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
            .collect();
        libraries.join(":".as_ref())
    }
}
